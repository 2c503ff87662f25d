"""Fit on the training rows, score on the held-out rows once, and say how sure the scores are."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import pandas as pd
from joblib import cpu_count, parallel_config
from scipy.stats import bootstrap
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import KFold

from boston_exp.config import METRICS, Evaluation
from boston_exp.experiment.data import Split
from boston_exp.experiment.models import final_step

THREADS = 4  # a third of a small tree's time has to be taken in turn, so more threads would only wait
Reached = Callable[[int, dict[str, float]], None]
Score = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _r2_score(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    spread = ((y - y.mean(axis=-1, keepdims=True)) ** 2).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):  # a resample of one repeated row has no spread
        return 1 - ((y - predicted) ** 2).sum(axis=-1) / spread


def _rmse(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return np.sqrt(((y - predicted) ** 2).mean(axis=-1))


def _mae(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return np.abs(y - predicted).mean(axis=-1)


def _mape(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    share = np.abs(y - predicted) / np.maximum(np.abs(y), np.finfo(np.float64).eps)
    return 100 * share.mean(axis=-1)


# scikit-learn's definitions over the last axis, so that a thousand resamples are scored in one call.
SCORES: dict[str, Score] = dict(zip(METRICS, (_r2_score, _rmse, _mae, _mape), strict=True))


@dataclass(frozen=True)
class Evaluated:
    """A fitted estimator and what is known of it."""

    estimator: BaseEstimator
    metrics: dict[str, float]  # config.metric_names has every name
    predictions: pd.DataFrame  # held-out rows: row, actual, predicted, residual (actual - predicted)
    train_predicted: np.ndarray  # (n_train,), in the order of the training rows
    importance: pd.DataFrame  # feature, importance, std; the most important first
    importance_method: str  # what the numbers mean, for an axis


def evaluate(
    estimator: BaseEstimator,
    rows: Split,
    evaluation: Evaluation,
    seed: int,
    unit: str,
    reached: Reached = lambda fold, metrics: None,
) -> Evaluated:
    """Score k folds of the training rows where asked, then fit on all of them and score the held-out rows once.

    Metrics: r2_score, rmse and mae in the target's unit, mape in percent; seconds for fit and predict. After each
    fold `reached` is given its number, from 1, and the cv_ metrics so far; what it raises ends the evaluation.
    """
    metrics = _cross_validate(estimator, rows, evaluation.n_splits, seed, reached) if evaluation.n_splits else {}
    start = time.perf_counter()
    fitted = fit(estimator, rows.X_train, rows.y_train)
    fit_done = time.perf_counter()
    predicted = np.asarray(fitted.predict(rows.X_test), dtype=np.float64).reshape(len(rows.X_test))
    predict_done = time.perf_counter()
    y_test = rows.y_test.to_numpy()
    metrics |= _scores(y_test, predicted)
    metrics |= _intervals(y_test, predicted, evaluation.n_resamples, seed)
    train_predicted = np.asarray(fitted.predict(rows.X_train), dtype=np.float64).reshape(len(rows.X_train))
    metrics |= _scores(rows.y_train.to_numpy(), train_predicted, "train_")
    metrics |= {"fit_seconds": fit_done - start, "predict_seconds": predict_done - fit_done}
    importance, method = _importance(fitted, rows, seed, unit)
    predictions = pd.DataFrame(
        {
            "row": rows.y_test.index,
            "actual": y_test,
            "predicted": predicted,
            "residual": y_test - predicted,
        }
    ).sort_values("row", ignore_index=True)
    return Evaluated(fitted, metrics, predictions, train_predicted, importance, method)


def fit(estimator: BaseEstimator, X: pd.DataFrame, y: pd.Series) -> BaseEstimator:
    """A fitted clone. Where a forest leaves n_jobs open, its trees grow in threads.

    That gives the same bits with any number of threads. Adding up the trees' predictions would not: `predict` has one.
    """
    kinds = {kind.__name__ for kind in type(final_step(estimator)).__mro__}  # sklearn.ensemble takes 0.1 s to import
    threads = parallel_config("threading", n_jobs=min(cpu_count(), THREADS)) if "BaseForest" in kinds else nullcontext()
    with threads:
        return clone(estimator).fit(X, y)


def _scores(y: np.ndarray, predicted: np.ndarray, prefix: str = "") -> dict[str, float]:
    return {f"{prefix}{name}": float(score(y, predicted)) for name, score in SCORES.items()}


def _cross_validate(
    estimator: BaseEstimator, rows: Split, n_splits: int, seed: int, reached: Reached
) -> dict[str, float]:
    """Mean and standard deviation over the folds of the training rows; the held-out rows play no part."""
    folds: list[dict[str, float]] = []
    for inside, outside in KFold(n_splits, shuffle=True, random_state=seed).split(rows.X_train):
        fitted = fit(estimator, rows.X_train.iloc[inside], rows.y_train.iloc[inside])
        folds.append(
            _scores(rows.y_train.iloc[outside].to_numpy(), np.ravel(fitted.predict(rows.X_train.iloc[outside])))
        )
        reached(len(folds), _over_folds(folds))
    return _over_folds(folds)


def _over_folds(folds: list[dict[str, float]]) -> dict[str, float]:
    means = {f"cv_{name}": float(np.mean([fold[name] for fold in folds])) for name in METRICS}
    return means | {f"cv_{name}_std": float(np.std([fold[name] for fold in folds])) for name in METRICS}


def _intervals(y: np.ndarray, predicted: np.ndarray, n_resamples: int, seed: int) -> dict[str, float]:
    """95 % percentile intervals: the spread of the score over resampled held-out rows."""
    if not n_resamples:
        return {}

    def scores(y: np.ndarray, predicted: np.ndarray, axis: int) -> np.ndarray:
        return np.stack([score(y, predicted) for score in SCORES.values()])

    with warnings.catch_warnings(), np.errstate(all="ignore"):  # a resample without spread has no R²: it shows as nan
        warnings.simplefilter("ignore")
        interval = bootstrap(
            (y, predicted),
            scores,
            paired=True,
            vectorized=True,
            n_resamples=n_resamples,
            batch=max(1, 10_000_000 // len(y)),  # bounds the memory on large tables
            method="percentile",
            rng=np.random.default_rng(seed),
        ).confidence_interval
    return {
        f"{name}_ci_{side}": float(limit)
        for side, limits in (("low", interval.low), ("high", interval.high))
        for name, limit in zip(SCORES, limits, strict=True)
    }


def _importance(fitted: BaseEstimator, rows: Split, seed: int, unit: str) -> tuple[pd.DataFrame, str]:
    """The model's own importances where it has them, else how much worse it gets when a column is shuffled."""
    model = final_step(fitted)
    own = getattr(model, "feature_importances_", None)
    if own is not None:
        names = list(rows.X_train.columns) if model is fitted else list(fitted[:-1].get_feature_names_out())
        table = pd.DataFrame({"feature": names, "importance": own, "std": np.nan})
        method = "share of the variance explained by splits on the feature"
    else:
        means, deviations = _shuffled(fitted, rows, seed)
        table = pd.DataFrame({"feature": rows.X_test.columns, "importance": means, "std": deviations})
        method = f"increase of the held-out RMSE{f', {unit},' if unit else ''} when the feature is shuffled"
    return table.sort_values("importance", ascending=False, ignore_index=True), method


def _shuffled(fitted: BaseEstimator, rows: Split, seed: int, n_repeats: int = 5) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of the RMSE's increase when a column is shuffled, per column.

    What sklearn.inspection.permutation_importance does, with one call of predict per column and not one per repeat: a
    tenth of its time for small models.
    """
    rng, n = np.random.default_rng(seed), len(rows.X_test)
    y = np.broadcast_to(rows.y_test.to_numpy(), (n_repeats, n))
    base = float(_rmse(y[0], np.asarray(fitted.predict(rows.X_test))))
    repeated = pd.concat([rows.X_test] * n_repeats, ignore_index=True)
    means, deviations = [], []
    for column in repeated.columns:
        shuffles = np.concatenate([rng.permutation(n) for _ in range(n_repeats)])
        table = repeated.assign(**{column: rows.X_test[column].to_numpy()[shuffles]})
        increases = _rmse(y, np.asarray(fitted.predict(table)).reshape(n_repeats, n)) - base
        means.append(float(increases.mean()))
        deviations.append(float(increases.std()))
    return means, deviations
