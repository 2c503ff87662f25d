"""Two models on the same rows: how much better is one, and how sure is that.

On held-out rows each row gives one difference, so the paired t interval holds for the two fitted models. Over folds the
training rows overlap, which the corrected resampled t-test takes into account (Nadeau and Bengio 2003); its posterior
gives the probability that the difference is too small to matter (Benavoli, Corani, Demšar and Zaffalon 2017).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
LEVEL = 0.05
DETECTED = 2.8  # standard errors: a difference of so many is found by a test at 5 % in 80 % of cases


@dataclass(frozen=True)
class Difference:
    """Of the losses of A and B, A - B: below zero A is better. In the unit of the metric."""

    mean: float
    low: float  # 95 % interval
    high: float
    p: float  # two-sided, of no difference
    error: float  # standard error
    n: int  # rows or folds

    @property
    def missed(self) -> float:
        """A true difference below this would probably be missed (in more than one case of five)."""
        return DETECTED * self.error


def over_rows(a: np.ndarray, b: np.ndarray) -> Difference:
    """Paired t interval of the mean difference of losses by row, each of shape (n_rows,)."""
    return _student(a - b, 1 / len(a))


def over_folds(a: np.ndarray, b: np.ndarray) -> Difference:
    """The corrected resampled t-test of the losses of k folds, each of shape (k,): n_test / n_train = 1 / (k - 1) is
    added to the variance."""
    return _student(a - b, 1 / len(a) + 1 / (len(a) - 1))


def probabilities(a: np.ndarray, b: np.ndarray, rope: float) -> tuple[float, float, float]:
    """That A is better by more than `rope`, that they differ by less, that B is: the posterior of the mean difference
    over folds, a t distribution."""
    found = over_folds(a, b)
    if found.error == 0:
        return float(found.mean < -rope), float(abs(found.mean) <= rope), float(found.mean > rope)
    better, not_worse = stats.t.cdf([-rope, rope], found.n - 1, found.mean, found.error)
    return float(better), float(not_worse - better), float(1 - not_worse)


def holm(p_values: list[float]) -> list[float]:
    """Adjusted for how many there are (Holm 1979): each may be compared with the level as if it were the only one."""
    order = np.argsort(p_values)
    adjusted, largest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(order):
        largest = max(largest, (len(p_values) - place) * p_values[index])
        adjusted[index] = min(1.0, largest)
    return adjusted


def _student(differences: np.ndarray, share: float) -> Difference:
    """t interval of a mean whose variance is `share` times that of the differences."""
    n = len(differences)
    mean, error = float(differences.mean()), float(np.sqrt(share * differences.var(ddof=1)))
    if error == 0:
        return Difference(mean, mean, mean, float(mean == 0), 0.0, n)
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * error
    p = 2 * float(stats.t.sf(abs(mean) / error, n - 1))
    return Difference(mean, mean - reach, mean + reach, p, error, n)
