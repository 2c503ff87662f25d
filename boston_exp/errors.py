"""The failures a user can meet: what is wrong, where, and the next command to type."""

from __future__ import annotations

import difflib
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeVar, cast

from boston_exp.redaction import redact

Argument = TypeVar("Argument")
Made = TypeVar("Made")


class Kind(Enum):
    """What a fault is about, for code that decides by it; its text is for people alone."""

    OTHER = auto()
    VALUE = auto()  # a setting that is out of range or unknown
    BUCKET_MISSING = auto()  # or not visible to this key
    OLD_SCHEMA = auto()  # of a store: `doctor fix=true` upgrades it
    OTHER_PROGRAM = auto()  # something else listens on that port
    SECRET = auto()  # where it would be written down


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: what and where in `says`, and the next command to type in `mend`."""

    says: str
    mend: str
    kind: Kind = Kind.OTHER


class ExpectedFailure(Exception):
    """A failure with one or more faults; commands print them without a traceback and exit 2.

    ExpectedFailure
    ├── Refused              the input cannot be used: nothing was trained, nothing recorded
    │   ├── InvalidConfig    known from the composed configuration alone
    │   ├── InvalidData      known once the table was read
    │   └── DataUnavailable  the file is missing and its DVC remote does not give it
    ├── StoreUnusable        the tracking store cannot be opened or written
    ├── DiskRefuses          it is full, or nothing may be written there
    ├── ClusterUnusable      Slurm or Ray does not answer; its jobs, if it has some, go on
    ├── ServerRefuses        an MLflow server answers, and the cause is on this side: password, scheme, address
    ├── FitFailed            the estimator raises in fit or predict; the run is FAILED
    └── RecordingFailed      the fit is done but its record could not be written; the run is not FINISHED
    """

    def __init__(self, *faults: Fault) -> None:
        self.faults = faults
        super().__init__("\n".join(fault.says for fault in faults))

    def __reduce__(self) -> tuple[type[ExpectedFailure], tuple[Fault, ...]]:
        return type(self), self.faults


class Refused(ExpectedFailure): ...


class InvalidConfig(Refused): ...


class InvalidData(Refused): ...


class DataUnavailable(Refused): ...


class StoreUnusable(ExpectedFailure): ...


class DiskRefuses(ExpectedFailure): ...


class ClusterUnusable(ExpectedFailure): ...


class ServerRefuses(ExpectedFailure): ...


class FitFailed(ExpectedFailure): ...


class RecordingFailed(ExpectedFailure): ...


class NotPromoted(ExpectedFailure): ...


class Pruned(Exception):
    """A point of a search that is not worth finishing after a fold, or with more trees than it has in all folds, with
    its scores so far; not a failure."""

    def __init__(
        self, says: str, fold: int = 0, metrics: Mapping[str, float] | None = None, trees: int | None = None
    ) -> None:
        super().__init__(says)
        self.fold, self.metrics, self.trees = fold, dict(metrics or {}), trees

    def __reduce__(self) -> tuple[type[Pruned], tuple[str, int, dict[str, float], int | None]]:
        return type(self), (str(self), self.fold, self.metrics, self.trees)


class Detached(Exception):
    """A command ends here, and what it has begun goes on elsewhere: its run stays open, and belongs to no process."""


class Together:
    """Run several independent steps; on exit, raise the refusals of all of them as one.

    with Together(InvalidData) as attempt:
        dataset = attempt(load, config)
        estimator = attempt(build, config)
    """

    def __init__(self, kind: type[Refused]) -> None:
        self._kind = kind
        self._faults: list[Fault] = []

    def __enter__(self) -> Together:
        return self

    def __call__(self, step: Callable[[Argument], Made], argument: Argument) -> Made:
        try:
            return step(argument)
        except Refused as refusal:
            self._faults += refusal.faults
            return cast(Made, None)  # never used: leaving the block raises

    def __exit__(self, *exception: object) -> None:
        if self._faults:
            raise self._kind(*self._faults)


def traced(error: BaseException) -> str:
    """The traceback, and what an expected failure advises; without secrets."""
    text = "".join(traceback.format_exception(error))
    if isinstance(error, ExpectedFailure):
        text += "".join(f"next: {fault.mend}\n" for fault in error.faults)
    return redact(text)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like this one, if any is."""
    found = difflib.get_close_matches(name, list(known), n=1)
    return found[0] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the nearest of the known names, or nothing."""
    found = nearest(name, known)
    return f" Did you mean {found!r}?" if found else ""


def print_failure(failure: ExpectedFailure) -> None:
    """Print every fault with its next command to stderr, secrets redacted."""
    if len(failure.faults) > 1:
        print(f"{len(failure.faults)} things are wrong:\n", file=sys.stderr)
    for fault in failure.faults:
        print(redact(f"error: {fault.says}\n  next: {fault.mend}"), file=sys.stderr)
