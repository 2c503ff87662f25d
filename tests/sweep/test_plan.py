"""Points, keys and aims: what makes two sweeps, or two points, the same, and which point is the best."""

from __future__ import annotations

from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from boston_exp.errors import InvalidConfig
from boston_exp.sweep.plan import Aim, Point, Report, Result, Space, point_key, sweep_key, values
from boston_exp.sweep.search import Grid

RMSE = Aim(("cv_rmse",), ("minimize",))


def space(*overrides: str) -> Space:
    return {each.get_key_element(): each for each in OverridesParser.create().parse_overrides(list(overrides))}


def result(name: str, status: str = "finished", **metrics: float) -> Result:
    return Result(Point((f"x={name}",), (("x", name),)), name, status, name, metrics)


def test_a_point_is_named_by_what_distinguishes_it() -> None:
    point = Point.of(
        ["model.max_depth=5", "+model.ccp_alpha=0.1", "seed=3"],
        space("model.max_depth=5,6", "+model.ccp_alpha=0.1,0.2"),
    )
    assert point.name == "max_depth=5 ccp_alpha=0.1"
    assert point.command == "python -m boston_exp.run model.max_depth=5 +model.ccp_alpha=0.1 seed=3"
    assert Point.of(["seed=3"], {}).name == "the only point"


def test_a_grid_is_every_combination_in_the_order_given() -> None:
    grid = Grid(space("a=1,2", "b=x,y,z"), ["seed=3"])
    loaded: Any = None  # a grid without a number of trees looks at no configuration
    grid.open("key", loaded, RMSE)
    grid.begin(1)
    points = [point for _ in range(grid.total or 0) if (point := grid.ask(None))]
    assert grid.total == len(points) == 6
    assert [dict(point.swept) for point in points[:4]] == [
        {"a": "1", "b": "x"}, {"a": "1", "b": "y"}, {"a": "1", "b": "z"}, {"a": "2", "b": "x"},
    ]  # fmt: skip
    assert all(point.overrides[-1] == "seed=3" for point in points)
    assert grid.corners() == (points[0], points[-1])


def test_a_range_without_values_or_without_an_end_is_no_grid() -> None:
    with pytest.raises(InvalidConfig) as refused:
        values(space("a=range(5,5)", "b=interval(1,2)", "c=1,2"))
    assert [fault.says for fault in refused.value.faults] == [
        "a=range(5,5) has no values.", "b=interval(1,2) has no end of values for a grid.",
    ]  # fmt: skip


def test_keys_change_with_what_they_are_made_of_and_with_nothing_else() -> None:
    lines, swept = ["a=1,2", "b=3,4"], ("a", "b")
    key = sweep_key("grid", "f00", RMSE, lines)
    assert key == sweep_key("grid", "f00", RMSE, lines[::-1])
    others = [
        sweep_key("optuna", "f00", RMSE, lines),
        sweep_key("grid", "f01", RMSE, lines),
        sweep_key("grid", "f00", Aim(("cv_mae",), ("minimize",)), lines),
        sweep_key("grid", "f00", RMSE, ["a=1,2,3", "b=3,4"]),
    ]
    assert len({key, *others}) == 5
    one = Point.of(["a=1", "b=3", "seed=1"], swept)
    assert point_key(key, one) == point_key(key, Point.of(["b=3", "a=1"], swept, trial=7))
    assert point_key(key, one) != point_key(key, Point.of(["a=2", "b=3"], swept))
    assert point_key(key, one) != point_key(others[0], one)


@pytest.mark.parametrize(("direction", "best"), [("minimize", "b"), ("maximize", "c")])
def test_the_best_is_the_best_of_those_that_ended_well(direction: str, best: str) -> None:
    results = [
        result("a", "failed", cv_rmse=0.0), result("b", "reused", cv_rmse=1.0), result("c", cv_rmse=2.0),
        result("d", "pruned", cv_rmse=9.0), result("e"),
    ]  # fmt: skip
    report = Report("grid", 5, ("x",), Aim(("cv_rmse",), (direction,)), tuple(results))
    assert report.best is not None
    assert report.best.key == best
    assert report.count("finished") == 2
    assert Report("grid", 5, ("x",), RMSE, ()).best is None


@pytest.mark.parametrize(
    ("metric", "held_out"), [("cv_rmse", False), ("rmse", True), ("train_mae", False), ("fit_seconds", False)]
)
def test_selecting_on_held_out_rows_is_known(metric: str, held_out: bool) -> None:
    assert Aim((metric,), ("minimize",)).on_held_out_rows == ([metric] if held_out else [])
