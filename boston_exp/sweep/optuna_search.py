"""Optuna's search: ask, run, tell, until the study has its number of trials."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import TrialState

from boston_exp.config.invocation import again
from boston_exp.config.schema import Config
from boston_exp.errors import Fault, InvalidConfig
from boston_exp.redaction import redact
from boston_exp.sweep.compat import distribution_of
from boston_exp.sweep.loop import Loop
from boston_exp.sweep.plan import Aim, Point, Result, Space, name_of, values
from boston_exp.tracking.studies import ERROR, RUN, open_study

STATUSES = {TrialState.COMPLETE: "reused", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


@dataclass(frozen=True)
class Settings:
    """What `hydra/sweeper=optuna` is told, as in conf/hydra/sweeper/optuna.yaml."""

    sampler: Any
    n_trials: int
    n_jobs: int
    storage: str | None
    study_name: str | None
    direction: Any
    pruner: Any


class OptunaSearch:
    """A search of ranges, in a study that loses nothing."""

    kind = "optuna"

    def __init__(self, settings: Settings, space: Space, fixed: list[str]) -> None:
        self.space = space
        self.fixed = fixed
        self.total = settings.n_trials
        self._settings = settings
        self._distributions = _distributions(space)
        logarithmic = (key for key, each in self._distributions.items() if getattr(each, "log", False))
        self.logarithmic = tuple(map(name_of, logarithmic))
        faults = list(_faults(settings, space))
        if faults:
            raise InvalidConfig(*faults)

    def corners(self) -> tuple[Point, Point]:
        return self._corner(0), self._corner(-1)

    def faults(self, aim: Aim) -> Iterator[Fault]:
        meant, asked = list(aim.directions), self._settings.direction
        asked = [asked] if isinstance(asked, str) else list(asked) if asked is not None else meant
        if asked != meant:
            says = f"hydra.sweeper.direction={self._settings.direction} contradicts the objective: "
            says += f"{', '.join(aim.metrics)} means {', '.join(meant)}."
            yield Fault(says, again(without=["hydra.sweeper.direction"], multirun=True))

    def begin(self, key: str, config: Config, aim: Aim, loop: Loop) -> None:
        """Open the study, give back the trials of a process that is gone, take the results of those that ended."""
        settings = self._settings
        self._aim = aim
        self._name = settings.study_name or f"{config.model['_target_'].rpartition('.')[2]}-{key[:12]}"
        prunable = len(aim.metrics) == 1 and aim.metrics[0].startswith("cv_")
        prunable = prunable and settings.pruner is not None and settings.storage is not None
        self._trial_of = (self._name, aim.metrics[0]) if prunable else None
        self._study = open_study(settings.storage, self._name, key, aim.directions, settings.sampler)
        for trial in self._study.stale():
            self._study.give_back(trial.number, trial.params)
        for trial in self._study.counted():
            scores = dict(zip(aim.metrics, trial.values, strict=True)) if trial.state == TrialState.COMPLETE else {}
            run_id, message = trial.user_attrs.get(RUN), trial.user_attrs.get(ERROR, "")
            loop.remember(self._point(trial.params), STATUSES[trial.state], scores, run_id, message)

    def run(self, loop: Loop, at_once: int) -> None:
        batch = at_once if self._settings.n_jobs < 1 else self._settings.n_jobs
        while (left := self.total - len(self._study.counted())) > 0:
            self._run_batch(loop, min(batch, left))

    def importances(self) -> Mapping[str, float]:
        return self._study.importances()

    def _run_batch(self, loop: Loop, size: int) -> None:
        asked: dict[Point, optuna.Trial] = {}
        try:
            for _ in range(size):
                trial = self._study.ask(self._distributions)
                asked[self._point(trial.params, trial.number)] = trial
            for result in loop.run(list(asked), self._trial_of):
                self._tell(asked.pop(result.point), result)
        finally:
            for trial in asked.values():
                self._study.give_back(trial.number, trial.params)

    def _tell(self, trial: optuna.Trial, result: Result) -> None:
        if result.run_id:
            trial.set_user_attr(RUN, result.run_id)
        scores = [result.metrics.get(metric, math.nan) for metric in self._aim.metrics]
        if result.status in ("finished", "reused") and not any(map(math.isnan, scores)):
            self._study.study.tell(trial, scores)
        elif result.status == "pruned":
            self._study.study.tell(trial, state=TrialState.PRUNED)
        else:
            trial.set_user_attr(ERROR, redact(result.message)[:2000])
            self._study.study.tell(trial, state=TrialState.FAIL)

    def _point(self, params: dict[str, Any], trial: int | None = None) -> Point:
        pairs = [f"{key}={in_grammar(value)}" for key, value in params.items()]
        return Point.of([*pairs, *self.fixed], self.space, trial)

    def _corner(self, side: int) -> Point:
        def end(distribution: BaseDistribution) -> object:
            if isinstance(distribution, CategoricalDistribution):
                return distribution.choices[side]
            return distribution.low if side == 0 else distribution.high  # type: ignore[attr-defined]

        return self._point({key: end(distribution) for key, distribution in self._distributions.items()})


def in_grammar(value: object) -> str:
    """A value as Hydra's override grammar writes it: `null`, `true`, numbers, text as it is."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _distributions(space: Space) -> dict[str, BaseDistribution]:
    values({key: override for key, override in space.items() if override.is_discrete_sweep()})
    faults: list[Fault] = []
    found: dict[str, BaseDistribution] = {}
    for key, override in space.items():
        try:
            found |= distribution_of(str(override.input_line))
        except (ValueError, AssertionError) as error:
            says = f"{override.input_line} is not a range that Optuna can search: {error}"
            mend = again(f"{key}=interval(1,10)", multirun=True) + f"   (or a list: {key}=1,2,3)"
            faults.append(Fault(says, mend))
    if faults:
        raise InvalidConfig(*faults)
    return found


def _faults(settings: Settings, space: Space) -> Iterator[Fault]:
    if settings.n_trials < 1:
        says = f"hydra.sweeper.n_trials={settings.n_trials} would try nothing."
        yield Fault(says, again("hydra.sweeper.n_trials=30", multirun=True))
    if not space:
        mend = again("model.max_depth=range(2,20)", multirun=True)
        yield Fault("There is nothing to search: no parameter has a range.", mend)
    target = str(settings.sampler.get("_target_"))
    if target.endswith("GridSampler"):
        optunas = ["hydra/sweeper/sampler", "hydra.sweeper"]
        mend = again("hydra/sweeper=basic", without=optunas, multirun=True)
        yield Fault("Optuna's grid sampler is not used here.", mend)
    for name, module in (("GPSampler", "torch"), ("CmaEsSampler", "cmaes")):
        if target.endswith(name) and find_spec(module) is None:
            yield Fault(f"{name} needs {module}, which is not installed.", f"python -m pip install {module}")
