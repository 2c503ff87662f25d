"""What trials of a search are compared after, before their end: some of the folds, or some trees of all folds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from boston_exp.config.invocation import again
from boston_exp.config.schema import Config
from boston_exp.errors import Fault, InvalidConfig, did_you_mean
from boston_exp.sweep.plan import Aim

FOLDS, TREES = "folds", "trees"
WITH_RUNGS = ("SuccessiveHalvingPruner", "HyperbandPruner")
HALVING = "hydra/sweeper/pruner=successive_halving"


def rungs(pruner: Mapping[str, Any], size: int) -> tuple[int, ...]:
    """Numbers of trees below `size` at which these settings of a pruner compare trials."""
    factor, found = int(pruner["reduction_factor"]), []
    step = int(pruner["min_resource"]) * factor ** int(pruner.get("min_early_stopping_rate", 0))
    while step < size:
        found.append(step)
        step *= factor
    return tuple(found)


def faults(
    pruner: Mapping[str, Any] | None, resource: str, storage: str | None, aim: Aim, config: Config
) -> Iterator[Fault]:
    """What keeps a search of this aim from comparing its trials so."""
    if resource not in (FOLDS, TREES):
        says = f"hydra.sweeper.resource={resource} is not possible: choose one of folds, trees."
        yield Fault(says + did_you_mean(resource, (FOLDS, TREES)), _folds_instead())
        return
    kind = _kind(pruner)
    if kind == "HyperbandPruner" and not _is_count(pruner, "max_resource"):
        most = max(1, config.evaluation.n_splits * config.evaluation.n_repeats) if resource == FOLDS else 200
        says = f"Hyperband needs to know how many {resource} a trial has at its end."
        yield Fault(says, again(f"hydra.sweeper.pruner.max_resource={most}", multirun=True))
    if resource == TREES:
        yield from _trees_faults(pruner, storage, aim, config)


def _trees_faults(pruner: Mapping[str, Any] | None, storage: str | None, aim: Aim, config: Config) -> Iterator[Fault]:
    from boston_exp.experiment.growing import COUNTS, count_of
    from boston_exp.experiment.models import build

    trees = "hydra.sweeper.resource=trees"
    if _kind(pruner) not in WITH_RUNGS:
        says = f"{trees} compares trials at rungs, which {_kind(pruner) or 'hydra/sweeper/pruner=none'} does not have."
        yield Fault(says, again(HALVING, without=["hydra/sweeper/pruner", "hydra.sweeper.pruner"], multirun=True))
    elif not _is_count(pruner, "min_resource"):
        says = f"{trees} needs a first rung, and hydra.sweeper.pruner.min_resource is no whole number of at least 1."
        yield Fault(says, again("hydra.sweeper.pruner.min_resource=20", multirun=True))
    if storage is None:
        says = f"{trees} needs a study that jobs can report to, and hydra.sweeper.storage=null keeps it in memory."
        yield Fault(says, again(without=["hydra.sweeper.storage"], multirun=True))
    if "fit_seconds" in aim.metrics:
        says = f"{trees} and the objective fit_seconds exclude each other: models that grow are not fitted at once."
        yield Fault(says, _folds_instead())
    elif len(aim.metrics) > 1 or not aim.metrics[0].startswith("cv_"):
        says = f"{trees} compares trials by one metric of the folds, and the objective is {', '.join(aim.metrics)}."
        yield Fault(says, again("evaluation=cv", "objective.metric=cv_rmse", multirun=True))
    try:
        grows = count_of(build(config)) is not None
    except InvalidConfig:  # a bad point, which will say so itself
        return
    if not grows:
        model = str(config.model["_target_"]).rpartition(".")[2]
        says = f"{trees} needs a model that grows to the last bit, and {model}, as it is set, does not; "
        yield Fault(f"{says}{', '.join(COUNTS)} do, without early stopping.", _folds_instead())


def _kind(pruner: Mapping[str, Any] | None) -> str:
    return str(pruner.get("_target_")).rpartition(".")[2] if pruner else ""


def _is_count(pruner: Mapping[str, Any] | None, name: str) -> bool:
    value = pruner.get(name) if pruner else None
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _folds_instead() -> str:
    return again("hydra.sweeper.resource=folds", multirun=True)
