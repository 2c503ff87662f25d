"""How sure a score is: percentile intervals over resampled held-out rows."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.stats import bootstrap

from boston_exp.experiment.metrics import METRICS


def intervals(y: np.ndarray, predicted: np.ndarray, n_resamples: int, seed: int) -> dict[str, float]:
    """95 % intervals of every metric, `rmse_ci_low` and `rmse_ci_high`: the spread over resampled rows, the model as it
    is. Nothing for n_resamples=0."""
    if not n_resamples:
        return {}

    def scores(y: np.ndarray, predicted: np.ndarray, axis: int) -> np.ndarray:
        return np.stack([metric.score(y, predicted) for metric in METRICS])

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
        f"{metric.name}_ci_{side}": float(limit)
        for side, limits in (("low", interval.low), ("high", interval.high))
        for metric, limit in zip(METRICS, limits, strict=True)
    }
