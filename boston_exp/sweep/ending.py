"""What ends a search before its number of points: the clock, that nothing has improved for long, or that little can."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from boston_exp.config.invocation import again
from boston_exp.config.schema import Config
from boston_exp.errors import Fault, Kind
from boston_exp.sweep.plan import GOES_ON, SUCCEEDED, Aim, Result

FIRST, EVERY = 20, 10  # scores before the first look at what can still be found, and between two: one takes 0.03 s
NOISE = "noise"


class TimeIsUp(KeyboardInterrupt):
    """`timeout` seconds are over: what is running is left, and its run closed as KILLED, as by Ctrl-C."""


@dataclass(frozen=True)
class Gain:
    """`search.gain`: a search ends when less improvement than that can be expected."""

    least: float | None  # in the objective's unit; None (`noise`): the standard error of the best score
    correction: float  # standard error of a mean over folds, as a multiple of their standard deviation
    left: Callable[[int], float]  # the improvement that the first so many scores let expect

    @staticmethod
    def of(config: Config, left: Callable[[int], float]) -> Gain | None:
        """The corrected standard error of comparisons, too (Nadeau and Bengio 2003): training rows of folds overlap."""
        gain, k = config.search.gain, config.evaluation.n_splits
        if gain is None:
            return None
        from boston_exp.lifecycle.ranking.contention import overlap_factor

        n_folds = k * config.evaluation.n_repeats
        correction = overlap_factor(n_folds, 1 / (k - 1)) / math.sqrt(n_folds) if k else math.nan
        return Gain(None if gain == NOISE else float(gain), correction, left)

    def enough(self, best: Result, metric: str) -> float:
        """The expected improvement that is not worth another point."""
        return self.correction * best.metrics.get(f"{metric}_std", 0.0) if self.least is None else self.least


class Ending:
    """Is told each result, and says in `reason` why no more points are asked for; '' while they are."""

    def __init__(
        self,
        aim: Aim,
        patience: int | None = None,
        timeout: float | None = None,
        gain: Gain | None = None,
        first: int = 0,
        then: str = GOES_ON,
    ) -> None:
        """`first` points are tried whatever they bring; `then` says what the same command does."""
        self._aim = aim
        self._patience = patience
        self._timeout = timeout
        self._gain = gain
        self._first = first
        self._then = then
        self._taken = 0
        self._front: list[tuple[float, ...]] = []  # scores that nothing has beaten in all objectives, as costs
        self._stale = 0  # points since one that improved on it
        self._best: Result | None = None
        self._scored = 0  # points that have a score
        self._left: dict[int, float] = {}  # improvement that could be expected, by the number of scores then
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.ends_at = None if timeout is None else time.time() + timeout

    @property
    def reason(self) -> str:
        if self.deadline is not None and time.monotonic() >= self.deadline:
            return f"timeout={self._timeout:g} seconds are over; {self._then}"
        if self._patience is not None and self._stale >= self._patience:
            return f"the last {self._stale} points have not improved on the best; a larger search.patience goes on"
        return self._exhausted(self._gain) if self._gain else ""

    def take(self, result: Result) -> None:
        self._taken += 1
        counts = self._taken > self._first  # the defaults of a family come after those of another, and are no trend
        if result.status not in SUCCEEDED or not set(self._aim.metrics) <= result.metrics.keys():
            self._stale += bool(self._front) and counts
            return
        self._scored += 1
        self._best = self._aim.best([self._best, result] if self._best else [result])
        costs = tuple(self._aim.cost(result, objective) for objective in range(len(self._aim.metrics)))
        if any(_beats(kept, costs) for kept in self._front):
            self._stale += counts
            return
        self._front = [kept for kept in self._front if not _beats(costs, kept)] + [costs]
        self._stale = 0

    def _exhausted(self, gain: Gain) -> str:
        """Two looks in a row have to say so, because a model of few points can be wrong. What they say depends on the
        first so many points alone: the same command, asked again, does not go on."""
        now = self._scored // EVERY * EVERY
        if now < FIRST + EVERY or self._best is None:
            return ""
        for looked in (now, now - EVERY):
            if looked not in self._left:
                self._left[looked] = gain.left(looked)
        enough, left = gain.enough(self._best, self._aim.metrics[0]), self._left[now]
        if max(left, self._left[now - EVERY]) >= enough:
            return ""
        says = f"the expected improvement left is {left:.2g}, less than "
        if gain.least is None:
            return f"{says}the best score's standard error, {enough:.2g} (search.gain=noise); search.gain=null goes on"
        return f"{says}search.gain={enough:g}; a smaller one goes on"


def gain_faults(gain: float | str | None, kind: str, aim: Aim, n_splits: int) -> Iterator[Fault]:
    """What keeps a search from ending by the expected improvement."""
    if gain is None:
        return
    says = f"search.gain={gain} is not possible: "
    if kind == "grid":
        mend = again("hydra/sweeper=optuna", multirun=True) + "   (or without search.gain)"
        yield Fault(f"{says}a grid tries every combination.", mend, Kind.VALUE)
    elif len(aim.metrics) > 1:
        mend = again(without=["search.gain"], multirun=True)
        yield Fault(f"{says}there are {len(aim.metrics)} objectives, and it looks at one.", mend, Kind.VALUE)
    elif gain == NOISE and not (n_splits and aim.metrics[0].startswith("cv_")):
        mend = again("search.gain=0.01", multirun=True) + f"   (a number in the unit of {aim.metrics[0]})"
        yield Fault(f"{says}{aim.metrics[0]} is no mean over folds, whose spread would say it.", mend, Kind.VALUE)


def _beats(costs: tuple[float, ...], others: tuple[float, ...]) -> bool:
    return all(mine <= its for mine, its in zip(costs, others, strict=True))
