"""What `hydra/sweeper=optuna` is told, and what is wrong with that by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from importlib.util import find_spec
from typing import Any

from hydra.errors import HydraException
from omegaconf import OmegaConf

from boston_exp.config.invocation import again
from boston_exp.errors import Fault, InvalidConfig, did_you_mean
from boston_exp.sweep import fidelity
from boston_exp.tracking.studies import pruner_of, sampler_of

SAMPLER = ("hydra/sweeper/sampler", "hydra.sweeper.sampler")
PRUNER = ("hydra/sweeper/pruner", "hydra.sweeper.pruner")


@dataclass(frozen=True)
class Settings:
    """As in conf/hydra/sweeper/optuna.yaml."""

    sampler: Any
    n_trials: int | None
    n_jobs: int
    storage: str | None
    study_name: str | None
    direction: Any
    pruner: Any = None
    resource: str = fidelity.FOLDS  # that trials are compared after
    least: Any = None  # of each resource, for conf/hydra/sweeper/pruner

    @staticmethod
    def of(given: Mapping[str, Any]) -> Settings:
        """Raises InvalidConfig for a setting that the sweeper does not have."""
        known = [each.name for each in fields(Settings)]
        faults = [
            Fault(
                f"hydra.sweeper.{name}: the sweeper has no such setting.{did_you_mean(name, known)}",
                again(without=[f"hydra.sweeper.{name}"], multirun=True),
            )
            for name in given
            if name not in known
        ]
        if faults:
            raise InvalidConfig(*faults)
        name = given["study_name"]  # one that is typed as 3 is a text, too
        return Settings(**{**given, "study_name": None if name is None else str(name)})


def sampling(sampler: Any, conditional: bool) -> Any:
    """TPE with what lets it see parameters that not every trial has, unless that is set."""
    if sampler.get("group", False) is not None:
        return sampler
    return OmegaConf.merge(sampler, {"group": conditional, **({"multivariate": True} if conditional else {})})


def settings_faults(settings: Settings, sampler: Any, swept: tuple[str, ...]) -> Iterator[Fault]:
    """What is wrong with them, known before anything is opened; `sampler` is that of `sampling`."""
    if settings.n_trials is not None and not _is_whole(settings.n_trials):
        says = f"hydra.sweeper.n_trials={settings.n_trials} is not possible: it has to be a whole number, or null."
        yield Fault(says, again("hydra.sweeper.n_trials=30", multirun=True))
    elif settings.n_trials is not None and settings.n_trials < 1:
        says = f"hydra.sweeper.n_trials={settings.n_trials} would try nothing."
        yield Fault(says, again("hydra.sweeper.n_trials=30", multirun=True))
    if not _is_whole(settings.n_jobs):
        says = f"hydra.sweeper.n_jobs={settings.n_jobs} is not possible: it has to be a whole number, "
        yield Fault(f"{says}-1 for as many as there are workers.", again("hydra.sweeper.n_jobs=-1", multirun=True))
    if not swept:
        mend = again("model.max_depth=range(2,20)", multirun=True)
        yield Fault("There is nothing to search: no parameter has a range.", mend)
    yield from _sampler_faults(sampler)
    if settings.pruner is not None:
        try:
            pruner_of(settings.pruner)
        except (HydraException, TypeError, ValueError) as error:
            yield _not_made(PRUNER, error)


def _sampler_faults(sampler: Any) -> Iterator[Fault]:
    target = str(sampler.get("_target_"))
    if target.endswith("GridSampler"):
        mend = again("hydra/sweeper=basic", without=[SAMPLER[0], "hydra.sweeper"], multirun=True)
        yield Fault("Optuna's grid sampler is not used here.", mend)
        return
    for name, module in (("GPSampler", "torch"), ("CmaEsSampler", "cmaes")):
        if target.endswith(name) and find_spec(module) is None:
            yield Fault(f"{name} needs {module}, which is not installed.", f"python -m pip install {module}")
            return
    try:
        sampler_of(sampler)
    except (HydraException, TypeError, ValueError) as error:
        yield _not_made(SAMPLER, error)


def _not_made(keys: tuple[str, str], error: Exception) -> Fault:
    reason = str(error).partition("\n")[0].rstrip(".")
    return Fault(f"{keys[1]} is not possible: {reason}.", again(without=keys, multirun=True))


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
