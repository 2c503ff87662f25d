"""A recorded configuration as one that can be trained here again; what it says is data, and is checked as such."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from boston_exp.config import checks
from boston_exp.config.commands import Recorded
from boston_exp.config.invocation import again, for_services
from boston_exp.config.parsing import literal, parse
from boston_exp.config.schema import Config
from boston_exp.config.settings import PROJECT_ROOT, Typed
from boston_exp.errors import Fault, InvalidConfig
from boston_exp.lifecycle import records
from boston_exp.lifecycle.records import CONFIG
from boston_exp.storage.dvc_file import md5_of
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.recorded import History, RecordedRun
from boston_exp.training.job import Job
from boston_exp.training.train import Experiment, train

OF_HERE = ("tracking", "storage", "trusted_packages", "figures")  # never taken from a record
MADE_FOR = "promotion.compared_with"  # tag: the candidate that this training is compared with


def recorded_config(history: History, run: RecordedRun, here: Recorded, trusted: list[str]) -> DictConfig:
    """The composition that a run has recorded, with this command's services and trusted packages instead of its own.

    Raises InvalidConfig where it has none that can be read.
    """
    node = records.parsed(history, run.run_id, CONFIG)
    if not isinstance(node, dict):
        says = f"{run.run_id} ({run.name}) has no {CONFIG} that can be read."
        raise InvalidConfig(Fault(says, for_services("run", f"base={run.run_id}", "evaluation=cv")))
    kept = {name: literal(value) for name, value in node.items() if name not in OF_HERE}
    kept |= {"quiet": True, "report": None, "name": None, "skip_finished": None}
    try:
        merged = OmegaConf.merge(OmegaConf.structured(Config), _without_unknown(kept))
        merged.tracking, merged.storage, merged.trusted_packages = here.tracking, here.storage, trusted
        merged.figures.draw = False
        merged.data.path = _path(run, str(merged.data.path)) if merged.data.path else None
    except OmegaConfBaseException as error:
        says = f"{CONFIG} of {run.run_id} ({run.name}) is not a configuration of this project: {error}"
        raise InvalidConfig(Fault(says.partition("\n")[0], for_services("run", f"base={run.run_id}"))) from error
    assert isinstance(merged, DictConfig)
    return merged


def checked(cfg: DictConfig, run: RecordedRun, trusted: list[str]) -> Config:
    """As plain objects. Raises InvalidConfig for targets that are not trusted here, and for a table that is not the one
    the run was trained on."""
    config = parse(cfg.copy(), Typed((), PROJECT_ROOT), Config)
    faults = checks.faults(config)
    recorded = run.tags.get("data.md5")
    if not faults and config.data.path and recorded and md5_of(Path(config.data.path)) != recorded:
        says = f"{config.data.path} is not the table that {run.run_id} ({run.name}) was trained on (md5 {recorded})."
        faults = [Fault(says, f"dvc checkout {config.data.path}   (or get that version of it)")]
    if faults:
        told = f"   (what {run.run_id} has recorded is trusted as far as trusted_packages={trusted} says)"
        raise InvalidConfig(*(Fault(fault.says, fault.mend + told, fault.kind) for fault in faults))
    return config


def trained_like(
    history: History,
    champion: RecordedRun,
    candidate: RecordedRun,
    here: Recorded,
    trusted: list[str],
    destination: Destination,
) -> str:
    """Train the champion's configuration on the candidate's table and split, as a run of its own; returns its id."""
    cfg, theirs = (recorded_config(history, run, here, trusted) for run in (champion, candidate))
    dropped = list(cfg.data.drop)
    cfg.data, cfg.evaluation = theirs.data, theirs.evaluation
    cfg.data.drop = dropped
    cfg.objective.metric = None
    cfg.skip_finished = True
    config = checked(cfg, candidate, trusted)
    job = _Comparison({MADE_FOR: candidate.run_id})
    name = f"{champion.name} for {candidate.run_id[:8]}"
    return str(train(Experiment(cfg, Typed((), PROJECT_ROOT), config, destination, name), job).run_id)


class _Comparison(Job):
    """A training that nobody typed."""

    def __init__(self, tags: Mapping[str, str]) -> None:
        super().__init__(Path("-"))
        self.tags = tags


def _without_unknown(node: dict[str, Any]) -> dict[str, Any]:
    """What this version of the project knows: a later one may have recorded more."""
    known: Any = OmegaConf.to_container(OmegaConf.structured(Config))
    kept = {name: value for name, value in node.items() if name in known}
    for name in ("data", "evaluation", "objective"):
        if isinstance(kept.get(name), dict):
            kept[name] = {key: value for key, value in kept[name].items() if key in known[name]}
    return kept


def _path(run: RecordedRun, composed: str) -> str:
    """Of the table: where the run had it, else, within the project, where it is composed to be."""
    for place in (Path(run.params.get("data.path", "-")), PROJECT_ROOT / composed):
        if place.is_file():
            return str(place)
    says = f"The table of {run.run_id} ({run.name}) is not here: {run.params.get('data.path', composed)}."
    raise InvalidConfig(Fault(says, again("gate=none") + "   (without training on it)"))
