"""The failures a user can meet, and how a command tells them."""

from __future__ import annotations

import difflib
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar, cast

Argument = TypeVar("Argument")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: what and where in `says`, and the next command to type in `mend`."""

    says: str
    mend: str


class ExpectedFailure(Exception):
    """A failure with one or more faults; commands print them without a traceback and exit 2.

    ExpectedFailure
    ├── Refused              the input cannot be used: nothing was trained, nothing recorded
    │   ├── InvalidConfig    known from the composed configuration alone
    │   ├── InvalidData      known once the table was read
    │   └── DataUnavailable  the file is missing and its DVC remote does not give it
    ├── StoreUnusable        the tracking store cannot be opened or written
    ├── ServerRefuses        an MLflow server answers, and what it says is for us to mend: password, scheme, address
    ├── RecordingFailed      the fit is done but its record could not be written; the run is not FINISHED
    └── PointsFailed         a sweep went through, but not every point of it
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


class ServerRefuses(ExpectedFailure): ...


class RecordingFailed(ExpectedFailure): ...


class PointsFailed(ExpectedFailure): ...


class Pruned(Exception):
    """A point of a search that is not worth finishing; not a failure."""


class Together:
    """Tries several steps that do not need each other and, when left, raises their refusals as one.

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


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised where the program stands so that an open run is closed as KILLED."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the nearest of the known names, or nothing."""
    nearest = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""


_hidden: set[str] = set()


def hide(*secrets: str) -> None:
    """From here on nothing that passes `without_secrets` shows these."""
    _hidden.update(secret for secret in secrets if len(secret) > 7)  # a short one would blank out words


def without_secrets(text: str) -> str:
    """The text without the passwords and tokens of the URIs in it, and without what was hidden."""
    for secret in sorted(_hidden, key=len, reverse=True):
        text = text.replace(secret, "***")
    text = re.sub(r"(\w://)[^\s'\"]*@", r"\1***@", text)
    return re.sub(r"((?:password|token|secret\w*|access_key)=)[^&\s'\"]+", r"\1***", text, flags=re.IGNORECASE)


def has_password(text: str) -> bool:
    """Whether a URI in the text carries more than the name of a user."""
    return bool(re.search(r"\w://[^\s'\"/@]*:[^\s'\"]+@|https?://[^\s'\"]+@|(password|token)=", text, re.IGNORECASE))


def tell(failure: ExpectedFailure) -> None:
    """Print every fault with its next command to stderr."""
    if len(failure.faults) > 1:
        print(f"{len(failure.faults)} things are wrong:\n", file=sys.stderr)
    for fault in failure.faults:
        print(without_secrets(f"error: {fault.says}\n  next: {fault.mend}"), file=sys.stderr)


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM raises Terminated in here, once: closing what is open is not to be interrupted. Main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _terminated.append(number)
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


_terminated: list[int] = []

# A forked worker that does nothing at the moment just ends; one that has a job is terminable again (sweep/points.py).
os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))


@contextmanager
def plainly() -> Iterator[None]:
    """Exit 2 after an expected failure, 130 or 143 after an interruption, and let Hydra tell the rest.

    Hydra reports a job's exception through `sys.excepthook` and then exits 1, in a single run and in a
    sweep alike, so the hook is where ours are told; what Hydra refuses keeps its message and its code.
    """

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, ExpectedFailure):
            tell(error)
        else:
            sys.__excepthook__(kind, error, trace)

    sys.excepthook = hook
    try:
        yield
    except ExpectedFailure as failure:  # HYDRA_FULL_ERROR=1, or raised outside of a job
        tell(failure)
        sys.exit(2)
    except KeyboardInterrupt as interruption:
        word, code = ("terminated", 143) if isinstance(interruption, Terminated) else ("interrupted", 130)
        print(word, file=sys.stderr)
        sys.exit(code)
    except Exception:
        if _terminated:  # raised in the middle of an import, which made something else of it
            print("terminated", file=sys.stderr)
            sys.exit(143)
        raise
    except SystemExit as stop:
        reported = stop.__context__
        if isinstance(reported, ExpectedFailure):
            sys.exit(2)
        raise
