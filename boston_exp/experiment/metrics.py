"""The scores of a run: how each is computed, called, printed, and which way is better.

Another metric is one line of METRICS: records, intervals, folds, summary, sweeps and checks follow. Imports only NumPy,
because `objective.metric` is checked before anything heavy is imported.
"""

from __future__ import annotations

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
    resamples are scored in one call.
    """

    name: str
    score: Score
    label: str
    unit: Literal["", "%", "target"]  # "target": that of the target
    direction: Literal["minimize", "maximize"] = "minimize"

    def unit_of(self, target_unit: str) -> str:
        return target_unit if self.unit == "target" else self.unit


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


# scikit-learn's definitions; tests/experiment/test_metrics.py holds each to its counterpart there
METRICS = (
    Metric("r2_score", _r2_score, "R²", "", "maximize"),
    Metric("rmse", _rmse, "RMSE", "target"),
    Metric("mae", _mae, "MAE", "target"),
    Metric("mape", _mape, "MAPE", "%"),
)
SECONDS = ("fit_seconds", "predict_seconds")


def scores(y: np.ndarray, predicted: np.ndarray, prefix: str = "") -> dict[str, float]:
    """Every metric of one set of predictions, each under its name with `prefix` before it."""
    return {f"{prefix}{metric.name}": float(metric.score(y, predicted)) for metric in METRICS}


def over_folds(folds: list[dict[str, float]]) -> dict[str, float]:
    """Mean and (population) standard deviation of every metric over the folds: `cv_rmse`, `cv_rmse_std`, …"""
    columns = {metric.name: [fold[metric.name] for fold in folds] for metric in METRICS}
    means = {f"cv_{name}": float(np.mean(column)) for name, column in columns.items()}
    return means | {f"cv_{name}_std": float(np.std(column)) for name, column in columns.items()}


def names(evaluation: Evaluation) -> list[str]:
    """What a run with this evaluation records."""
    plain = [metric.name for metric in METRICS]
    found = [*plain, *(f"train_{name}" for name in plain), *SECONDS]
    if evaluation.n_resamples:
        found += [f"{name}_ci_{side}" for name in plain for side in ("low", "high")]
    if evaluation.n_splits:
        found += [f"cv_{name}{suffix}" for name in plain for suffix in ("", "_std")]
    return found


def direction(name: str) -> str:
    """Which way is better for a recorded metric: `maximize` for R² and its relatives, `minimize` for errors, spreads
    and seconds."""
    plain = name.removeprefix("train_").removeprefix("cv_").removesuffix("_ci_low").removesuffix("_ci_high")
    return next((metric.direction for metric in METRICS if metric.name == plain), "minimize")


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
