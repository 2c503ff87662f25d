"""How sure a score is: percentile intervals over resampled held-out rows, or whole clusters or blocks of time of them.

Up to 10,000 rows they are resampled. Above, a thousand resamples take seconds and miss the width by 3 %; the delta
method with its skewness term is within 1 % of what ten thousand of them give. Clusters and blocks are few, so their
percentiles are further out (Hesterberg 2015, "expanded percentile"). docs/proofs/interval_width.md has both.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
from scipy.stats import bootstrap, norm

from boston_exp.experiment import tilting
from boston_exp.experiment.metrics import METRICS, Metric, Weights
from boston_exp.experiment.tilting import Sample
from boston_exp.experiment.units import Units, units

LARGE = 10_000  # rows; beyond them nothing is resampled
AT_ONCE = 10_000_000  # numbers, which bounds the memory
Ends = tuple[float, float]


def intervals(
    y: np.ndarray,
    predicted: np.ndarray,
    n_resamples: int,
    seed: int,
    *,
    weights: Weights = None,
    clusters: np.ndarray | None = None,
    order: np.ndarray | None = None,
) -> dict[str, float]:
    """95 % intervals of every metric, `rmse_ci_low` and `rmse_ci_high`: the spread over resampled rows, the model as it
    is. Nothing for n_resamples=0.

    Rows keep their `weights` (n,). With labels of `clusters` (n,) whole clusters are drawn; with a rank in time,
    `order` (n,), blocks of it. Where all rows are one cluster or block, ends are nan. A metric without `by_row` is
    resampled, however many rows there are.
    """
    if not n_resamples:
        return {}
    resampled = [metric for metric in METRICS if len(y) <= LARGE or metric.by_row is None]
    found: dict[Metric, Ends] = {}
    with warnings.catch_warnings(), np.errstate(all="ignore"):  # a resample without spread has no R²: it shows as nan
        warnings.simplefilter("ignore")
        if clusters is None and order is None:
            found |= zip(resampled, _of_rows(resampled, y, predicted, weights, n_resamples, seed), strict=True)
        for metric in METRICS:
            if metric not in found:
                sample = Sample(metric, y, predicted, weights)
                drawn = units(_losses(sample), clusters, order)
                if drawn is not None and drawn.number < 2:
                    found[metric] = math.nan, math.nan
                elif drawn is not None and metric in resampled:
                    found[metric] = _of_units(sample, drawn, n_resamples, seed)
                else:
                    found[metric] = tilting.ends(sample, drawn, n_resamples, seed)
    return {
        f"{metric.name}_ci_{side}": found[metric][place]
        for place, side in enumerate(("low", "high"))
        for metric in METRICS
    }


def _losses(sample: Sample) -> np.ndarray:
    """Whose autocorrelation decides how long blocks are."""
    y, predicted, weights = sample.y, sample.predicted, sample.weights
    losses = sample.metric.loss_by_row(y, predicted, weights) if sample.metric.by_row else np.abs(y - predicted)
    return losses if weights is None else losses * weights


def _of_rows(
    metrics: Sequence[Metric], y: np.ndarray, predicted: np.ndarray, weights: Weights, n_resamples: int, seed: int
) -> list[Ends]:
    """Ends for each metric over resampled rows, the same ones for all."""
    if not metrics:
        return []

    def scores(*sample: np.ndarray, axis: int) -> np.ndarray:
        return np.stack([metric.score(*sample) for metric in metrics])

    interval = bootstrap(
        (y, predicted) if weights is None else (y, predicted, weights),
        scores,
        paired=True,
        vectorized=True,
        n_resamples=n_resamples,
        batch=max(1, AT_ONCE // len(y)),
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return [(float(low), float(high)) for low, high in zip(interval.low, interval.high, strict=True)]


def _of_units(sample: Sample, drawn: Units, n_resamples: int, seed: int) -> Ends:
    """Ends over resampled units: each row weighs as often as its unit was drawn."""
    rng, even = np.random.default_rng(seed), np.full(drawn.number, 1 / drawn.number)
    scores: list[np.ndarray] = []
    for part in np.array_split(np.arange(n_resamples), -(-n_resamples * len(sample.y) // AT_ONCE)):
        copies = rng.multinomial(drawn.number, even, len(part)).astype(np.float64)[:, drawn.of_row]
        scores.append(sample.score(copies))
    low, high = np.quantile(np.concatenate(scores), norm.cdf([-drawn.reach, drawn.reach]))
    return float(low), float(high)
