"""A model that has grown is the one that was fitted at once: the same bytes when pickled, not only the same scores.

Two cold fits are pickled to the same bytes, too; skops numbers its objects by their place in memory, so that two cold
fits give different files, and nothing can be compared by them.
"""

from __future__ import annotations

import pickle
import platform
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    BaggingRegressor,
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import KBinsDiscretizer, StandardScaler, TargetEncoder

from boston_exp.errors import Pruned
from boston_exp.experiment.evaluation import Evaluated, evaluate, fit
from boston_exp.experiment.growing import UNFUSED, Growth, at_size, count_of, size_of
from boston_exp.experiment.split import Split
from boston_exp.experiment.threads import openmp_for

FORESTS = [
    RandomForestRegressor(random_state=1),
    RandomForestRegressor(random_state=1, n_jobs=2, max_features=0.3, max_depth=4, oob_score=True),
    RandomForestRegressor(random_state=1, max_samples=0.5, criterion="absolute_error", max_depth=3),
    ExtraTreesRegressor(random_state=1),
    ExtraTreesRegressor(random_state=1, bootstrap=True, min_samples_leaf=3),
    HistGradientBoostingRegressor(random_state=1),
    HistGradientBoostingRegressor(random_state=1, early_stopping=False, max_features=0.3, l2_regularization=1.0),
    HistGradientBoostingRegressor(random_state=1, loss="quantile", quantile=0.8),
]
BOOSTED = [
    GradientBoostingRegressor(random_state=1),
    GradientBoostingRegressor(random_state=1, subsample=0.5, max_features=0.3),
    GradientBoostingRegressor(random_state=1, subsample=0.7, loss="huber"),
    GradientBoostingRegressor(random_state=1, init=Ridge(), max_leaf_nodes=5),
]
GROWS = FORESTS + (BOOSTED if platform.machine() in UNFUSED else [])
PREPROCESS = Pipeline(
    [
        ("bins", KBinsDiscretizer(5, subsample=50, random_state=1, encode="ordinal")),
        ("target", TargetEncoder(random_state=1)),  # whose fit_transform is not fit and transform
    ]
)
SIZES = (5, 12, 30)


def rows(n: int = 60, n_splits: int = 3) -> Split:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(2 * n, 3)), columns=["a", "b", "c"])
    y = pd.Series(10 + 3 * X["a"] + X["b"] ** 2 + rng.normal(size=2 * n), name="y")
    return Split(X[:n], X[n:], y[:n], y[n:], n_splits, 0)


def in_steps(estimator: BaseEstimator, sizes: Sequence[int], weights: np.ndarray | None) -> BaseEstimator:
    given, begun = rows(), None
    with openmp_for(given.X_train.size):
        for size in sizes:
            begun = fit(at_size(estimator, size), given.X_train, given.y_train, weights, begun)
    return begun


def same(one: BaseEstimator, other: BaseEstimator) -> bool:
    return pickle.dumps(one) == pickle.dumps(other)


@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores", "ignore:.TargetEncoder.shuffle")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("preprocess", [None, PREPROCESS], ids=["bare", "pipeline"])
@pytest.mark.parametrize("model", GROWS, ids=str)
def test_what_has_grown_is_what_was_fitted_at_once(
    model: BaseEstimator, preprocess: Pipeline | None, weighted: bool
) -> None:
    estimator = model if preprocess is None else Pipeline([("preprocess", preprocess), ("model", model)])
    weights = np.random.default_rng(1).uniform(0.1, 3, 60) if weighted else None
    assert count_of(estimator) is not None
    assert same(in_steps(estimator, SIZES, weights), in_steps(estimator, SIZES[-1:], weights))


@pytest.mark.parametrize(
    "model",
    [
        GradientBoostingRegressor(random_state=1, n_iter_no_change=2, learning_rate=0.5),
        HistGradientBoostingRegressor(random_state=1, early_stopping=True, n_iter_no_change=2, min_samples_leaf=5),
        BaggingRegressor(random_state=1),
    ],
    ids=str,
)
def test_what_would_come_out_different_does_not_grow(model: BaseEstimator) -> None:
    """The rule is not idle: what is refused here does differ (a model that has stopped early takes up again)."""
    assert count_of(model) is None
    given, name = rows(), "max_iter" if hasattr(model, "max_iter") else "n_estimators"
    X, y = given.X_train, given.y_train
    with openmp_for(X.size):
        warm = clone(model).set_params(**{name: 30}).fit(X, y).set_params(warm_start=True, **{name: 90}).fit(X, y)
        assert not same(warm.set_params(warm_start=False), clone(model).set_params(**{name: 90}).fit(X, y))


