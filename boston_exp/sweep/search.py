"""What a search is to the sweep around it, and the one that tries every combination."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from boston_exp.config.schema import Config
from boston_exp.errors import Fault
from boston_exp.sweep.chains import Chains, chained, growing_column
from boston_exp.sweep.plan import GOES_ON, Aim, Families, Point, Result, Space, name_of, ranges_of, values


class Search(Protocol):
    """Asks for points and is told their results."""

    kind: str
    swept: tuple[str, ...]  # names of the settings that it varies
    written: Mapping[str, str]  # what is searched, by parameter, as it was written
    lines: tuple[str, ...]  # what makes it another search
    families: Families | None  # where options have parameters of their own
    fixed: list[str]  # overrides that all points share
    total: int | None  # points, once it is complete; None if only the clock or patience ends it
    logarithmic: tuple[str, ...]  # names of the parameters that are searched on a logarithmic scale
    first: int  # points that it begins with, whatever they bring: every option's defaults
    then: str  # what the same command does once it has ended early

    def corners(self) -> tuple[Point, Point]:
        """Two points that differ in every parameter: what is wrong with both is wrong with the sweep."""

    def faults(self, aim: Aim, config: Config) -> Iterator[Fault]:
        """What keeps the search from this aim, with the configuration of one of its corners."""

    def open(self, key: str, config: Config, aim: Aim) -> None:
        """Open what it keeps its points in, before the sweep's parent is open.

        Raises InvalidConfig if that cannot be used.
        """

    def begin(self, at_once: int, left: Sequence[Point] = ()) -> Iterable[Result]:
        """The sweep's parent is open: take up what an earlier part has left, and yield the results that it had.

        `at_once` workers will want a point each. The points `left` are on a cluster, and not asked for again: those
        that are in no result will be told.
        """

    def ask(self, last: Point | None) -> Point | None:
        """The next point for a worker that has just ended `last`, if it is no new one; None if there is none now."""

    def is_followed(self, point: Point) -> bool:
        """Whether its worker is to have one next that differs in a larger number of trees alone."""

    def tell(self, result: Result) -> None:
        """How a point has ended that was asked for."""

    def give_back(self, point: Point) -> None:
        """A point that was asked for was left before its end: it is asked for again, by the next part."""

    def leave(self, point: Point) -> None:
        """A point that was asked for goes on without this process: who collects it tells how it ended."""

    def trial_of(self, point: Point) -> tuple[str, int, str] | None:
        """Optuna's study, the trial's number, and the metric by which it can be pruned, where it can."""

    def news(self) -> Iterator[str]:
        """What a user should know of how the search goes on, a line each."""

    def left(self, scored: int) -> float:
        """The improvement that can be expected of more points by the first `scored` that have a score."""

    def importances(self) -> Mapping[str, float]:
        """How much each parameter matters, where the search can tell."""


class Grid:
    """Every combination of the values given; where only the number of trees differs, one worker goes from the smallest
    to the largest."""

    kind = "grid"
    logarithmic: tuple[str, ...] = ()
    families: Families | None = None
    first = 0
    then = GOES_ON

    def __init__(self, space: Space, fixed: list[str]) -> None:
        self.swept = tuple(map(name_of, space))
        self.written: Mapping[str, str] = ranges_of(space)
        self.lines = tuple(f"{key}={text}" for key, text in self.written.items())
        self._space = space
        self.fixed = fixed
        self._values = values(space)
        self.total: int | None = math.prod(map(len, self._values))
        self._chains = Chains(iter(()))

    def corners(self) -> tuple[Point, Point]:
        first, last = ([column[side] for column in self._values] for side in (0, -1))
        return self._point(first), self._point(last)

    def faults(self, aim: Aim, config: Config) -> Iterator[Fault]:
        return iter(())

    def open(self, key: str, config: Config, aim: Aim) -> None:
        self._growing = growing_column(self._space, config, aim)

    def begin(self, at_once: int, left: Sequence[Point] = ()) -> Iterable[Result]:
        there = {point.swept for point in left}
        combinations = chained(self._values, self._growing, at_once)
        chains = ([point for point in map(self._point, chain) if point.swept not in there] for chain in combinations)
        self._chains = Chains(filter(None, chains))
        return ()

    def ask(self, last: Point | None) -> Point | None:
        return self._chains.next(last)

    def is_followed(self, point: Point) -> bool:
        return self._chains.is_followed(point)

    def tell(self, result: Result) -> None:
        self._chains.ended(result.point)

    def give_back(self, point: Point) -> None: ...

    def leave(self, point: Point) -> None: ...

    def trial_of(self, point: Point) -> None:
        return None

    def news(self) -> Iterator[str]:
        return iter(())

    def left(self, scored: int) -> float:
        return math.inf  # a grid is tried to its end

    def importances(self) -> Mapping[str, float]:
        return {}

    def _point(self, combination: Iterable[str]) -> Point:
        return Point.of([*combination, *self.fixed], self._space)
