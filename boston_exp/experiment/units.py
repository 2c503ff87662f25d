"""Which rows are drawn as one, since what moves one of them moves the others: clusters, or blocks of time.

Blocks do not overlap (Carlstein 1986), so that both are the same thing: a number for each row. Their length is that of
Politis and White (2004, corrected by Patton, Politis and White 2009), from the autocorrelation of the losses, and half
as much again, since what is alike on both sides of an edge is lost: simulated tests at 5 % reject 7.5 % instead of 9.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

CLUSTER, TIME, WEIGHT = "cluster", "time", "weight"  # columns of recorded rows, by data.group, data.time, data.weight
CONFIDENCE = 0.95
COLUMNS = 10  # of losses whose autocorrelation is looked at


@dataclass(frozen=True, eq=False)
class Units:
    """`of_row` (n,) numbers the unit of each row from 0; none is empty."""

    of_row: np.ndarray
    number: int
    kind: str  # as a person reads it, in the plural

    @property
    def reach(self) -> float:
        """Standard errors of a 95 % interval, given that it is the units that were drawn: t instead of z, and the
        spread of a sample of few. 1.96 for many (Hesterberg 2015, "expanded percentile"), nan for one alone."""
        from scipy import stats

        if self.number < 2:
            return float("nan")
        t = float(stats.t.ppf((1 + CONFIDENCE) / 2, self.number - 1))
        return t * float(np.sqrt(self.number / (self.number - 1)))

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Of values (n,) or (n, m) over the rows of each unit: (number,) or (number, m)."""
        order = np.argsort(self.of_row, kind="stable")
        starts = np.searchsorted(self.of_row[order], np.arange(self.number))
        return np.asarray(np.add.reduceat(values[order], starts, axis=0))


def units(losses: np.ndarray, clusters: np.ndarray | None = None, order: np.ndarray | None = None) -> Units | None:
    """None where each row is drawn by itself.

    `losses` are (n,) or (n, models); `clusters` labels (n,), the rows without one being a cluster, too; `order` (n,)
    ranks the rows in time: those of one time stay together. With both, clusters are drawn whole, at all of their times:
    what clusters share at one time is not in it.
    """
    if clusters is not None:
        of_row, labels = pd.factorize(clusters, use_na_sentinel=False)
        return Units(of_row, len(labels), "groups")
    if order is None:
        return None
    times, time = np.unique(order, return_inverse=True)
    time = time.reshape(-1)
    at_a_time = Units(time, len(times), "times").sums(losses - losses.mean(axis=0))
    number = max(1, round(len(times) / block_length(at_a_time)))
    return Units(time * number // len(times), number, "blocks of time")


def block_length(series: np.ndarray) -> float:
    """Of a series (T,), or the longest that one of several (T, m) needs; from the cube root of T to 3 sqrt(T), and at
    most T / 3."""
    columns = series.reshape(len(series), -1)[:, :COLUMNS]
    longest = min(3 * np.sqrt(len(series)), len(series) / 3)
    wanted = 1.5 * max(_politis_white(column) for column in columns.T)
    return float(max(1.0, min(longest, max(wanted, len(series) ** (1 / 3)))))


def _politis_white(series: np.ndarray) -> float:
    """(2 g² / d)^(1/3) T^(1/3) of the circular bootstrap, by flat-top weights on the autocovariances."""
    n = len(series)
    around = series - series.mean()
    if n < 4 or not np.any(around):
        return 1.0
    padded = np.fft.rfft(around, 2 * n)
    covariances = np.fft.irfft(padded * padded.conj(), 2 * n)[:n] / n
    run = max(5, int(np.sqrt(np.log10(n))))
    most = min(int(np.ceil(np.sqrt(n))) + run, n - 1)
    small = np.abs(covariances[1 : most + 1]) < 2 * np.sqrt(np.log10(n) / n) * covariances[0]
    last = next((lag for lag in range(most - run + 1) if small[lag : lag + run].all()), None)
    if last is None:  # none is followed by so many small ones: the last that is not small
        last = int(np.flatnonzero(~small).max()) + 1 if not small.all() else 1
    last = min(2 * max(last, 1), most)
    lags = np.arange(1, last + 1)
    flat_top = np.minimum(1, 2 * (1 - lags / last)) * covariances[lags]
    g, spectrum = 2 * float((lags * flat_top).sum()), float(covariances[0] + 2 * flat_top.sum())
    d = 4 / 3 * spectrum**2
    return float((2 * g**2 / d) ** (1 / 3) * n ** (1 / 3)) if d > 0 else 1.0
