"""What a search is to the sweep around it, and the one that tries every combination."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Protocol

from boston_exp.config.schema import Config
from boston_exp.errors import Fault
from boston_exp.sweep.loop import Loop
from boston_exp.sweep.plan import Aim, Point, Space, values


class Search(Protocol):
    """Asks for points and is told their results."""

    kind: str
    space: Space
    fixed: list[str]  # overrides that all points share
    total: int  # points, once it is complete
    logarithmic: tuple[str, ...]  # names of the parameters that are searched on a logarithmic scale

    def corners(self) -> tuple[Point, Point]:
        """Two points that differ in every parameter: what is wrong with both is wrong with the sweep."""

    def faults(self, aim: Aim) -> Iterator[Fault]:
        """What keeps the search from this aim."""

    def begin(self, key: str, config: Config, aim: Aim, loop: Loop) -> None:
        """The sweep's parent is open: take up what an earlier part has left."""

    def run(self, loop: Loop, at_once: int) -> None:
        """Run points until the search is complete; `at_once` workers want one each."""

    def importances(self) -> Mapping[str, float]:
        """How much each parameter matters, where the search can tell."""


class Grid:
    """Every combination of the values given."""

    kind = "grid"
    logarithmic: tuple[str, ...] = ()

    def __init__(self, space: Space, fixed: list[str]) -> None:
        self.space = space
        self.fixed = fixed
        self._values = values(space)
        self.total = 1
        for column in self._values:
            self.total *= len(column)

    def corners(self) -> tuple[Point, Point]:
        first, last = ([column[side] for column in self._values] for side in (0, -1))
        return Point.of([*first, *self.fixed], self.space), Point.of([*last, *self.fixed], self.space)

    def faults(self, aim: Aim) -> Iterator[Fault]:
        return iter(())

    def begin(self, key: str, config: Config, aim: Aim, loop: Loop) -> None: ...

    def run(self, loop: Loop, at_once: int) -> None:
        for _ in loop.run(list(self.points())):
            pass

    def importances(self) -> Mapping[str, float]:
        return {}

    def points(self) -> Iterator[Point]:
        for combination in itertools.product(*self._values):
            yield Point.of([*combination, *self.fixed], self.space)
