"""Optuna's search: a trial is asked for as a worker gets free, and told as it ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import TrialState

from boston_exp.config.invocation import again, quoted
from boston_exp.config.schema import Config
from boston_exp.errors import Fault, InvalidConfig
from boston_exp.redaction import redact
from boston_exp.sweep import fidelity
from boston_exp.sweep.conditional import Conditional
from boston_exp.sweep.importances import importances
from boston_exp.sweep.improvement import Candidates, candidates, expected
from boston_exp.sweep.options import Groups
from boston_exp.sweep.optuna_settings import Settings, sampling, settings_faults
from boston_exp.sweep.plan import BEGINS_ANEW, GOES_ON, SUCCEEDED, Aim, Point, Result, Space
from boston_exp.sweep.spaces import Ranges
from boston_exp.tracking.studies import ERROR, KNOWN, RUN, open_study, sampler_of

STATUSES = {TrialState.COMPLETE: "reused", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


class OptunaSearch:
    """A search of ranges, in a study that loses nothing."""

    kind = "optuna"

    def __init__(self, settings: Settings, space: Space, fixed: list[str], groups: Groups | None = None) -> None:
        self.fixed = fixed
        self.total = settings.n_trials
        self._settings = settings
        self._ranges = Conditional(space, groups) if groups else Ranges(space)
        self.swept, self.written, self.lines = self._ranges.swept, self._ranges.written, self._ranges.lines
        self.first = len(self._ranges.defaults())
        kept = (
            settings.storage is not None or settings.sampler.get("seed") is not None
        )  # else nothing is proposed again
        self.then = GOES_ON if kept else BEGINS_ANEW
        self.families, self.logarithmic = self._ranges.families, self._ranges.logarithmic
        self._sampling = sampling(settings.sampler, bool(groups))
        self._asked: dict[Point, optuna.Trial] = {}
        self._candidates: Candidates | None = None  # of what can still be found, once somebody asks
        faults = list(settings_faults(settings, self._sampling, self.swept))
        if faults:
            raise InvalidConfig(*faults)

    def corners(self) -> tuple[Point, Point]:
        first, last = self._ranges.corners()
        return self._point(first), self._point(last)

    def faults(self, aim: Aim, config: Config) -> Iterator[Fault]:
        meant, asked = list(aim.directions), self._settings.direction
        asked = [asked] if isinstance(asked, str) else list(asked) if asked is not None else meant
        if asked != meant:
            says = f"hydra.sweeper.direction={self._settings.direction} contradicts the objective: "
            says += f"{', '.join(aim.metrics)} means {', '.join(meant)}."
            yield Fault(says, again(without=["hydra.sweeper.direction"], multirun=True))
        settings = self._settings
        yield from fidelity.faults(settings.pruner, settings.resource, settings.storage, aim, config)

    def open(self, key: str, config: Config, aim: Aim) -> None:
        settings = self._settings
        self._aim = aim
        model = config.model["_target_"].rpartition(".")[2]
        if self.families:
            model = f"{len(self.families.parameters)} of {self.families.group}"
        by = "" if settings.resource == fidelity.FOLDS else f" by {settings.resource}"  # steps of others mean others
        self._name = settings.study_name or f"{model} {' '.join(aim.metrics)}{by} {key[:12]}"
        prunable = len(aim.metrics) == 1 and aim.metrics[0].startswith("cv_")
        self._prunable = prunable and settings.pruner is not None and settings.storage is not None
        self._study = open_study(settings.storage, self._name, key, aim.metrics, aim.directions)

    def begin(self, at_once: int, left: Sequence[Point] = ()) -> Iterator[Result]:
        """Give back the trials of a process that is gone, yield the results of those that ended."""
        aim = self._aim
        self._at_once = at_once if self._settings.n_jobs < 1 else self._settings.n_jobs
        self._sampler = sampler_of(self._sampling)
        there = {point.trial: point for point in left}
        self._asked = {there[trial.number]: trial for trial in self._study.running(there)}
        for trial in self._study.stale(there):
            self._study.give_back(trial.number, trial.params if self._ranges.holds(trial.params) else {})
        self._study.begin_with(self._ranges.defaults())
        counted = self._study.counted()
        self._ended = len(counted)
        for trial in counted:
            scores = dict(zip(aim.metrics, trial.values, strict=True)) if trial.state == TrialState.COMPLETE else {}
            run_id, message = trial.user_attrs.get(RUN), trial.user_attrs.get(ERROR, "")
            point, known = self._point(trial.params, trial.number), trial.user_attrs.get(KNOWN, 0)
            yield Result(point, "", STATUSES[trial.state], run_id, scores, message, known=known)

    def news(self) -> Iterator[str]:
        another = self._study.sampled_by(self._sampling)
        if another and self._ended:
            before, now = another
            name = f"{self._name} {now.replace(', seed ', '-')}"  # without the search, it could be another one's
            mend = again(f"hydra.sweeper.study_name={quoted(name)}", multirun=True)
            yield f"the study goes on with its {self._ended} trials by {before}; from here on by {now}"
            yield f"a study of its own: {mend}"

    def ask(self, last: Point | None) -> Point | None:
        place = self._ended + len(self._asked)  # the same however often the search was interrupted
        if len(self._asked) >= self._at_once or (self.total is not None and place >= self.total):
            return None
        trial = self._study.ask(self._sampler(place), self._ended)
        point = self._point(self._ranges.suggest(trial), trial.number)
        self._asked[point] = trial
        return point

    def is_followed(self, point: Point) -> bool:
        return False

    def tell(self, result: Result) -> None:
        trial = self._asked.pop(result.point, None)
        if trial is None:  # left on a cluster by a command that was killed, and given back by `doctor fix=true`
            return
        if result.run_id:
            trial.set_user_attr(RUN, result.run_id)
        scores = [result.metrics[metric] for metric in self._aim.metrics if metric in result.metrics]
        if result.status in SUCCEEDED and len(scores) == len(self._aim.metrics):
            self._study.study.tell(trial, scores)
        elif result.status == "pruned":
            self._study.study.tell(trial, state=TrialState.PRUNED)
        else:
            trial.set_user_attr(ERROR, redact(result.message)[:2000] or "its run is finished, but has no finite score")
            self._study.study.tell(trial, state=TrialState.FAIL)
        self._ended += 1

    def give_back(self, point: Point) -> None:
        trial = self._asked.pop(point, None)
        if trial is not None:
            self._study.give_back(trial.number, trial.params)

    def leave(self, point: Point) -> None:
        if point in self._asked:
            self._study.leave(self._asked[point])

    def trial_of(self, point: Point) -> tuple[str, int, str] | None:
        if not self._prunable or point.trial is None:
            return None
        return self._name, point.trial, self._aim.metrics[0]

    def left(self, scored: int) -> float:
        if self._candidates is None:
            self._candidates = candidates(self._ranges.suggest)
        ended = self._study.counted()
        complete = [place for place, trial in enumerate(ended, 1) if trial.state == TrialState.COMPLETE]
        those = [trial for trial in ended[: complete[:scored][-1]] if trial.state != TrialState.FAIL]
        maximize = self._aim.directions[0] == "maximize"
        return expected([each for each in those if each.value is not None], self._candidates, maximize)

    def importances(self) -> Mapping[str, float]:
        return importances(self._study.study, self._ranges.importance_of)

    def _point(self, params: Mapping[str, Any], trial: int | None = None) -> Point:
        return Point.of([*self._ranges.overrides(params), *self.fixed], self.swept, trial)
