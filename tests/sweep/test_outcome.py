"""The table and the front of a sweep that is over."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boston_exp.sweep.outcome import pareto_front, results
from boston_exp.sweep.plan import Aim, Point, Report, Result
from boston_exp.sweep.telling import counted

numbers = st.integers(-3, 3).map(float) | st.just(float("nan"))


def dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """At least as good in everything, better in something; smaller is better."""
    return all(a <= b for a, b in zip(one, other, strict=True)) and one != other


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=8), st.tuples(st.booleans(), st.booleans()))
def test_the_front_is_what_nothing_dominates(rows: list[tuple[float, float]], maximised: tuple[bool, bool]) -> None:
    directions = ["maximize" if up else "minimize" for up in maximised]
    signs = [-1.0 if up else 1.0 for up in maximised]
    costs = [tuple(sign * value for sign, value in zip(signs, row, strict=True)) for row in rows]
    whole = [not np.isnan(row).any() for row in rows]
    expected = [
        whole[row] and not any(whole[other] and dominates(costs[other], costs[row]) for other in range(len(rows)))
        for row in range(len(rows))
    ]
    assert pareto_front(pd.DataFrame(rows), directions) == expected


def report(*metrics: str, rows: list[dict[str, float]], direction: str = "minimize") -> Report:
    found = [
        Result(Point((f"x={n}",), (("x", str(n)),)), str(n), "finished" if row else "failed", f"id{n}", row)
        for n, row in enumerate(rows)
    ]
    return Report("grid", len(rows), ("x",), Aim(metrics, (direction,) * len(metrics)), tuple(found))


@pytest.mark.parametrize(("direction", "order"), [("minimize", ["1", "0", "2"]), ("maximize", ["0", "1", "2"])])
def test_the_best_row_comes_first_and_one_without_a_score_last(direction: str, order: list[str]) -> None:
    table = results(
        report("rmse", rows=[{"rmse": 3.0, "mae": 1.0}, {"rmse": 2.0, "mae": 2.0}, {}], direction=direction)
    )
    assert list(table["x"]) == order
    assert table["run_id"].iloc[-1] == "id2"
    assert {"status", "x", "rmse", "mae", "run_id", "key", "trial", "ended", "known", "message"} == set(table.columns)


def test_several_objectives_are_told_with_their_front() -> None:
    rows = [{"rmse": 1.0, "mae": 3.0}, {"rmse": 2.0, "mae": 2.0}, {"rmse": 3.0, "mae": 3.0}]
    table = results(report("rmse", "mae", rows=rows))
    assert list(table["pareto"]) == [True, True, False]


@pytest.mark.parametrize("metrics", [("cv_rmse",), ("cv_rmse", "fit_seconds")])
def test_a_sweep_that_ended_before_its_first_point_has_an_empty_table(metrics: tuple[str, ...]) -> None:
    """The clock can end it while its workers start."""
    report = Report("grid", 5, ("x",), Aim(metrics, ("minimize",) * len(metrics)), ())
    assert len(results(report)) == 0
    assert counted(report) == "grid of 5 points: 5 not tried"
