"""Which worker gets which point of a grid that varies the number of trees."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hydra import compose, initialize_config_dir

from boston_exp.config.parsing import parse
from boston_exp.config.schema import CONF, Config
from boston_exp.config.settings import Typed
from boston_exp.sweep.chains import Chains, chained, growing_column
from boston_exp.sweep.plan import Aim, Point, Space
from tests.sweep.test_plan import space

RMSE = Aim(("cv_rmse",), ("minimize",))
DEPTHS, TREES = ["d=1", "d=2", "d=3"], ["t=200", "t=50", "t=100"]


def config(*overrides: str) -> Config:
    with initialize_config_dir(str(CONF)):
        return parse(compose("config", list(overrides)), Typed())


def points(at_once: int, depths: list[str] = DEPTHS) -> Iterator[list[Point]]:
    swept = space("d=1,2", "t=1,2")
    return ([Point.of(each, swept) for each in chain] for chain in chained([depths, TREES], 1, at_once))


def names(chains: Iterator[list[Point]]) -> list[str]:
    return [" ".join(f"{depth[1]}/{trees[1]}" for depth, trees in (point.swept for point in chain)) for chain in chains]


def name(point: Point | None) -> str:
    return "/".join(value for _, value in point.swept) if point else "-"


def test_a_chain_ascends_whatever_order_was_typed() -> None:
    assert names(points(2)) == ["1/50 1/100 1/200", "2/50 2/100 2/200", "3/50 3/100 3/200"]


def test_without_a_number_of_trees_every_point_is_alone_in_the_order_given() -> None:
    assert list(chained([["a=1", "a=2"], ["b=x", "b=y"]], None, 2)) == [
        [("a=1", "b=x")], [("a=1", "b=y")], [("a=2", "b=x")], [("a=2", "b=y")],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("at_once", "expected"),
    [
        (1, ["1/50 1/100 1/200"]),
        (2, ["1/50 1/100", "1/200"]),
        (3, ["1/50", "1/100", "1/200"]),
        (9, ["1/50", "1/100", "1/200"]),
    ],
)
def test_fewer_chains_than_workers_are_cut_so_that_none_is_idle(at_once: int, expected: list[str]) -> None:
    assert names(points(at_once, DEPTHS[:1])) == expected


def test_a_worker_keeps_its_chain_and_takes_a_new_one_at_its_end() -> None:
    chains = Chains(points(2))
    one, two = chains.next(None), chains.next(None)
    assert (name(one), name(two)) == ("1/50", "2/50")
    assert one is not None
    assert two is not None
    told = []
    for worker in "221222":  # the order in which they end their points
        last = one if worker == "1" else two
        assert last is not None
        chains.ended(last)
        following = chains.next(last)
        told.append(name(following))
        one, two = (following, two) if worker == "1" else (one, following)
    assert told == ["2/100", "2/200", "1/100", "3/50", "3/100", "3/200"]
    assert chains.next(two) is None  # what is left is the other worker's, which is quicker at it


def test_a_point_is_followed_as_long_as_its_chain_goes_on() -> None:
    chains, last, followed = Chains(points(1)), None, []
    while last := chains.next(last):
        followed.append(chains.is_followed(last))
        chains.ended(last)
    assert followed == [True, True, False] * 3


def test_the_chain_of_a_worker_that_was_killed_is_gone_on_with() -> None:
    chains = Chains(points(2, DEPTHS[:2]))
    one, two = chains.next(None), chains.next(None)
    assert one is not None
    assert two is not None
    chains.ended(one)  # as a failure, with its worker, in whose place there is a new one
    assert name(chains.next(None)) == "1/100"


def test_a_launcher_that_does_not_say_which_worker_asks_gets_every_point() -> None:
    """Ray's and Slurm's take points in chunks before any has ended."""
    chains = Chains(points(2))
    assert [name(chains.next(None)) for _ in range(10)] == [
        "1/50", "2/50", "3/50", "1/100", "2/100", "3/100", "1/200", "2/200", "3/200", "-",
    ]  # fmt: skip


def test_a_point_that_an_earlier_part_has_done_is_passed_by_the_same_worker() -> None:
    """1/100 is there already: who has fitted 1/50 goes on to 1/200."""
    chains = Chains(points(1, DEPTHS[:2]))
    first = chains.next(None)
    assert first is not None
    chains.ended(first)
    there = chains.next(first)
    assert there is not None
    chains.ended(there)
    assert name(chains.next(first)) == "1/200"


@pytest.mark.parametrize(
    ("overrides", "swept", "column"),
    [
        ((), ("model.max_depth=2,3", "model.n_estimators=5,10"), 1),
        (("model=hist_gradient_boosting",), ("model.max_iter=5,10",), 0),
        (("+model.warm_start=true",), ("model.n_estimators=5,10",), None),
        (("model=xgboost",), ("model.n_estimators=5,10",), None),  # nobody has shown that it grows
        (("model=log_target",), ("model.regressor.n_estimators=5,10",), None),
        ((), ("model=random_forest,xgboost", "model.n_estimators=5,10"), None),  # each point has its own model
        ((), ("model.max_depth=2,3",), None),
        ((), ("model.n_estimators=5,many",), None),  # that point's own failure
    ],
)
def test_chains_are_made_where_the_model_grows(overrides: tuple[str, ...], swept: tuple[str, ...], column: int) -> None:
    varied: Space = space(*swept)
    assert growing_column(varied, config(*overrides), RMSE) == column


def test_where_the_time_of_a_fit_is_an_objective_every_fit_is_measured_whole() -> None:
    aim = Aim(("cv_rmse", "fit_seconds"), ("minimize", "minimize"))
    assert growing_column(space("model.n_estimators=5,10"), config(), aim) is None
