"""Points of a grid that differ in the number of trees alone, the fewest first: fitted models of one grow to the next.

A chain stays with the worker that has begun it, whose process has those models (training/chain.py).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress

from boston_exp.config.schema import Config
from boston_exp.errors import InvalidConfig
from boston_exp.sweep.plan import Aim, Point, Space, name_of, values

MODELS = {"model", "model._target_", "experiment"}  # settings that make a model another one
Combinations = Iterator[list[tuple[str, ...]]]  # chains of them


class Chains:
    """Hands out points, to each worker its chain, point by point."""

    def __init__(self, chains: Iterator[list[Point]]) -> None:
        self._new = chains
        self._rest: dict[Point, list[Point]] = {}  # of a chain, by its point that was handed out last
        self._ended: set[Point] = set()  # of those
        self._latest: Point | None = None

    def next(self, last: Point | None) -> Point | None:
        """For a worker that has just ended `last`: the next of its chain, the first of a new one, or what is left of
        one whose worker is gone."""
        chain = self._continued(last) or next(self._new, None) or self._left_over(last)
        if chain is None:
            return None
        self._latest, *rest = chain
        if rest:
            self._rest[self._latest] = rest
        return self._latest

    def is_followed(self, point: Point) -> bool:
        return point in self._rest

    def ended(self, point: Point) -> None:
        if point in self._rest:
            self._ended.add(point)

    def _continued(self, last: Point | None) -> list[Point] | None:
        chain = self._rest.pop(last, None) if last else None
        if chain is None and self._latest in self._ended:  # an earlier part had done it: the same worker asks once more
            chain = self._rest.pop(self._latest, None)
        return chain

    def _left_over(self, last: Point | None) -> list[Point] | None:
        """A worker that has ended nothing has nothing that could grow: it takes from any chain."""
        for point in self._rest:
            if last is None or point in self._ended:
                return self._rest.pop(point)
        return None


def growing_column(space: Space, config: Config, aim: Aim) -> int | None:
    """The place in the space of the parameter that counts the trees of a model that grows; None where there is none, or
    where the time that a fit takes is an objective: it has to be measured then, not added up."""
    from boston_exp.experiment.growing import COUNTS, count_of
    from boston_exp.experiment.models import build

    names, count = [name_of(key) for key in space], None
    counted = {f"model.{name}" for name in COUNTS.values()} & set(names)
    if not counted or MODELS & set(names) or "fit_seconds" in aim.metrics:
        return None
    with suppress(InvalidConfig):  # the first point may be a bad one
        count = count_of(build(config))
    if f"model.{count}" not in counted:
        return None
    column = names.index(f"model.{count}")
    return column if all(_size(value).isdecimal() for value in values(space)[column]) else None


def _size(override: str) -> str:
    return override.partition("=")[2]


def chained(columns: Sequence[Sequence[str]], column: int | None, at_once: int) -> Combinations:
    """Every combination, in chains along that column; in chains of one without it.

    Fewer chains than workers are cut into parts, so that no worker is idle: the first of each part is fitted at once,
    which takes no longer than growing to it.
    """
    if column is None:
        yield from ([combination] for combination in itertools.product(*columns))
        return
    sizes = sorted(columns[column], key=lambda value: int(_size(value)))
    others = [*columns[:column], *columns[column + 1 :]]
    length = math.ceil(len(sizes) / math.ceil(at_once / math.prod(map(len, others))))
    for rest in itertools.product(*others):
        for start in range(0, len(sizes), length):
            yield [(*rest[:column], size, *rest[column:]) for size in sizes[start : start + length]]
