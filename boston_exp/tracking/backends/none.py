"""tracking.backend=none: trains and prints, records nothing. Absence is an object, so that callers never branch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from boston_exp.tracking.destination import Destination
from boston_exp.tracking.protocol import Failure, Finished, Outcome, Plan, Refit, SweepPlan
from boston_exp.tracking.recorded import RecordedRun


class Nowhere:
    run_id: str | None = None
    where = "nowhere (tracking=none)"
    next_command: str | None = None


class NotRecorded(Nowhere):
    def log(self, outcome: Outcome) -> None: ...

    def log_files(self, files: Path) -> None: ...


class SweepNotRecorded(Nowhere):
    elsewhere: str | None = None

    def __init__(self, where: str = Nowhere.where) -> None:
        self.where = where

    def link(self, run_id: str) -> str:
        return ""

    def note_elsewhere(self, note: str | None) -> None: ...

    def finished_points(self) -> dict[str, Finished]:
        return {}

    def finished(self, run_id: str) -> Finished | None:
        return None

    def fail(self, run_id: str | None, failure: Failure) -> str | None:
        return None

    def point_ended(self, run_id: str | None, reused: bool) -> None: ...

    def log(self, metrics: dict[str, float], tags: dict[str, str], files: Path) -> None: ...

    def store_model(self, best: Finished, refit: Refit) -> None: ...


class NoTracker:
    outage: str | None = None

    @contextmanager
    def start(self, plan: Plan) -> Iterator[NotRecorded]:
        yield NotRecorded()

    def find_finished(self, fingerprint: str, with_model: bool, metrics: Sequence[str]) -> Finished | None:
        return None

    @contextmanager
    def sweep(self, plan: SweepPlan) -> Iterator[SweepNotRecorded]:
        yield SweepNotRecorded()


class NoHistory:
    """Of a backend that cannot be read back: no runs."""

    def best(self, metric: str, direction: str, top: int, where: str = "") -> list[RecordedRun]:
        return []

    def newest(self, where: str = "", top: int | None = None) -> list[RecordedRun]:
        return []

    def count(self, where: str = "", expected: int = 0) -> int:
        return 0

    def named(self, text: str) -> list[str]:
        return []

    def registered(self, uri: str) -> str | None:
        return None

    def run(self, run_id: str) -> RecordedRun | None:
        return None

    def children(self, parent_id: str) -> list[RecordedRun]:
        return []

    def models(self, run_id: str) -> list[str]:
        return []

    def artifact(self, run_id: str, path: str, folder: Path) -> Path | None:
        return None

    def model(self, run_id: str, uri: str | None, folder: Path) -> Path | None:
        return None

    def aliases(self) -> dict[str, list[str]]:
        return {}


def open_tracker(destination: Destination) -> NoTracker:
    return NoTracker()
