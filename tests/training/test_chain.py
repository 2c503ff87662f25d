"""What a worker keeps between two points: only what the next one may grow from, and no longer."""

from __future__ import annotations

import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import Ridge

from boston_exp import process
from boston_exp.experiment.growing import Begun, Growth
from boston_exp.experiment.models import build
from boston_exp.training import chain
from tests.sweep.test_chains import config


def growth(size: int, *overrides: str, md5: str = "md5", followed: bool = True) -> Growth:
    """Of a point that is fitted there and then, as far as this is concerned."""
    made = config(f"model.n_estimators={size}", *overrides)
    estimator: BaseEstimator = build(made)
    given = chain.growth(estimator, made, md5, followed)
    given.keep(0, Begun(estimator, 1.0))
    return given


def test_a_larger_point_of_the_chain_grows_from_the_one_before() -> None:
    first = growth(10)
    assert growth(20) is first
    assert growth(30, followed=False) is first


@pytest.mark.parametrize(
    "overrides", [("seed=7",), ("model.max_depth=3",), ("data.test_size=0.3",), ("evaluation=cv",)]
)
def test_a_point_that_differs_in_anything_else_does_not(overrides: tuple[str, ...]) -> None:
    first = growth(10)
    assert growth(20, *overrides) is not first


def test_other_data_does_not_grow_from_it() -> None:
    first = growth(10)
    assert growth(20, md5="other") is not first


def test_a_smaller_point_does_not() -> None:
    first = growth(20)
    assert growth(10) is not first


def test_the_end_of_a_chain_another_chain_and_a_reset_forget_it() -> None:
    """Fitted models of all folds are large."""
    first = growth(10)
    growth(20, followed=False)
    assert growth(30) is not first
    second = growth(40)
    growth(10, "seed=7")
    assert growth(50) is not second
    third = growth(60)
    process.reset()
    assert growth(70) is not third


def test_a_single_run_and_a_model_that_does_not_grow_keep_nothing() -> None:
    assert not growth(10, followed=False).keeps
    assert not chain.growth(Ridge(), config("model=ridge"), "md5", followed=True).keeps
