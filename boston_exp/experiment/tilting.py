"""Percentile intervals of large samples without resamples: the delta method with what skewness adds.

In a resample each row is there c times, c - 1 being a Poisson count around 0. A score moves by the sum of (c - 1) x
influence, to first order, and the distribution of that sum is known: of the few largest influences exactly, of the
others by their variance, skewness and kurtosis. The quantile is put back into the score by moving the weights of all
rows in the direction of their influence ("least favourable", Efron 1981), so that a root or a ratio is bent as
resamples bend it. docs/proofs/interval_width.md
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from boston_exp.experiment.metrics import Metric, Weights
from boston_exp.experiment.units import Units

LARGEST = 100  # influences that are counted one by one
STEP = 0.1  # of the frequencies of the characteristic function, in 1 / standard deviations
DRAWN = 10_000  # up to so many units the sum is drawn, not computed
Z = float(stats.norm.ppf(0.975))


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows (n,) that a metric scores, and what each of them counts."""

    metric: Metric
    y: np.ndarray
    predicted: np.ndarray
    weights: Weights = None

    def score(self, copies: np.ndarray) -> np.ndarray:
        """With each row there so many times: `copies` (..., n), to (...)."""
        return self.metric.score(self.y, self.predicted, copies if self.weights is None else copies * self.weights)


def ends(sample: Sample, drawn: Units | None, n_resamples: int, seed: int) -> tuple[float, float]:
    """Lower and upper end of the 95 % interval. `drawn`: of two units or more; None: each row by itself.

    Up to 10,000 units, sums of influences are resampled (`n_resamples`, `seed`), since what few units give is no sum of
    independent counts; beyond, there are no random numbers.
    """
    metric, y, predicted, weights = sample.metric, sample.y, sample.predicted, sample.weights
    whole = float(metric.score(y, predicted, weights))
    each = np.ones(len(y)) if weights is None else weights
    influence = metric.loss_by_row(y, predicted, weights)
    influence = each * (influence - (each * influence).sum() / each.sum())
    moved = influence if drawn is None else drawn.sums(influence)
    length = float(np.sqrt((moved**2).sum()))
    if not length > 0:  # nan where there is no score
        return whole, whole
    moved = moved / length
    reach = Z if drawn is None else drawn.reach
    levels = stats.norm.cdf([-reach, reach])
    if len(moved) <= DRAWN:
        counts = np.random.default_rng(seed).multinomial(len(moved), np.full(len(moved), 1 / len(moved)), n_resamples)
        quantiles = np.quantile(counts @ moved, levels)
    else:
        quantiles = np.array(_quantiles(moved, levels))
    found = []
    for quantile in quantiles:
        copies = 1 + quantile * (moved if drawn is None else moved[drawn.of_row])
        found.append(float(sample.score(copies)))
    return min(found), max(found)


def _quantiles(moved: np.ndarray, levels: np.ndarray) -> list[float]:
    """Of the sum of (c - 1) x moved, c being Poisson(1), by inverting its characteristic function (Gil-Pelaez 1951);
    `moved` (n,) has mean 0 and length 1."""
    order = np.argpartition(np.abs(moved), -LARGEST)
    large, others = moved[order[-LARGEST:]], moved[order[:-LARGEST]]
    square = others**2
    second, third, fourth = float(square.sum()), float((square * others).sum()), float((square * square).sum())
    highest = np.clip(8 / np.sqrt(max(second, 1e-9)), 8, 60)  # where nothing is left of it
    at = np.arange(STEP / 2, highest, STEP)
    turned = 1j * at[:, np.newaxis] * large
    logarithm = (np.exp(turned) - 1 - turned).sum(axis=1)
    logarithm += -(at**2) * second / 2 - 1j * at**3 * third / 6 + at**4 * fourth / 24
    transformed = np.exp(logarithm) / at

    def distribution(value: float) -> float:
        return float(0.5 - STEP / np.pi * np.imag(np.exp(-1j * at * value) * transformed).sum())

    return [float(optimize.brentq(lambda value, level=level: distribution(value) - level, -8, 16)) for level in levels]
