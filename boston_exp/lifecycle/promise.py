"""What a model promises of new rows, from rows that it has not seen: error and coverage, and how far chance may go.

A table of new rows breaks the promise when its squared errors are larger than those of the held-out rows beyond chance
(a permutation test of their means, exact whatever their distribution), or when fewer of its rows lie in their intervals
than a calibration of that size allows (beta-binomial for each group of rows: Vovk 2012, "Conditional validity of
inductive conformal predictors"). Both take rows that are drawn one by one: where rows of a group err alike, or those of
new times are not like those of old ones, a few bad groups or a new season would look like a broken promise. A table of
new rows does not say which are of one group, so such a promise is told, and not judged. Errors are those of rows,
whatever they weigh, in the promise and in the new table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from boston_exp.experiment.conformal import PREDICTION, calibrated, refusal
from boston_exp.experiment.units import CLUSTER, TIME

CONFIDENCE = 0.9
ALARM = 0.01  # how often chance alone breaks a promise, each
DRAWS = 9_999
MOST = 2_000  # errors that a promise keeps; of more held-out rows as many quantiles


@dataclass(frozen=True)
class Promise:
    """`errors` are absolute errors of the held-out rows, sorted; `covered` of `rows` lie in their interval of
    `confidence`, calibrated on so many rows of each third of the predictions (none: there are no intervals).
    `dependent` says why new rows are not judged by it, as part of a sentence; empty where they are."""

    errors: tuple[float, ...]
    rows: int
    confidence: float = CONFIDENCE
    covered: int = 0
    calibration: tuple[int, ...] = ()
    dependent: str = ""

    @staticmethod
    def recorded(node: Mapping[str, Any]) -> Promise:
        """From JSON. Raises KeyError, TypeError or ValueError for what is none."""
        errors = tuple(float(each) for each in node["errors"])
        if not errors or not np.isfinite(errors).all():
            raise ValueError("no errors")
        calibration = tuple(int(each) for each in node["calibration"])
        confidence, dependent = float(node["confidence"]), str(node.get("dependent", ""))
        return Promise(errors, int(node["rows"]), confidence, int(node["covered"]), calibration, dependent)

    @property
    def rmse(self) -> float:
        return float(np.sqrt(np.mean(np.square(self.errors))))

    @property
    def coverage(self) -> tuple[float, float, float]:
        """Share of the held-out rows that are covered, with its exact 95 % interval (Clopper and Pearson)."""
        found = stats.binomtest(self.covered, self.rows).proportion_ci(0.95, method="exact")
        return self.covered / self.rows, float(found.low), float(found.high)

    def largest_rmse(self, rows: int) -> float:
        """What so many new rows rarely exceed: 99 of 100 tables that are drawn from these errors, which are drawn anew
        themselves, since they are a sample, too."""
        rng, squares = np.random.default_rng(0), np.square(self.errors)
        world = rng.choice(squares, (2_000, len(squares)))
        means = [rng.choice(each, rows).mean() for each in world]
        return float(np.sqrt(np.quantile(means, 1 - ALARM)))

    def fewest_covered(self, rows: Mapping[int, int], calibration: Mapping[int, int]) -> int:
        """How many new rows lie in their intervals at least: `rows` of each group, and with how many its quantile was
        found."""
        rng, drawn = np.random.default_rng(0), np.zeros(DRAWS, dtype=np.int64)
        for group, number in rows.items():
            known = calibration[group]
            beyond = max(1, int((1 - self.confidence) * (known + 1) + 1e-9))
            drawn += stats.betabinom.rvs(number, known + 1 - beyond, beyond, size=DRAWS, random_state=rng)
        return int(np.quantile(drawn, ALARM, method="lower"))

    def error_p(self, squares: np.ndarray) -> float:
        """How likely squared errors with such a mean, or a larger one, are by chance, if they are of the same kind."""
        own, rng = np.square(self.errors), np.random.default_rng(0)
        pooled = np.concatenate([own, squares])
        few, sign = (len(own), -1) if len(own) <= len(squares) else (len(squares), 1)
        observed = float((own if sign < 0 else squares).sum())
        sums = np.array([_sum_of(pooled, few, rng) for _ in range(DRAWS)])
        as_large = int((sign * sums >= sign * observed - 1e-12 * abs(observed)).sum())
        return (1 + as_large) / (1 + DRAWS)

    def as_json(self) -> dict[str, Any]:
        return {
            "errors": list(self.errors),
            "rows": self.rows,
            "confidence": self.confidence,
            "covered": self.covered,
            "calibration": list(self.calibration),
            **({"dependent": self.dependent} if self.dependent else {}),
        }


def promise(held_out: pd.DataFrame, out_of_fold: pd.DataFrame | None) -> Promise:
    """From the tables that a run has recorded."""
    actual, predicted = held_out["actual"].to_numpy(float), held_out["predicted"].to_numpy(float)
    errors = np.sort(np.abs(actual - predicted))
    if len(errors) > MOST:
        errors = np.quantile(errors, (np.arange(MOST) + 0.5) / MOST)
    kept, dependent = tuple(errors.tolist()), _dependent(held_out)
    if out_of_fold is None or refusal(out_of_fold, CONFIDENCE):
        return Promise(kept, len(actual), dependent=dependent)
    calibration = calibrated(out_of_fold, PREDICTION)
    ends = calibration.interval(predicted, CONFIDENCE)
    covered = int(((ends[:, 0] <= actual) & (actual <= ends[:, 1])).sum())
    return Promise(kept, len(actual), CONFIDENCE, covered, tuple(calibration.sizes.values()), dependent)


def _dependent(held_out: pd.DataFrame) -> str:
    if CLUSTER in held_out.columns:
        return "rows of a group err alike, and a table does not say which rows are of one"
    return "rows of another time need not be like those that were held out" if TIME in held_out.columns else ""


def _sum_of(values: np.ndarray, few: int, rng: np.random.Generator) -> float:
    """Of so many of the values, drawn without putting back."""
    return float(values[rng.choice(len(values), few, replace=False, shuffle=False)].sum())
