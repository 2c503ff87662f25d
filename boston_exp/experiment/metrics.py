"""The scores of a run: how each is computed, called, printed, and which way is better.

Another metric is one line of METRICS: records, intervals, folds, summary, sweeps and checks follow. Imports only NumPy,
because `objective.metric` is checked before anything heavy is imported.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from boston_exp.config.invocation import again
from boston_exp.config.schema import Config, Evaluation
from boston_exp.errors import Fault, Kind, did_you_mean

Score = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Metric:
    """One score of predictions against actual values.

    `score` takes two arrays of shape (..., n) and gives (...): the last axis is that of the rows, so that a thousand
    resamples are scored in one call. `by_row` takes two arrays of shape (n,) and gives (n,): the score, linearised in
    the rows (score + influence function), so that its mean over rows is the score and its spread that of the score.
    Without one it is found by leaving out each row in turn, which takes n² steps.
    """

    name: str
    score: Score
    label: str
    unit: Literal["", "%", "target"]  # "target": that of the target
    direction: Literal["minimize", "maximize"] = "minimize"
    by_row: Score | None = None

    def loss_by_row(self, y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """What each row contributes, shape (n,), turned so that less is better."""
        contributed = self.by_row(y, predicted) if self.by_row else _jackknife(self.score, y, predicted)
        return contributed * (-1 if self.direction == "maximize" else 1)

    def unit_of(self, target_unit: str) -> str:
        return target_unit if self.unit == "target" else self.unit


def _r2_score(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    spread = ((y - y.mean(axis=-1, keepdims=True)) ** 2).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):  # a resample of one repeated row has no spread
        return 1 - ((y - predicted) ** 2).sum(axis=-1) / spread


def _r2_by_row(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    from_mean = (y - y.mean(axis=-1, keepdims=True)) ** 2
    variance = from_mean.mean(axis=-1, keepdims=True)
    squares = (y - predicted) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        unexplained = squares.mean(axis=-1, keepdims=True) / variance
        return 1 - unexplained - squares / variance + unexplained * from_mean / variance


def _rmse(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return np.sqrt(((y - predicted) ** 2).mean(axis=-1))


def _rmse_by_row(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    rmse = _rmse(y, predicted)[..., np.newaxis]
    squares = (y - predicted) ** 2
    return rmse / 2 + np.divide(squares, 2 * rmse, out=np.zeros_like(squares), where=rmse > 0)


def _mae(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return _mae_by_row(y, predicted).mean(axis=-1)


def _mae_by_row(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return np.abs(y - predicted)


def _mape(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return _mape_by_row(y, predicted).mean(axis=-1)


def _mape_by_row(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return 100 * np.abs(y - predicted) / np.maximum(np.abs(y), np.finfo(np.float64).eps)


def _jackknife(score: Score, y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Pseudo-values n * score - (n - 1) * score without the row, moved so that their mean is the score."""
    n, others = len(y), np.arange(len(y) - 1)
    without = np.empty(n)
    for rows in np.array_split(np.arange(n), -(-n * n // 10_000_000)):  # bounds the memory on large tables
        kept = others + (others >= rows[:, np.newaxis])
        without[rows] = score(y[kept], predicted[kept])
    whole = float(score(y, predicted))
    pseudo = n * whole - (n - 1) * without
    return pseudo - pseudo.mean() + whole


# scikit-learn's definitions; tests/experiment/test_metrics.py holds each to its counterpart there
METRICS = (
    Metric("r2_score", _r2_score, "R²", "", "maximize", _r2_by_row),
    Metric("rmse", _rmse, "RMSE", "target", by_row=_rmse_by_row),
    Metric("mae", _mae, "MAE", "target", by_row=_mae_by_row),
    Metric("mape", _mape, "MAPE", "%", by_row=_mape_by_row),
)
SECONDS = ("fit_seconds", "predict_seconds")


def scores(y: np.ndarray, predicted: np.ndarray, prefix: str = "") -> dict[str, float]:
    """Every metric of one set of predictions, each under its name with `prefix` before it."""
    return {f"{prefix}{metric.name}": float(metric.score(y, predicted)) for metric in METRICS}


def over_folds(folds: list[dict[str, float]]) -> dict[str, float]:
    """Mean of every metric over the folds and their spread (standard deviation, ddof=1): `cv_rmse`, `cv_rmse_std`, …

    The spread of one fold is nan. It is not the error of the mean: the folds share most of their training rows.
    """
    columns = {metric.name: [fold[metric.name] for fold in folds] for metric in METRICS}
    means = {f"cv_{name}": float(np.mean(column)) for name, column in columns.items()}
    spreads = {name: float(np.std(column, ddof=1)) if len(column) > 1 else math.nan for name, column in columns.items()}
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
