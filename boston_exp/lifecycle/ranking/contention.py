"""Which of many models cannot be told from the best: a max-t test over their losses on the same rows.

Model j is compared with all others at once: H0 says that none of them is better. It is rejected when the largest of its
t values, (loss of j - loss of k) / standard error, is beyond what resampled rows give, which corrects for how many
models are compared. This is Hansen's test for superior predictive ability (2005) with every other model as a rival and
the least favourable configuration, on rows instead of periods.

Out-of-fold losses are of models whose training rows overlap, so the spread over rows understates how much the
difference would change with other training rows. Nadeau and Bengio's (2003) correction is applied to it: the standard
error times sqrt(1 + k * n_test / n_train).

Where rows of a cluster or a block of time err alike, it is those that are resampled.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from boston_exp.experiment.units import units

N_RESAMPLES = 1000
LEVEL = 0.05
LARGE = 10_000  # rows or units; a sum of more is normal
SEED = 0  # of the resamples: the same runs give the same marks


def overlap_factor(n_folds: float, overlap: float | None = None) -> float:
    """sqrt(1 + k * n_test / n_train) of k folds that have each row once. `overlap` is n_test / n_train, None: each is
    scored on 1/k of the rows, fitted on the others."""
    return float(np.sqrt(1 + n_folds * (1 / (n_folds - 1) if overlap is None else overlap)))


def p_values(
    losses: np.ndarray,
    factor: float,
    n_resamples: int = N_RESAMPLES,
    *,
    weights: np.ndarray | None = None,
    clusters: np.ndarray | None = None,
    order: np.ndarray | None = None,
) -> np.ndarray:
    """For each model, the p value of "no other is better".

    `losses` has shape (n_rows, n_models), the rows being the same for all; less is better. `factor` multiplies every
    standard error. Returns shape (n_models,). Conditional on the fits: what another seed would give is not in it. With
    `clusters` or `order` in time (n_rows,), as experiment/units.py tells rows apart; one unit alone shows nothing.
    """
    n_rows, n_models = losses.shape
    if n_models < 2:
        return np.ones(n_models)
    own = losses - losses.mean(axis=1, keepdims=True)  # what all models share would cost digits below
    each = np.ones(n_rows) if weights is None else weights / weights.mean()
    means = each @ own / n_rows
    around = each[:, np.newaxis] * (own - means)
    drawn = units(around, clusters, order)
    if drawn is not None:
        if drawn.number < 2:
            return np.ones(n_models)
        around = drawn.sums(around)
        factor *= drawn.reach / float(stats.norm.ppf(0.975))
    covariance = around.T @ around / n_rows
    moved = _moved(around, n_resamples) / np.float32(n_rows)
    variance = np.diag(covariance)
    floor = 1e-12 * max(float(np.abs(losses).max()), np.finfo(np.float64).tiny)  # two models that predict the same
    found = np.empty(n_models)
    for model in range(n_models):
        spread = np.maximum(variance + variance[model] - 2 * covariance[model], 0)
        error = np.maximum(np.sqrt(spread / n_rows), floor)
        others = np.arange(n_models) != model
        largest = ((means[model] - means) / error)[others].max() / factor
        shifts = (moved[:, [model]] - moved) / error.astype(np.float32)
        found[model] = np.mean(shifts[:, others].max(axis=1) >= largest)
    return found


def _moved(around: np.ndarray, n_resamples: int) -> np.ndarray:
    """Sums of resampled units (n_units, n_models) with mean 0: (n_resamples, n_models). Of more than 10,000 they are
    normal, and drawing them would take seconds and gigabytes."""
    rng, number = np.random.default_rng(SEED), len(around)
    if number <= LARGE:
        counts = rng.multinomial(number, np.full(number, 1 / number), size=n_resamples)
        return np.asarray(counts @ around, dtype=np.float32)
    values, vectors = np.linalg.eigh(around.T @ around)
    spread = vectors * np.sqrt(np.maximum(values, 0))
    return np.asarray(rng.normal(size=(n_resamples, around.shape[1])) @ spread.T, dtype=np.float32)


def contenders(losses: np.ndarray, factor: float, **design: Any) -> np.ndarray:
    """Which models cannot be told from the best, as booleans of shape (n_models,); the best itself is one. `design`:
    what `p_values` takes of the rows."""
    kept = p_values(losses, factor, **design) > LEVEL
    kept[np.average(losses, axis=0, weights=design.get("weights")).argmin()] = True
    return kept
