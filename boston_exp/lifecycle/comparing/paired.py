"""Two models on the same rows: how much better is one, and how sure is that.

On held-out rows each row gives one difference, so the paired t interval holds for the two fitted models. Rows of a
cluster, or of a block of time, err alike: then it is their sums that vary, and the standard error is cluster-robust,
with as many degrees of freedom as there are units less one (Liang and Zeger 1986; Cameron and Miller 2015). Over folds
the training rows overlap, which the corrected resampled t-test takes into account (Nadeau and Bengio 2003); its
posterior gives the probability that the difference is too small to matter (Benavoli, Corani, Demšar and Zaffalon 2017).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from boston_exp.experiment.units import units

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
    units: int | None = None  # clusters or blocks of time that rows vary in; None: each by itself
    kind: str = ""  # of units, in the plural

    @property
    def missed(self) -> float:
        """A true difference below this would probably be missed (in more than one case of five)."""
        return DETECTED * self.error

    @property
    def rows(self) -> str:
        """`102 held-out rows`, `102 held-out rows in 17 groups`."""
        return f"{self.n} held-out rows{f' in {self.units} {self.kind}' if self.units else ''}"


def over_rows(
    a: np.ndarray,
    b: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    clusters: np.ndarray | None = None,
    order: np.ndarray | None = None,
) -> Difference:
    """t interval of the (weighted) mean difference of losses by row, each of shape (n_rows,).

    With `clusters` or `order` in time (n_rows,), as experiment/units.py tells rows apart. One unit alone shows nothing:
    p is 1, and the interval is infinite.
    """
    difference = a - b
    if weights is None and clusters is None and order is None:
        return _student(difference, 1 / len(a))
    each = np.ones(len(a)) if weights is None else weights / weights.mean()
    mean = float((each * difference).mean())
    moved = each * (difference - mean)
    drawn = units(moved, clusters, order)
    number, kind = (drawn.number, drawn.kind) if drawn else (None, "")
    sums = drawn.sums(moved) if drawn else moved
    if len(sums) < 2:
        return Difference(mean, -math.inf, math.inf, 1.0, math.inf, len(a), number, kind)
    error = float(np.sqrt((sums**2).sum() * len(sums) / (len(sums) - 1))) / len(a)
    return replace(_interval(mean, error, len(sums) - 1, len(a)), units=number, kind=kind)


def over_folds(a: np.ndarray, b: np.ndarray, overlap: float | None = None) -> Difference:
    """The corrected resampled t-test of the losses of folds, each of shape (n_folds,): `overlap`, n_test / n_train, is
    added to the variance. None: 1 / (k - 1), as k folds have it; repeated folds have it too, each repetition its k
    (Bouckaert and Frank 2004)."""
    return _student(a - b, 1 / len(a) + (1 / (len(a) - 1) if overlap is None else overlap))


def probabilities(
    a: np.ndarray, b: np.ndarray, rope: float, overlap: float | None = None
) -> tuple[float, float, float]:
    """That A is better by more than `rope`, that they differ by less, that B is: the posterior of the mean difference
    over folds, a t distribution."""
    found = over_folds(a, b, overlap)
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
    error = float(np.sqrt(share * differences.var(ddof=1)))
    return _interval(float(differences.mean()), error, len(differences) - 1, len(differences))


def _interval(mean: float, error: float, freedom: int, n: int) -> Difference:
    if error == 0:
        return Difference(mean, mean, mean, float(mean == 0), 0.0, n)
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    p = 2 * float(stats.t.sf(abs(mean) / error, freedom))
    return Difference(mean, mean - reach, mean + reach, p, error, n)
