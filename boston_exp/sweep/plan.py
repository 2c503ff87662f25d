"""The facts of a sweep: points, results, ranges, keys, and the report that all of it ends in."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from boston_exp.config.invocation import again, again_alone
from boston_exp.errors import Fault, InvalidConfig
from boston_exp.experiment.checks.finding import Finding
from boston_exp.reporting import numbers
from boston_exp.training.naming import assigned

Space = Mapping[str, Override]  # swept overrides by their keys as they were typed, `+model.ccp_alpha` included
Assignment = tuple[int, list[str]]  # the number of a job, whose folder it names, and its overrides
SUCCEEDED = ("finished", "reused")
ENDED = (*SUCCEEDED, "pruned", "failed")
GOES_ON = "the same command goes on from here"
BEGINS_ANEW = "its study was in memory alone, and the same command begins another"


@dataclass(frozen=True, slots=True)
class Point:
    """One combination of values: all overrides as a launcher takes them, and those that distinguish it."""

    overrides: tuple[str, ...]
    swept: tuple[tuple[str, str], ...]
    trial: int | None = None  # its number in Optuna's study

    @staticmethod
    def of(overrides: Sequence[str], space: Iterable[str], trial: int | None = None) -> Point:
        names = {name_of(key) for key in space}
        pairs = ((name_of(key), value) for key, _, value in (override.partition("=") for override in overrides))
        return Point(tuple(overrides), tuple((name, value) for name, value in pairs if name in names), trial)

    @property
    def name(self) -> str:
        return assigned(self.swept) or "the only point"

    @property
    def command(self) -> str:
        """Trains this point again, alone."""
        return again_alone(self.overrides)


@dataclass(frozen=True, slots=True)
class Result:
    """How a point ended: finished, reused, pruned or failed."""

    point: Point
    key: str
    status: str
    run_id: str | None
    metrics: Mapping[str, float]
    message: str = ""
    trace: str = ""
    seconds: float = 0.0  # that its worker had it for; 0 if it was not run in this part of the sweep
    known: int = 0  # results that were there when it was asked for


class Source(Protocol):
    """Where workers get their points from."""

    @property
    def deadline(self) -> float | None:
        """Seconds of the monotonic clock, when they have to leave them."""

    @property
    def left(self) -> Sequence[int]:
        """Numbers of jobs that an earlier command has left to workers who are still there."""

    def next(self, after: int | None) -> Assignment | None:
        """The next job for a worker that is free; `after` is the number of the job that it has just ended, if any.

        None: there is nothing to do now. After the next result there may be.
        """


@dataclass(frozen=True)
class Aim:
    """What is optimised: one metric, or several for a Pareto front, and which way each is better."""

    metrics: tuple[str, ...]
    directions: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(f"{way} {metric}" for metric, way in zip(self.metrics, self.directions, strict=True))

    def best(self, results: Iterable[Result]) -> Result | None:
        """The best point by the first metric."""
        metric = self.metrics[0]
        done = [result for result in results if metric in result.metrics and result.status in SUCCEEDED]
        return min(done, key=self.cost, default=None)

    def cost(self, result: Result, objective: int = 0) -> float:
        """One of its scores, turned so that less is better."""
        score = result.metrics[self.metrics[objective]]
        return -score if self.directions[objective] == "maximize" else score

    def score_of(self, result: Result) -> str:
        """`cv_rmse 3.721 ± 0.54` by the first metric; where that selects on the held-out rows, this says so."""
        metric = self.metrics[0]
        text = f"{metric} {numbers.plus_minus(result.metrics[metric], result.metrics.get(f'{metric}_std', math.nan))}"
        return f"{text}, optimistic: selected on the held-out rows" if metric in self.on_held_out_rows else text

    @property
    def on_held_out_rows(self) -> list[str]:
        """The metrics of held-out rows that points are selected by: those scores are optimistic then."""
        return [
            name for name in self.metrics if not name.startswith(("cv_", "train_")) and not name.endswith("_seconds")
        ]


@dataclass(frozen=True)
class Families:
    """Options of a group that were searched together, each with parameters of its own."""

    group: str  # the setting that says of which family a point is
    parameters: Mapping[str, Mapping[str, str]]  # names in the study, by setting, by option: model.alpha is ridge.alpha

    def of(self, point: Point) -> str:
        return dict(point.swept)[self.group]


@dataclass(frozen=True)
class Family:
    """`contends`: no other point is shown to be better than all of its own; None where that is not known."""

    name: str
    points: tuple[Result, ...]  # in the order in which they ended
    best: Result | None
    contends: bool | None = None


@dataclass(frozen=True)
class Report:
    """A sweep that is over."""

    kind: str  # of the search
    total: int | None  # points that were planned; None if only the clock or patience ends it
    swept: tuple[str, ...]  # names of the parameters
    aim: Aim
    results: tuple[Result, ...]  # in the order in which they ended
    importances: Mapping[str, float] = field(default_factory=dict)  # of the parameters, where a search can tell
    name: str = ""  # of the sweep
    unit: str = ""  # of the target
    logarithmic: tuple[str, ...] = ()  # names of the parameters that were searched so
    about: str = ""  # what was trained on what
    place: tuple[str, ...] = ()  # overrides that lead another command to its experiment
    found: tuple[Finding, ...] = ()  # what may be wrong with its ranges
    ended_by: str = ""  # what ended it before all points were tried
    families: Families | None = None  # where options have parameters of their own
    compared: tuple[Family, ...] = ()  # these, the best first
    ranges: Mapping[str, str] = field(default_factory=dict)  # what was searched, by parameter, as it was written

    @property
    def best(self) -> Result | None:
        return self.aim.best(self.results)

    @property
    def scored(self) -> int:
        """Points that have a score of the first metric."""
        return sum(self.aim.metrics[0] in result.metrics for result in self.results)

    def count(self, status: str) -> int:
        return sum(result.status == status for result in self.results)


def name_of(key: str) -> str:
    """Of the parameter that an override sets: `+model.ccp_alpha` adds model.ccp_alpha."""
    return key.lstrip("+")


def values(space: Space) -> list[list[str]]:
    """Every value of every parameter, as an override.

    Raises InvalidConfig for a range without values, or without an end: a sweep without points, or with no end of them.
    """
    found: list[list[str]] = []
    faults: list[Fault] = []
    for key, override in space.items():
        found.append([])
        if not override.is_discrete_sweep():
            mend = again("hydra/sweeper=optuna", multirun=True)
            faults.append(Fault(f"{override.input_line} has no end of values for a grid.", mend))
            continue
        with suppress(ValueError, HydraException):
            found[-1] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        if not found[-1]:
            faults.append(Fault(f"{override.input_line} has no values.", again(f"{key}=1,2,3", multirun=True)))
    if faults:
        raise InvalidConfig(*faults)
    return found


def ranges_of(space: Space) -> dict[str, str]:
    """What is tried of each, as it was typed: `{"model.max_depth": "5,10"}`."""
    return {key: str(override.input_line).partition("=")[2] for key, override in space.items()}


def sweep_key(kind: str, fingerprint: str, aim: Aim, lines: Iterable[str]) -> str:
    """Identifies a sweep, so that the same command continues it: what decides its results, its ranges, its aim.

    `lines` say what is searched, in any order.
    """
    return _digest(kind, fingerprint, *aim.metrics, *sorted(lines))


def point_key(key: str, point: Point) -> str:
    """Identifies a point of the sweep with that key."""
    return _digest(key, *(f"{name}={value}" for name, value in sorted(point.swept)))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
