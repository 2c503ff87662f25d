"""Fit on the training rows, score folds of them where asked, score the held-out rows once."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from joblib import cpu_count, parallel_config
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline

from boston_exp.config.invocation import again
from boston_exp.errors import Fault, FitFailed
from boston_exp.experiment.importance import importance
from boston_exp.experiment.intervals import intervals
from boston_exp.experiment.metrics import METRICS, over_folds, scores
from boston_exp.experiment.models import final_step
from boston_exp.experiment.split import Split
from boston_exp.experiment.spread import spread
from boston_exp.experiment.threads import openmp_for
from boston_exp.experiment.units import CLUSTER, TIME, WEIGHT

THREADS = 4  # About a third of fitting a small tree holds the GIL; more than 4 threads only contend.
Reached = Callable[[int, dict[str, float]], None]
Doing = Callable[[str], None]


@dataclass(frozen=True)
class Folds:
    """What cross-validation found: one row a fold (fold, every metric, rows, train_rows), and one row for each time a
    training row was scored by a model that was not fitted on it (row, fold, actual, predicted, then what there is of
    spread, repeat, weight, cluster, time)."""

    table: pd.DataFrame
    out_of_fold: pd.DataFrame


@dataclass(frozen=True)
class Evaluated:
    """A fitted estimator and what is known of it."""

    estimator: BaseEstimator
    metrics: dict[str, float]  # experiment/metrics.py's `names` lists them
    predictions: pd.DataFrame  # held-out rows: row, actual, predicted, residual (actual - predicted), and their bonds
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
    doing: Doing = lambda stage: None,
) -> Evaluated:
    """Score the folds of the split, then fit on all training rows and score the held-out rows once.

    Metrics: r2_score, rmse and mae in the target's unit, mape in percent; seconds for fit and predict. After each
    fold `reached` is given its number, from 1, and the cv_ metrics so far; what it raises ends the evaluation. `doing`
    is told each stage before it begins.
    """
    with openmp_for(rows.X_train.size):
        metrics, folds = _cross_validate(estimator, rows, reached, doing) if rows.n_splits else ({}, None)
        doing("fitting")
        start = time.perf_counter()
        train_weights = rows.bonds.weights_of(rows.X_train.index)
        fitted = fit(estimator, rows.X_train, rows.y_train, train_weights)
        fit_done = time.perf_counter()
        doing("predicting")
        predicted = _predict(fitted, rows.X_test)
        predict_done = time.perf_counter()
        y_test, known = rows.y_test.to_numpy(), rows.bonds.columns(rows.X_test.index)
        weights, clusters, order = (known.get(name) for name in (WEIGHT, CLUSTER, TIME))
        metrics |= scores(y_test, predicted, weights=weights)
        doing("intervals")
        metrics |= intervals(y_test, predicted, n_resamples, rows.seed, weights=weights, clusters=clusters, order=order)
        train_predicted = _predict(fitted, rows.X_train)
        metrics |= scores(rows.y_train.to_numpy(), train_predicted, "train_", train_weights)
        metrics |= {"fit_seconds": fit_done - start, "predict_seconds": predict_done - fit_done}
        doing("importance")
        table = importance(fitted, rows, seed)
    columns = {"row": rows.y_test.index, "actual": y_test, "predicted": predicted, "residual": y_test - predicted}
    predictions = pd.DataFrame(columns | known).sort_values("row", ignore_index=True)
    return Evaluated(fitted, metrics, predictions, train_predicted, table, predicted, folds)


def fit(estimator: BaseEstimator, X: pd.DataFrame, y: pd.Series, weights: np.ndarray | None = None) -> BaseEstimator:
    """A fitted clone; `weights` (n,) count in the model alone, not in its preprocess.

    Where a forest leaves n_jobs open, its trees grow in threads. That gives the same bits with any number of threads.
    Summing the trees' predictions in threads would not: `predict` runs in one.

    Raises FitFailed for whatever the estimator raises.
    """
    kinds = {kind.__name__ for kind in type(final_step(estimator)).__mro__}  # sklearn.ensemble takes 0.1 s to import
    threads = parallel_config("threading", n_jobs=min(cpu_count(), THREADS)) if "BaseForest" in kinds else nullcontext()
    name = "model__sample_weight" if isinstance(estimator, Pipeline) else "sample_weight"
    weighed = {} if weights is None else {name: weights}
    try:
        with threads:
            return clone(estimator).fit(X, y, **weighed)
    except Exception as error:
        raise FitFailed(_fault("fitted", estimator, error)) from error


def _predict(fitted: BaseEstimator, X: pd.DataFrame) -> np.ndarray:
    try:
        return np.asarray(fitted.predict(X), dtype=np.float64).reshape(len(X))
    except Exception as error:
        raise FitFailed(_fault("predicted with", fitted, error)) from error


def _fault(what: str, estimator: BaseEstimator, error: Exception) -> Fault:
    model = type(final_step(estimator)).__name__
    cause = (str(error).strip() or type(error).__name__).partition("\n")[0].rstrip(".")
    return Fault(
        f"{model} cannot be {what}: {type(error).__name__}: {cause}.",
        f"{again(multirun=False)} --cfg job --package model",
    )


def _cross_validate(
    estimator: BaseEstimator, rows: Split, reached: Reached, doing: Doing
) -> tuple[dict[str, float], Folds]:
    """Scores over the folds of the training rows; the held-out rows play no part."""
    found: list[dict[str, float]] = []
    sizes: list[tuple[int, int]] = []
    out_of_fold: list[pd.DataFrame] = []
    for number, (inside, outside) in enumerate(rows.folds, 1):
        doing(f"fold {number} of {len(rows.folds)}")
        X, y = rows.X_train.iloc[inside], rows.y_train.iloc[inside]
        fitted = fit(estimator, X, y, rows.bonds.weights_of(X.index))
        X, y = rows.X_train.iloc[outside], rows.y_train.iloc[outside]
        predicted, deviation = _predict(fitted, X), spread(fitted, X)
        columns: dict[str, Any] = {"row": y.index, "fold": number, "actual": y.to_numpy(), "predicted": predicted}
        if deviation is not None:
            columns["spread"] = deviation
        if rows.n_repeats > 1:
            columns["repeat"] = (number - 1) // rows.n_splits + 1
        known = rows.bonds.columns(y.index)
        out_of_fold.append(pd.DataFrame(columns | known))
        found.append(scores(y.to_numpy(), predicted, weights=known.get(WEIGHT)))
        sizes.append((len(outside), len(inside)))
        reached(number, over_folds(found))
    table = pd.DataFrame(found, columns=[metric.name for metric in METRICS])
    table.insert(0, "fold", range(1, len(found) + 1))
    table[["rows", "train_rows"]] = sizes
    each_row = pd.concat(out_of_fold).sort_values("row", ignore_index=True, kind="stable")
    return over_folds(found), Folds(table, each_row)
