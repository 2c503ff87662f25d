"""The scores of a run: how each is computed, called, printed, and which way is better.

Another metric is one line of METRICS: records, intervals, folds, summary, sweeps and checks follow. Imports only NumPy,
because `objective.metric` is checked before anything heavy is imported.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from boston_exp.config.invocation import again
from boston_exp.config.schema import Config, Evaluation
from boston_exp.errors import Fault, Kind, did_you_mean

Score = Callable[..., np.ndarray]  # of y, predicted and, where it takes them, weights
Weights = np.ndarray | None


@dataclass(frozen=True)
class Metric:
    """One score of predictions against actual values.

    `formula` takes two arrays of shape (..., n) and gives (...): the last axis is that of the rows, so that a thousand
    resamples are scored in one call. With `weights=None` as its third parameter it takes weights (..., n) as
    scikit-learn's `sample_weight`; without one, each row is repeated as often as it weighs. `by_row` takes arrays of
    shape (n,), weights likewise, and gives (n,): the score, linearised in the rows (score + influence function), so
    that its (weighted) mean over rows is the score and its spread that of the score. Without one it is found by leaving
    out each row in turn, which takes n² steps.
    """

    name: str
    formula: Score
    label: str
    unit: Literal["", "%", "target"]  # "target": that of the target
    direction: Literal["minimize", "maximize"] = "minimize"
    by_row: Score | None = None

    def score(self, y: np.ndarray, predicted: np.ndarray, weights: Weights = None) -> np.ndarray:
        """Of arrays (..., n), weights broadcastable to them: shape (...)."""
        if weights is None:
            return self.formula(y, predicted)
        if "weights" in inspect.signature(self.formula).parameters:
            return self.formula(y, predicted, weights)
        return _repeated(self.formula, y, predicted, weights)

    def loss_by_row(self, y: np.ndarray, predicted: np.ndarray, weights: Weights = None) -> np.ndarray:
        """What each row contributes, shape (n,), turned so that less is better; weighted, their mean is the score."""
        if self.by_row is None:
            contributed = _jackknife(self.score, y, predicted, weights)
        else:
            contributed = self.by_row(y, predicted) if weights is None else self.by_row(y, predicted, weights)
        return contributed * (-1 if self.direction == "maximize" else 1)

    def unit_of(self, target_unit: str) -> str:
        return target_unit if self.unit == "target" else self.unit


def _mean(values: np.ndarray, weights: Weights, keepdims: bool = False) -> np.ndarray:
    """Over the rows, (..., n) to (...) or (..., 1)."""
    if weights is None:
        return np.asarray(values.mean(axis=-1, keepdims=keepdims))
    with np.errstate(divide="ignore", invalid="ignore"):  # rows that weigh nothing together have no mean
        return np.asarray((values * weights).sum(axis=-1, keepdims=keepdims) / weights.sum(axis=-1, keepdims=keepdims))


def _r2_score(y: np.ndarray, predicted: np.ndarray, weights: Weights = None) -> np.ndarray:
    from_mean, squares = (y - _mean(y, weights, keepdims=True)) ** 2, (y - predicted) ** 2
    if weights is not None:
        from_mean, squares = from_mean * weights, squares * weights
    with np.errstate(divide="ignore", invalid="ignore"):  # a resample of one repeated row has no spread
        return 1 - squares.sum(axis=-1) / from_mean.sum(axis=-1)


def _r2_by_row(y: np.ndarray, predicted: np.ndarray, weights: Weights = None) -> np.ndarray:
    from_mean = (y - _mean(y, weights, keepdims=True)) ** 2
    variance = _mean(from_mean, weights, keepdims=True)
    squares = (y - predicted) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        unexplained = _mean(squares, weights, keepdims=True) / variance
        return 1 - unexplained - squares / variance + unexplained * from_mean / variance


def _rmse(y: np.ndarray, predicted: np.ndarray, weights: Weights = None) -> np.ndarray:
    return np.sqrt(_mean((y - predicted) ** 2, weights))


def _rmse_by_row(y: np.ndarray, predicted: np.ndarray, weights: Weights = None) -> np.ndarray:
    rmse = _rmse(y, predicted, weights)[..., np.newaxis]
    squares = (y - predicted) ** 2
    return rmse / 2 + np.divide(squares, 2 * rmse, out=np.zeros_like(squares), where=rmse > 0)


def _mae(y: np.ndarray, predicted: np.ndarray, weights: Weights = None) -> np.ndarray:
    return _mean(_mae_by_row(y, predicted), weights)


def _mae_by_row(y: np.ndarray, predicted: np.ndarray, weights: Weights = None) -> np.ndarray:
    return np.abs(y - predicted)


def _mape(y: np.ndarray, predicted: np.ndarray, weights: Weights = None) -> np.ndarray:
    return _mean(_mape_by_row(y, predicted), weights)


def _mape_by_row(y: np.ndarray, predicted: np.ndarray, weights: Weights = None) -> np.ndarray:
    return 100 * np.abs(y - predicted) / np.maximum(np.abs(y), np.finfo(np.float64).eps)


def _jackknife(score: Score, y: np.ndarray, predicted: np.ndarray, weights: Weights) -> np.ndarray:
    """Pseudo-values: the score plus what a row adds to it, (score - score without the row) x (weight of the others) /
    (its own), moved so that their mean is the score. A row that weighs nothing adds nothing."""
    n, others = len(y), np.arange(len(y) - 1)
    own = np.ones(n) if weights is None else weights
    without = np.empty(n)
    for rows in np.array_split(np.arange(n), -(-n * n // 10_000_000)):  # bounds the memory on large tables
        kept = others + (others >= rows[:, np.newaxis])
        without[rows] = score(y[kept], predicted[kept], None if weights is None else weights[kept])
    whole = float(score(y, predicted, weights))
    added = np.divide((own.sum() - own) * (whole - without), own, out=np.zeros(n), where=own > 0)
    return whole + added - (added * own).sum() / own.sum()


def _repeated(formula: Score, y: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The score of rows that are there as often as they weigh, of about ten times as many in all."""
    y, predicted, weights = np.broadcast_arrays(y, predicted, weights)
    n = y.shape[-1]
    places = (np.arange(10 * n) + 0.5) / (10 * n)
    found = []
    for one, other, weight in zip(*(each.reshape(-1, n) for each in (y, predicted, weights)), strict=True):
        total = np.cumsum(weight)
        kept = np.minimum(np.searchsorted(total, places * total[-1], side="right"), n - 1)
        found.append(formula(one[kept], other[kept]))
    return np.array(found).reshape(y.shape[:-1])


