"""Fit on the training rows, score folds of them where asked, score the held-out rows once."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from joblib import cpu_count, parallel_config
from sklearn.base import BaseEstimator, clone

from boston_exp.experiment.importance import importance
from boston_exp.experiment.intervals import intervals
from boston_exp.experiment.metrics import METRICS, over_folds, scores
from boston_exp.experiment.models import final_step
from boston_exp.experiment.split import Split
from boston_exp.experiment.spread import spread

THREADS = 4  # About a third of fitting a small tree holds the GIL; more than 4 threads only contend.
Reached = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class Folds:
    """What cross-validation found: one row a fold (fold, every metric, rows), and one row a training row, scored by the
    model that was not fitted on it (row, fold, actual, predicted, and spread where the model has one)."""

    table: pd.DataFrame
    out_of_fold: pd.DataFrame


@dataclass(frozen=True)
class Evaluated:
    """A fitted estimator and what is known of it."""

    estimator: BaseEstimator
    metrics: dict[str, float]  # experiment/metrics.py's `names` lists them
    predictions: pd.DataFrame  # held-out rows: row, actual, predicted, residual (actual - predicted)
    train_predicted: np.ndarray  # (n_train,), in the order of the training rows
    importance: pd.DataFrame  # feature, importance, std; the most important first
    test_predicted: np.ndarray = field(repr=False)  # (n_test,), in the order of the held-out rows
    folds: Folds | None = None


def evaluate(
    estimator: BaseEstimator,
    rows: Split,
    seed: int,
    n_resamples: int,
    reached: Reached = lambda fold, metrics: None,
) -> Evaluated:
    """Score the folds of the split, then fit on all training rows and score the held-out rows once.

    Metrics: r2_score, rmse and mae in the target's unit, mape in percent; seconds for fit and predict. After each
    fold `reached` is given its number, from 1, and the cv_ metrics so far; what it raises ends the evaluation.
    """
    metrics, folds = _cross_validate(estimator, rows, reached) if rows.n_splits else ({}, None)
    start = time.perf_counter()
    fitted = fit(estimator, rows.X_train, rows.y_train)
    fit_done = time.perf_counter()
    predicted = _predict(fitted, rows.X_test)
    predict_done = time.perf_counter()
    y_test = rows.y_test.to_numpy()
    metrics |= scores(y_test, predicted)
    metrics |= intervals(y_test, predicted, n_resamples, rows.seed)
    train_predicted = _predict(fitted, rows.X_train)
    metrics |= scores(rows.y_train.to_numpy(), train_predicted, "train_")
    metrics |= {"fit_seconds": fit_done - start, "predict_seconds": predict_done - fit_done}
    table = importance(fitted, rows, seed)
    predictions = pd.DataFrame(
        {"row": rows.y_test.index, "actual": y_test, "predicted": predicted, "residual": y_test - predicted}
    ).sort_values("row", ignore_index=True)
    return Evaluated(fitted, metrics, predictions, train_predicted, table, predicted, folds)


def fit(estimator: BaseEstimator, X: pd.DataFrame, y: pd.Series) -> BaseEstimator:
    """A fitted clone. Where a forest leaves n_jobs open, its trees grow in threads.

    That gives the same bits with any number of threads. Summing the trees' predictions in threads would not: `predict`
    runs in one.
    """
    kinds = {kind.__name__ for kind in type(final_step(estimator)).__mro__}  # sklearn.ensemble takes 0.1 s to import
    threads = parallel_config("threading", n_jobs=min(cpu_count(), THREADS)) if "BaseForest" in kinds else nullcontext()
    with threads:
        return clone(estimator).fit(X, y)


def _predict(fitted: BaseEstimator, X: pd.DataFrame) -> np.ndarray:
    return np.asarray(fitted.predict(X), dtype=np.float64).reshape(len(X))


def _cross_validate(estimator: BaseEstimator, rows: Split, reached: Reached) -> tuple[dict[str, float], Folds]:
    """Scores over the folds of the training rows; the held-out rows play no part."""
    found: list[dict[str, float]] = []
    sizes: list[int] = []
    out_of_fold: list[pd.DataFrame] = []
    for number, (inside, outside) in enumerate(rows.folds, 1):
        fitted = fit(estimator, rows.X_train.iloc[inside], rows.y_train.iloc[inside])
        X, y = rows.X_train.iloc[outside], rows.y_train.iloc[outside]
        predicted, deviation = _predict(fitted, X), spread(fitted, X)
        columns = {"row": y.index, "fold": number, "actual": y.to_numpy(), "predicted": predicted}
        out_of_fold.append(pd.DataFrame(columns if deviation is None else columns | {"spread": deviation}))
        found.append(scores(y.to_numpy(), predicted))
        sizes.append(len(outside))
        reached(number, over_folds(found))
    table = pd.DataFrame(found, columns=[metric.name for metric in METRICS])
    table.insert(0, "fold", range(1, len(found) + 1))
    table["rows"] = sizes
    each_row = pd.concat(out_of_fold).sort_values("row", ignore_index=True)
    return over_folds(found), Folds(table, each_row)
