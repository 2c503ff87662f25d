"""What a model promises of new rows, from rows that it has not seen: error and coverage, and how far chance may go.

A table of new rows breaks the promise when its squared errors are larger than those of the held-out rows beyond chance
(Welch's test, one-sided), or when fewer of its rows lie in their intervals than a calibration of that size allows
(beta-binomial: Vovk 2012, "Conditional validity of inductive conformal predictors").
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from boston_exp.experiment.conformal import PREDICTION, calibrated

CONFIDENCE = 0.9
ALARM = 0.01  # how often chance alone breaks a promise, each


@dataclass(frozen=True)
class Promise:
    """Of the held-out rows: how many, mean and standard deviation of their squared errors, and how many of them lie in
    their interval of `confidence`, calibrated on `calibration` rows (0: there are no intervals)."""

    rows: int
    squared_error: float
    squared_error_std: float
    confidence: float = CONFIDENCE
    covered: int = 0
    calibration: int = 0

    @property
    def rmse(self) -> float:
        return float(np.sqrt(self.squared_error))

    @property
    def coverage(self) -> tuple[float, float, float]:
        """Share of the held-out rows that are covered, with its exact 95 % interval (Clopper and Pearson)."""
        found = stats.binomtest(self.covered, self.rows).proportion_ci(0.95, method="exact")
        return self.covered / self.rows, float(found.low), float(found.high)

    def largest_rmse(self, rows: int) -> float:
        """What so many new rows may have at most, if their errors scatter as those of the held-out rows do."""
        error = self.squared_error_std * np.sqrt(1 / self.rows + 1 / rows)
        free = max(1, min(self.rows, rows) - 1)
        return float(np.sqrt(self.squared_error + stats.t.ppf(1 - ALARM, free) * error))

    def fewest_covered(self, rows: int) -> int:
        """Of so many new rows, how many lie in their intervals at least."""
        inside = np.ceil(self.confidence * (self.calibration + 1))
        beyond = max(1.0, self.calibration + 1 - inside)
        return int(stats.betabinom.ppf(ALARM, rows, inside, beyond))

    def error_p(self, squares: np.ndarray) -> float:
        """How likely such squared errors, or larger ones, are by chance."""
        if len(squares) < 2 or self.rows < 2:
            return 1.0
        found = stats.ttest_ind_from_stats(
            float(squares.mean()), float(squares.std(ddof=1)), len(squares),
            self.squared_error, self.squared_error_std, self.rows,
            equal_var=False, alternative="greater",
        )  # fmt: skip
        return float(found.pvalue) if np.isfinite(found.pvalue) else float(squares.mean() <= self.squared_error)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def promise(held_out: pd.DataFrame, out_of_fold: pd.DataFrame | None) -> Promise:
    """From the tables that a run has recorded."""
    actual, predicted = held_out["actual"].to_numpy(float), held_out["predicted"].to_numpy(float)
    squares = (actual - predicted) ** 2
    found = Promise(len(squares), float(squares.mean()), _std(squares))
    if out_of_fold is None:
        return found
    ends = calibrated(out_of_fold, PREDICTION).interval(predicted, CONFIDENCE)
    covered = int(((ends[:, 0] <= actual) & (actual <= ends[:, 1])).sum())
    return replace(found, covered=covered, calibration=len(out_of_fold))


def _std(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0
