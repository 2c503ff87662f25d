"""The scores are scikit-learn's, the intervals mean what they say, and the names are the promised ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from joblib import effective_n_jobs
from sklearn import metrics as judge
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression

from boston_exp.config.schema import Evaluation
from boston_exp.experiment.evaluation import Evaluated
from boston_exp.experiment.evaluation import evaluate as evaluated
from boston_exp.experiment.intervals import intervals
from boston_exp.experiment.metrics import METRICS, Metric, names
from boston_exp.experiment.split import Split

JUDGES = {
    "r2_score": judge.r2_score,
    "rmse": judge.root_mean_squared_error,
    "mae": judge.mean_absolute_error,
    "mape": lambda *pair, **weights: 100 * judge.mean_absolute_percentage_error(*pair, **weights),
}
numbers = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))


def evaluate(estimator: BaseEstimator, rows: Split, evaluation: Evaluation, seed: int) -> Evaluated:
    """With the folds that an evaluation asks for."""
    rows = Split(rows.X_train, rows.X_test, rows.y_train, rows.y_test, evaluation.n_splits, seed)
    return evaluated(estimator, rows, seed, evaluation.n_resamples)


def rows(n: int, noise: float = 1.0, seed: int = 0) -> Split:
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(2 * n, 2)), columns=["a", "b"])
    y = pd.Series(10 + 3 * X["a"] + noise * rng.normal(size=2 * n))
    return Split(X[:n], X[n:], y[:n], y[n:])


@given(
    st.integers(2, 30).flatmap(
        lambda n: st.tuples(arrays(float, n, elements=numbers), arrays(float, n, elements=numbers))
    )
)
def test_scores_are_scikit_learns(pair: tuple[np.ndarray, np.ndarray]) -> None:
    y, predicted = pair
    for metric in METRICS:
        if metric.name == "r2_score" and y.min() == y.max():
            continue  # not defined; scikit-learn answers 0 or 1 by convention
        judged = JUDGES[metric.name](y, predicted)
        assert float(metric.score(y, predicted)) == pytest.approx(judged, rel=1e-9, abs=1e-9)


@given(
    st.integers(2, 30).flatmap(
        lambda n: st.tuples(
            arrays(float, n, elements=numbers),
            arrays(float, n, elements=numbers),
            arrays(float, n, elements=st.floats(0.01, 100)),
        )
    )
)
def test_weighted_scores_are_scikit_learns(sample: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    y, predicted, weights = sample
    for metric in METRICS:
        if metric.name == "r2_score" and y.min() == y.max():
            continue
        judged = JUDGES[metric.name](y, predicted, sample_weight=weights)
        assert float(metric.score(y, predicted, weights)) == pytest.approx(judged, rel=1e-6, abs=1e-6)
        twice = metric.score(np.stack([y, y]), np.stack([predicted, predicted]), np.stack([weights, np.ones(len(y))]))
        assert twice == pytest.approx([float(metric.score(y, predicted, each)) for each in (weights, None)])


def test_a_metric_that_takes_no_weights_has_each_row_as_often_as_it_weighs() -> None:
    """One line of METRICS is enough, also for what has no weighted formula."""
    median = Metric("median_ae", lambda y, predicted: np.median(np.abs(y - predicted), axis=-1), "median AE", "target")
    y, predicted = np.arange(5.0), np.zeros(5)
    assert float(median.score(y, predicted)) == 2
    assert float(median.score(y, predicted, np.array([9.0, 1, 1, 1, 1]))) == 0
    assert median.score(y, predicted, np.eye(5)).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "evaluation",
    [Evaluation(), Evaluation(n_splits=3), Evaluation(n_resamples=0), Evaluation(n_splits=3, n_resamples=0)],
)
def test_exactly_the_promised_metrics_are_produced(evaluation: Evaluation) -> None:
    """`objective.metric` is checked against the promise before anything heavy is imported."""
    produced = evaluate(LinearRegression(), rows(20), evaluation, seed=0).metrics
    assert sorted(produced) == sorted(names(evaluation))


def test_a_forest_is_the_same_in_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    found, in_predict = [], []

    class Watched(RandomForestRegressor):
        def predict(self, X: pd.DataFrame) -> np.ndarray:
            in_predict.append(effective_n_jobs(self.n_jobs))
            return super().predict(X)

    for cores in (1, 4):
        monkeypatch.setattr("boston_exp.experiment.evaluation.cpu_count", lambda cores=cores: cores)
        forest = Watched(30, random_state=0)
        found.append(evaluate(forest, rows(40), Evaluation(n_splits=3), seed=0))
    one, four = found
    assert (one.predictions == four.predictions).all(axis=None)
    assert (one.train_predicted == four.train_predicted).all()
    assert one.metrics["cv_rmse"] == four.metrics["cv_rmse"]
    assert set(in_predict) == {1}


@pytest.mark.slow
def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """95 % percentile intervals are known to be a little narrow on small samples; 85 % would be wrong."""
    covered, trials, truth = 0, 200, np.sqrt(1.0)
    for seed in range(trials):
        split = rows(60, seed=seed)
        exact = (10 + 3 * split.X_test["a"]).to_numpy()
        metrics = intervals(split.y_test.to_numpy(), exact, 500, seed)
        covered += metrics["rmse_ci_low"] <= truth <= metrics["rmse_ci_high"]
    assert 0.88 <= covered / trials <= 0.99


def test_a_constant_held_out_target_gives_no_r2_but_no_crash() -> None:
    split = rows(10)
    split.y_test[:] = 7.0
    metrics = evaluate(LinearRegression(), split, Evaluation(), seed=0).metrics
    assert not np.isfinite(metrics["r2_score"])
    assert np.isfinite(metrics["rmse"])


def test_importance_by_shuffling_finds_the_column_that_matters() -> None:
    evaluated = evaluate(LinearRegression(), rows(200), Evaluation(n_resamples=0), seed=0)
    assert list(evaluated.importance.feature) == ["a", "b"]
    assert evaluated.importance.importance[0] > 10 * abs(evaluated.importance.importance[1])