@pytest.mark.parametrize(
    "model",
    [
        Ridge(),
        type("RandomForestRegressor", (RandomForestRegressor,), {"__module__": "elsewhere"})(random_state=1),
        RandomForestRegressor(random_state=1, warm_start=True),
        RandomForestRegressor(random_state=np.random.RandomState(1)),
        TransformedTargetRegressor(RandomForestRegressor(random_state=1)),  # clones its regressor whenever it is fitted
    ],
    ids=["other", "subclass", "warm", "open_seed", "transformed"],
)
def test_what_nobody_has_shown_to_grow_does_not(model: BaseEstimator) -> None:
    assert count_of(model) is None


def test_boosting_does_not_grow_where_a_compiler_may_fuse_its_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert count_of(GradientBoostingRegressor(random_state=1)) is None
    assert count_of(RandomForestRegressor(random_state=1)) == "n_estimators"


def test_a_table_so_long_that_boosting_stops_early_leaves_nothing_to_grow_from() -> None:
    """`early_stopping='auto'` is decided by the rows that a fit is given: more than 10,000 of them."""
    growth = Growth(keeps=True)
    model = HistGradientBoostingRegressor(max_iter=5, max_leaf_nodes=3, random_state=1)
    evaluate(model, rows(10_100, n_splits=2), 0, 0, growth=growth)  # folds of 5,050 rows
    assert growth.take(0) is None
    assert growth.take(1) is not None


def chain(estimator: BaseEstimator, growth: Growth | None = None) -> list[Evaluated]:
    """One evaluation after the other, at each of the SIZES; without growth all of them cold."""
    return [evaluate(at_size(estimator, size), rows(), 0, 100, growth=growth) for size in SIZES]


@pytest.mark.parametrize("model", [GROWS[0], GROWS[5], GROWS[-1]], ids=lambda model: type(model).__name__)
@pytest.mark.parametrize("scaled", [False, True])
def test_an_evaluation_that_goes_on_has_every_number_of_a_cold_one(model: BaseEstimator, scaled: bool) -> None:
    estimator = Pipeline([("preprocess", StandardScaler()), ("model", model)]) if scaled else model
    cold, grown = chain(estimator), chain(estimator, Growth(keeps=True))
    assert [each.grown_from for each in grown] == [None, *SIZES[:-1]]
    for one, other in zip(cold, grown, strict=True):
        numbers, others = ({k: v for k, v in e.metrics.items() if not k.endswith("_seconds")} for e in (one, other))
        assert numbers == others
        assert one.predictions.equals(other.predictions)
        assert one.importance.equals(other.importance)
        assert one.folds is not None
        assert other.folds is not None
        assert one.folds.table.equals(other.folds.table)
        assert one.folds.out_of_fold.equals(other.folds.out_of_fold)
    assert same(cold[-1].estimator, grown[-1].estimator)


def test_the_seconds_of_a_fit_are_those_of_all_its_parts() -> None:
    """As an objective or in a table they mean what a fit costs, not what the last trees of it did."""
    seconds = [each.metrics["fit_seconds"] for each in chain(GROWS[0], Growth(keeps=True))]
    assert seconds == sorted(seconds)


def test_by_rungs_all_folds_grow_and_are_scored_at_each() -> None:
    told: list[tuple[int, dict[str, float]]] = []
    by_rungs = evaluate(
        at_size(GROWS[0], 30), rows(), 0, 0, lambda size, metrics: told.append((size, metrics)), rungs=(5, 12)
    )
    assert [size for size, _ in told] == [5, 12, 30]
    for size, metrics in told:
        at_once = evaluate(at_size(GROWS[0], size), rows(), 0, 0)
        assert metrics == {name: at_once.metrics[name] for name in metrics}
    assert same(by_rungs.estimator, at_once.estimator)


def test_a_trial_that_is_not_worth_it_ends_at_a_rung() -> None:
    fitted: list[int] = []

    class Watched(RandomForestRegressor):
        def fit(self, X: pd.DataFrame, y: pd.Series, sample_weight: np.ndarray | None = None) -> Watched:
            fitted.append(self.n_estimators)
            return super().fit(X, y, sample_weight)

    def reached(size: int, metrics: dict[str, float]) -> None:
        raise Pruned("no", size, metrics)

    Watched.__module__, Watched.__name__ = RandomForestRegressor.__module__, "RandomForestRegressor"
    with pytest.raises(Pruned):
        evaluate(Watched(30, random_state=1), rows(), 0, 0, reached, rungs=(5, 12))
    assert fitted == [5, 5, 5]
    assert size_of(Watched(30)) == 30
