"""Fit on the training rows, score folds of them where asked, score the held-out rows once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from joblib import cpu_count, parallel_config
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline

from boston_exp.config.invocation import again
from boston_exp.errors import Fault, FitFailed
from boston_exp.experiment.growing import Begun, Growth, at_size, continued, settled, size_of
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
    grown_from: int | None = None  # trees that the models had when they came here


def evaluate(
    estimator: BaseEstimator,
    rows: Split,
    seed: int,
    n_resamples: int,
    reached: Reached = lambda fold, metrics: None,
    doing: Doing = lambda stage: None,
    growth: Growth | None = None,
    rungs: Sequence[int] | None = None,
) -> Evaluated:
    """Score the folds of the split, then fit on all training rows and score the held-out rows once.

    Metrics: r2_score, rmse and mae in the target's unit, mape in percent; seconds for fit and predict. After each
    fold `reached` is given its number, from 1, and the cv_ metrics so far; what it raises ends the evaluation. With
    `rungs`, numbers of trees, all folds grow from rung to rung, and it is given the number of trees and the cv_ metrics
    at each, and at the end. `doing` is told each stage before it begins.

    What `growth` has grows; what was fitted is left in it. `fit_seconds` is then the sum over the parts.
    """
    growth = growth or Growth()
    growth.keeps, grown_from = growth.keeps or rungs is not None, growth.size
    with openmp_for(rows.X_train.size):
        metrics: dict[str, float] = {}
        folds = None
        if rows.n_splits:
            metrics, folds = _cross_validate(estimator, rows, reached, doing, growth, rungs)
        doing("fitting")
        train_weights = rows.bonds.weights_of(rows.X_train.index)
        fitted, fit_seconds = _fit(estimator, rows.X_train, rows.y_train, train_weights, growth, 0)
        doing("predicting")
        start = time.perf_counter()
        predicted = _predict(fitted, rows.X_test)
        predict_seconds = time.perf_counter() - start
        y_test, known = rows.y_test.to_numpy(), rows.bonds.columns(rows.X_test.index)
        weights, clusters, order = (known.get(name) for name in (WEIGHT, CLUSTER, TIME))
        metrics |= scores(y_test, predicted, weights=weights)
        doing("intervals")
        metrics |= intervals(y_test, predicted, n_resamples, rows.seed, weights=weights, clusters=clusters, order=order)
        train_predicted = _predict(fitted, rows.X_train)
        metrics |= scores(rows.y_train.to_numpy(), train_predicted, "train_", train_weights)
        metrics |= {"fit_seconds": fit_seconds, "predict_seconds": predict_seconds}
        doing("importance")
        table = importance(fitted, rows, seed)
    columns = {"row": rows.y_test.index, "actual": y_test, "predicted": predicted, "residual": y_test - predicted}
    predictions = pd.DataFrame(columns | known).sort_values("row", ignore_index=True)
    return Evaluated(fitted, metrics, predictions, train_predicted, table, predicted, folds, grown_from)


def fit(
    estimator: BaseEstimator,
    X: pd.DataFrame,
    y: pd.Series,
    weights: np.ndarray | None = None,
    begun: BaseEstimator | None = None,
) -> BaseEstimator:
    """A fitted clone; `weights` (n,) count in the model alone, not in its preprocess.

    `begun` was fitted on the same rows and has fewer trees: it grows, and is what comes back.

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
            if begun is not None:
                return settled(continued(begun, estimator).fit(X, y, **weighed))
            return clone(estimator).fit(X, y, **weighed)
    except Exception as error:
        raise FitFailed(_fault("fitted", estimator, error)) from error


def _fit(
    estimator: BaseEstimator, X: pd.DataFrame, y: pd.Series, weights: np.ndarray | None, growth: Growth, place: int
) -> tuple[BaseEstimator, float]:
    """The fitted model, grown where there is something to grow from, and the seconds that all its parts have taken."""
    begun, start = growth.take(place), time.perf_counter()
    fitted = fit(estimator, X, y, weights, begun.fitted if begun else None)
    seconds = time.perf_counter() - start + (begun.seconds if begun else 0.0)
    growth.keep(place, Begun(fitted, seconds))
    return fitted, seconds


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
    estimator: BaseEstimator,
    rows: Split,
    reached: Reached,
    doing: Doing,
    growth: Growth,
    rungs: Sequence[int] | None,
) -> tuple[dict[str, float], Folds]:
    """Scores over the folds of the training rows; the held-out rows play no part."""
    for size in rungs or ():
        doing(f"folds at {size} trees")
        smaller = at_size(estimator, size)
        reached(size, over_folds([_fold(smaller, rows, growth, number)[2] for number in range(1, len(rows.folds) + 1)]))
    found: list[dict[str, float]] = []
    sizes: list[tuple[int, int]] = []
    out_of_fold: list[dict[str, np.ndarray]] = []
    for number, (inside, outside) in enumerate(rows.folds, 1):
        doing(f"fold {number} of {len(rows.folds)}")
        fitted, predicted, scored = _fold(estimator, rows, growth, number)
        X, y = rows.X_train.iloc[outside], rows.y_train.iloc[outside]
        deviation = spread(fitted, X)
        of_fold = np.full(len(y), number)
        columns = {"row": y.index.to_numpy(), "fold": of_fold, "actual": y.to_numpy(), "predicted": predicted}
        if deviation is not None:
            columns["spread"] = deviation
        if rows.n_repeats > 1:
            columns["repeat"] = (of_fold - 1) // rows.n_splits + 1
        out_of_fold.append(columns | rows.bonds.columns(y.index))
        found.append(scored)
        sizes.append((len(outside), len(inside)))
        if rungs is None:
            reached(number, over_folds(found))
    if rungs is not None:
        reached(size_of(estimator), over_folds(found))
    table = pd.DataFrame(found, columns=[metric.name for metric in METRICS])
    table.insert(0, "fold", range(1, len(found) + 1))
    table[["rows", "train_rows"]] = sizes
    whole = {name: np.concatenate([columns[name] for columns in out_of_fold]) for name in out_of_fold[0]}
    each_row = pd.DataFrame(whole).sort_values("row", ignore_index=True, kind="stable")
    return over_folds(found), Folds(table, each_row)


def _fold(
    estimator: BaseEstimator, rows: Split, growth: Growth, number: int
) -> tuple[BaseEstimator, np.ndarray, dict[str, float]]:
    """Of one fold, from 1: the model fitted on the other rows, its predictions of the fold's rows, their scores."""
    inside, outside = rows.folds[number - 1]
    X, y = rows.X_train.iloc[inside], rows.y_train.iloc[inside]
    fitted, _ = _fit(estimator, X, y, rows.bonds.weights_of(X.index), growth, number)
    X, y = rows.X_train.iloc[outside], rows.y_train.iloc[outside]
    predicted = _predict(fitted, X)
    return fitted, predicted, scores(y.to_numpy(), predicted, weights=rows.bonds.columns(y.index).get(WEIGHT))
