"""tracking=none: nobody records."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from boston_exp.tracking.protocol import Finished, Outcome, Plan, SweepPlan


class Nowhere:
    """Absence is an object, so that callers never branch."""

    run_id: str | None = None
    where = "nowhere (tracking=none)"
    next_command: str | None = None


class NotRecorded(Nowhere):
    def log(self, outcome: Outcome) -> None: ...


class SweepNotRecorded(Nowhere):
    server_answers = False

    def __init__(self, where: str = Nowhere.where) -> None:
        self.where = where

    def finished_points(self) -> dict[str, Finished]:
        return {}

    def fail(
        self, run_id: str | None, name: str, params: dict[str, str], tags: dict[str, str], message: str
    ) -> str | None:
        return None

    def took(self, run_id: str | None) -> None: ...

    def log(self, metrics: dict[str, float], tags: dict[str, str], files: Path) -> None: ...

    def get_ready(self) -> None: ...

    def adopt_model(self, run_id: str | None) -> bool:
        return True

    def log_model(self, best: Outcome, run_id: str) -> None: ...


class NoTracker:
    @contextmanager
    def start(self, plan: Plan) -> Iterator[NotRecorded]:
        yield NotRecorded()

    def find_finished(self, fingerprint: str, with_model: bool) -> Finished | None:
        return None

    @contextmanager
    def sweep(self, plan: SweepPlan) -> Iterator[SweepNotRecorded]:
        yield SweepNotRecorded()
