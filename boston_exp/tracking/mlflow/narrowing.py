"""Ranks and counts the runs of a server without reading many of them, or having it sort all."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from mlflow.entities import Run

from boston_exp.tracking.recorded import joined

TURNS = 8  # then the server sorts all that are left
SHARE = 5  # of the runs that are looked at, one in so many stays


class Search(Protocol):
    def __call__(self, where: str, order_by: list[str], top: int) -> list[Run]: ...


def best(search: Search, metric: str, descending: bool, top: int, where: str) -> list[Run]:
    """The `top` best runs that meet the condition and have the metric.

    Looks at a page of runs; goes on with those that are as good as its `top` best; until one page has them all.
    """

    def cost(run: Run) -> float:
        value = run.data.metrics.get(metric, math.nan)
        return math.inf if math.isnan(value) else -value if descending else value

    size, bound, sign = max(50, SHARE * top), math.inf, ">=" if descending else "<="
    for turn in range(TURNS):
        limit = f"metrics.`{metric}` {sign} {-bound if descending else bound!r}" if bound < math.inf else ""
        order = f"start_time {'ASC' if turn % 2 else 'DESC'}"  # results get better with time, or worse
        page = search(joined(where, limit), [order], size)
        found = sorted(page, key=lambda run: (cost(run), run.info.start_time, run.info.run_id))
        found = [run for run in found if cost(run) < math.inf]
        if len(page) < size:
            return found[:top]
        if len(found) < top or cost(found[top - 1]) >= bound:
            break
        bound = cost(found[top - 1])
    order = f"metrics.`{metric}` {'DESC' if descending else 'ASC'}"
    return [run for run in search(where, [order, "start_time ASC"], top) if cost(run) < math.inf]


def count(are_more_than: Callable[[int], bool], expected: int) -> int:
    """A number by doubling, then halving; by two questions where it is the expected one."""
    if expected and are_more_than(expected - 1) and not are_more_than(expected):
        return expected
    low, high = -1, 1  # more than `low`, not more than `high`
    while are_more_than(high):
        low, high = high, 4 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if are_more_than(middle) else (low, middle)
    return high
