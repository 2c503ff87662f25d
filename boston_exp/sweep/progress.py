"""How far a sweep is: what runs and what waits, what has ended and how, the best so far, the time that is left."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from boston_exp.sweep.plan import Aim, Point, Result


@dataclass(frozen=True)
class Running:
    """A point that a worker has, and since when."""

    point: Point
    since: float


class Progress:
    """Is told what begins and what ends. `now` is what time.monotonic() says, in seconds."""

    def __init__(self, total: int | None, aim: Aim, workers: int) -> None:
        self.aim = aim
        self.deadline: float | None = None  # when the search ends, whatever is left of it
        self.workers: list[Running | None] = [None] * max(1, workers)  # what each of them has
        self.waiting: dict[Point, None] = {}  # handed over, with all workers busy: a cluster's queue
        self.counts: Counter[str] = Counter()
        self.best: Result | None = None
        self._planned = total
        self._first: float | None = None
        self._trained = 0  # points that were trained here and now, pruned and failed ones included
        self._seconds = 0.0  # that took

    @property
    def done(self) -> int:
        return self.counts.total()

    @property
    def total(self) -> int | None:
        """None for a search whose number of points is open; a study may hold more points than were asked for."""
        return None if self._planned is None else max(self._planned, self.done)

    @property
    def running(self) -> list[Running]:
        return [each for each in self.workers if each]

    def began(self, point: Point, now: float) -> None:
        """A worker has the point; one that is tried again has it anew."""
        self._take_away(point, now)
        self._first = now if self._first is None else self._first
        if None in self.workers:
            self.workers[self.workers.index(None)] = Running(point, now)
        else:
            self.waiting[point] = None

    def ended(self, result: Result, now: float) -> float:
        """Returns the seconds that the point took, 0.0 if nobody trained it here and now."""
        had = self._take_away(result.point, now)
        self.counts[result.status] += 1
        self.best = self.aim.best([self.best, result] if self.best else [result])
        if had is None or result.status == "reused":
            return 0.0
        took = now - had.since  # not `result.seconds`, which has the time in a cluster's queue in it
        if took > 0:
            self._trained += 1
            self._seconds += took
        return took

    def left(self, now: float) -> float | None:
        """Seconds until the last point has ended, by the mean of those that were trained here and now, or until the
        deadline; None where neither can be told."""
        clock = None if self.deadline is None else max(0.0, self.deadline - now)
        if self.total is None:
            return clock
        if not self._trained:  # the last point may well end before the deadline
            return None
        mean, points = self._seconds / self._trained, self.total - self.done
        begun = [max(0.0, mean - (now - each.since)) for each in self.running]
        work = sum(begun) + mean * max(0, points - len(begun))
        left = max([work / max(1, min(len(self.workers), points)), *begun])
        return left if clock is None else min(left, clock)

    def busy(self, now: float) -> float:
        """The share of the workers' time, since the first point began, that they had a point."""
        if self._first is None or now <= self._first:
            return 0.0
        worked = self._seconds + sum(now - each.since for each in self.running)
        return min(1.0, worked / (len(self.workers) * (now - self._first)))

    def _take_away(self, point: Point, now: float) -> Running | None:
        """From the worker that has it; the next that waits takes its place."""
        if point in self.waiting:
            del self.waiting[point]
            return Running(point, now)
        for place, each in enumerate(self.workers):
            if each and each.point == point:
                self.workers[place] = None
                if self.waiting:
                    following = next(iter(self.waiting))
                    del self.waiting[following]
                    self.workers[place] = Running(following, now)
                return each
        return None
