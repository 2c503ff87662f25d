"""What ends a search before its number of points: the clock, or that nothing has improved for long."""

from __future__ import annotations

import time

from boston_exp.sweep.plan import SUCCEEDED, Aim, Result


class TimeIsUp(KeyboardInterrupt):
    """`timeout` seconds are over: what is running is left, and its run closed as KILLED, as by Ctrl-C."""


class Ending:
    """Is told each result, and says in `reason` why no more points are asked for; '' while they are."""

    def __init__(self, aim: Aim, patience: int | None = None, timeout: float | None = None) -> None:
        self._aim = aim
        self._patience = patience
        self._timeout = timeout
        self._front: list[tuple[float, ...]] = []  # scores that nothing has beaten in all objectives, as costs
        self._stale = 0  # points since one that improved on it
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.ends_at = None if timeout is None else time.time() + timeout

    @property
    def reason(self) -> str:
        if self.deadline is not None and time.monotonic() >= self.deadline:
            return f"timeout={self._timeout:g} seconds are over; the same command goes on from here"
        if self._patience is not None and self._stale >= self._patience:
            return f"the last {self._stale} points have not improved on the best; a larger search.patience goes on"
        return ""

    def take(self, result: Result) -> None:
        scores = [result.metrics.get(metric) for metric in self._aim.metrics]
        if result.status not in SUCCEEDED or None in scores:
            self._stale += bool(self._front)
            return
        signs = [-1.0 if way == "maximize" else 1.0 for way in self._aim.directions]
        costs = tuple(sign * score for sign, score in zip(signs, scores, strict=True) if score is not None)
        if any(all(old <= new for old, new in zip(kept, costs, strict=True)) for kept in self._front):
            self._stale += 1
            return
        self._front = [kept for kept in self._front if not _beats(costs, kept)] + [costs]
        self._stale = 0


def _beats(costs: tuple[float, ...], others: tuple[float, ...]) -> bool:
    return all(mine <= its for mine, its in zip(costs, others, strict=True))
