"""tracking=none: nobody records."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from boston_exp.tracking.protocol import Outcome, Plan


class NotRecorded:
    run_id: str | None = None
    where = "nowhere (tracking=none)"
    next_command: str | None = None

    def log(self, outcome: Outcome) -> None:
        """Nothing: absence is an object, so that callers never branch."""


class NoTracker:
    @contextmanager
    def start(self, plan: Plan) -> Iterator[NotRecorded]:
        yield NotRecorded()
