"""Which of many models cannot be told from the best: a max-t test over their losses on the same rows.

Model j is compared with all others at once: H0 says that none of them is better. It is rejected when the largest of its
t values, (loss of j - loss of k) / standard error, is beyond what resampled rows give, which corrects for how many
models are compared. This is Hansen's test for superior predictive ability (2005) with every other model as a rival and
the least favourable configuration, on rows instead of periods.

Out-of-fold losses are of models whose training rows overlap, so the spread over rows understates how much the
difference would change with other training rows. Nadeau and Bengio's (2003) correction is applied to it: the standard
error times sqrt(1 + k * n_test / n_train).
"""

from __future__ import annotations

import numpy as np

N_RESAMPLES = 1000
LEVEL = 0.05
SEED = 0  # of the resamples: the same runs give the same marks


def overlap_factor(n_folds: int) -> float:
    """sqrt(1 + k * n_test / n_train) of k folds: each is scored on 1/k of the rows, fitted on the others."""
    return float(np.sqrt(1 + n_folds / (n_folds - 1)))


def p_values(losses: np.ndarray, factor: float, n_resamples: int = N_RESAMPLES) -> np.ndarray:
    """For each model, the p value of "no other is better".

    `losses` has shape (n_rows, n_models), the rows being the same for all; less is better. `factor` multiplies every
    standard error. Returns shape (n_models,). Conditional on the fits: what another seed would give is not in it.
    """
    n_rows, n_models = losses.shape
    if n_models < 2:
        return np.ones(n_models)
    own = losses - losses.mean(axis=1, keepdims=True)  # what all models share would cost digits below
    means = own.mean(axis=0)
    counts = np.random.default_rng(SEED).multinomial(n_rows, np.full(n_rows, 1 / n_rows), size=n_resamples)
    moved = (counts @ own / n_rows - means).astype(np.float32)
    covariance = np.cov(own, rowvar=False, ddof=0)
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


def contenders(losses: np.ndarray, factor: float) -> np.ndarray:
    """Which models cannot be told from the best, as booleans of shape (n_models,); the best itself is one."""
    kept = p_values(losses, factor) > LEVEL
    kept[losses.mean(axis=0).argmin()] = True
    return kept