# scikit-learn's definitions; tests/experiment/test_metrics.py holds each to its counterpart there
METRICS = (
    Metric("r2_score", _r2_score, "R²", "", "maximize", _r2_by_row),
    Metric("rmse", _rmse, "RMSE", "target", by_row=_rmse_by_row),
    Metric("mae", _mae, "MAE", "target", by_row=_mae_by_row),
    Metric("mape", _mape, "MAPE", "%", by_row=_mape_by_row),
)
SECONDS = ("fit_seconds", "predict_seconds")


def scores(y: np.ndarray, predicted: np.ndarray, prefix: str = "", weights: Weights = None) -> dict[str, float]:
    """Every metric of one set of predictions, each under its name with `prefix` before it."""
    return {f"{prefix}{metric.name}": float(metric.score(y, predicted, weights)) for metric in METRICS}


def over_folds(folds: list[dict[str, float]]) -> dict[str, float]:
    """Mean of every metric over the folds and their spread (standard deviation, ddof=1): `cv_rmse`, `cv_rmse_std`, …

    The spread of one fold is nan. It is not the error of the mean: the folds share most of their training rows.
    """
    columns = {metric.name: [fold[metric.name] for fold in folds] for metric in METRICS}
    means = {f"cv_{name}": float(np.mean(column)) for name, column in columns.items()}
    with np.errstate(invalid="ignore"):  # R² of a fold of one row is infinite
        spreads = {
            name: float(np.std(column, ddof=1)) if len(column) > 1 else math.nan for name, column in columns.items()
        }
    return means | {f"cv_{name}_std": spread for name, spread in spreads.items()}


def names(evaluation: Evaluation) -> list[str]:
    """What a run with this evaluation records."""
    plain = [metric.name for metric in METRICS]
    found = [*plain, *(f"train_{name}" for name in plain), *SECONDS]
    if evaluation.n_resamples:
        found += [f"{name}_ci_{side}" for name in plain for side in ("low", "high")]
    if evaluation.n_splits:
        found += [f"cv_{name}{suffix}" for name in plain for suffix in ("", "_std")]
    return found


def named(name: str) -> Metric | None:
    """The metric with this name, `cv_` before it or not."""
    return next((metric for metric in METRICS if metric.name == name.removeprefix("cv_")), None)


def direction(name: str) -> str:
    """Which way is better for a recorded metric: `maximize` for R² and its relatives, `minimize` for errors, spreads
    and seconds."""
    metric = named(name.removeprefix("train_").removesuffix("_ci_low").removesuffix("_ci_high"))
    return metric.direction if metric else "minimize"


def objective_faults(config: Config) -> Iterator[Fault]:
    """What is wrong with `objective.metric`: it has to be one that this evaluation produces."""
    produced = names(config.evaluation)
    for metric in config.objective.metrics or ["[]"]:
        if metric in produced:
            continue
        if metric in names(replace(config.evaluation, n_splits=5)):
            mend = again("evaluation=cv")
        else:
            choices = f"   (or one of: {', '.join(produced)})"
            mend = again(f"objective.metric={config.evaluation.selection_metric}") + choices
        says = f"objective.metric={metric} is not produced by this evaluation.{did_you_mean(metric, produced)}"
        yield Fault(says, mend, Kind.VALUE)
