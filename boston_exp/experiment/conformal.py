"""Prediction intervals of stated coverage, from residuals of rows that the model was not fitted on (crepes).

The residuals are those over folds: each of a model that was fitted on fewer rows than the one that predicts, so the
intervals are a little wide rather than narrow. Mondrian: a quantile for each group of rows. docs/proofs/intervals.md
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from boston_exp.experiment.grouping import COLUMN

if TYPE_CHECKING:
    from crepes import ConformalRegressor

PREDICTION, SPREAD, PLAIN = "prediction", "spread", "none"  # what widths depend on, besides columns
THIRDS = (1 / 3, 2 / 3)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Rows with known residuals. `groups` are labels (n,) of Mondrian groups, `scale` (n,) what residuals are divided
    by; `edges` are those of the thirds, where predictions decide."""

    residuals: np.ndarray
    groups: np.ndarray | None = None
    scale: np.ndarray | None = None
    edges: np.ndarray | None = None

    @cached_property
    def _plain(self) -> ConformalRegressor:
        from crepes import ConformalRegressor

        return ConformalRegressor().fit(self.residuals, sigmas=self.scale)

    @cached_property
    def _by_group(self) -> ConformalRegressor:
        from crepes import ConformalRegressor

        return ConformalRegressor().fit(self.residuals, sigmas=self.scale, bins=self.groups)

    def interval(
        self,
        predicted: np.ndarray,
        confidence: float,
        groups: np.ndarray | None = None,
        scale: np.ndarray | None = None,
    ) -> np.ndarray:
        """Lower and upper ends (n, 2) for predictions (n,), each with the label of its group or its scale where the
        calibration has them. A group that was never seen, or has too few rows, gets the interval of all rows; with
        fewer rows than the confidence needs it is infinite."""
        with warnings.catch_warnings():  # crepes warns of what is handled here
            warnings.simplefilter("ignore")
            if self.edges is not None:
                groups = np.digitize(predicted, self.edges)
            found: np.ndarray = self._plain.predict_int(predicted, sigmas=scale, confidence=confidence)
            if self.groups is not None and groups is not None:
                usable = np.isin(groups, self._usable(confidence))
                if usable.any():
                    of_scale = None if scale is None else scale[usable]
                    found[usable] = self._by_group.predict_int(
                        predicted[usable], sigmas=of_scale, bins=groups[usable], confidence=confidence
                    )
        return found

    @cached_property
    def _labels(self) -> tuple[np.ndarray, np.ndarray]:
        """The groups in order, and the rows of each; found once, not for every chunk of a table."""
        return np.unique(np.zeros(len(self.residuals)) if self.groups is None else self.groups, return_counts=True)

    @property
    def sizes(self) -> dict[int, int]:
        """Rows of each group, by its number; one group where there are none."""
        return dict(enumerate(self._labels[1].tolist()))

    def numbers(self, predicted: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
        """Of the group whose quantile an interval has, (n,); -1 where it is that of all rows."""
        if self.edges is not None:
            groups = np.digitize(predicted, self.edges)
        if self.groups is None or groups is None:
            return np.zeros(len(predicted), dtype=np.int64)
        labels, _ = self._labels
        places = np.minimum(np.searchsorted(labels, groups), len(labels) - 1)
        return np.where(labels[places] == groups, places, -1)

    def _usable(self, confidence: float) -> np.ndarray:
        """The groups that have as many rows as a quantile of this confidence takes."""
        labels, counts = self._labels
        return labels[(1 - confidence) * (counts + 1) >= 1]


def by_prediction(residuals: np.ndarray, predicted: np.ndarray) -> Calibration:
    """By thirds of the prediction: errors often grow with what is predicted."""
    edges = np.quantile(predicted, THIRDS)
    return Calibration(residuals, groups=np.digitize(predicted, edges), edges=edges)


def by_group(residuals: np.ndarray, groups: pd.Series) -> Calibration:
    """By the groups of a column."""
    return Calibration(residuals, groups=groups.astype(str).to_numpy(dtype=str))


def by_spread(residuals: np.ndarray, spread: np.ndarray) -> Calibration:
    """As wide as the model disagrees with itself; where that is nearly nothing, a tenth of what it usually is."""
    return Calibration(residuals, scale=floored(spread, spread))


def floored(spread: np.ndarray, of: np.ndarray) -> np.ndarray:
    """A spread that can be divided by: at least a tenth of the median of what the calibration rows have."""
    return np.maximum(spread, max(float(np.median(of)) / 10, np.finfo(float).tiny))


def choices(out_of_fold: pd.DataFrame) -> list[str]:
    """What widths can depend on, given a table of out-of-fold predictions: `prediction`, `none`, `spread` where the
    model has one, and each column that it has groups of."""
    columns = [name.removeprefix(COLUMN) for name in out_of_fold.columns if name.startswith(COLUMN)]
    return [PREDICTION, PLAIN, *([SPREAD] if SPREAD in out_of_fold.columns else []), *columns]


def calibrated(out_of_fold: pd.DataFrame, by: str) -> Calibration:
    """From a table (row, fold, actual, predicted, …), its widths by one of its `choices`."""
    predicted = out_of_fold["predicted"].to_numpy(float)
    residuals = out_of_fold["actual"].to_numpy(float) - predicted
    if by == PREDICTION:
        return by_prediction(residuals, predicted)
    if by == SPREAD:
        return by_spread(residuals, out_of_fold[SPREAD].to_numpy(float))
    return Calibration(residuals) if by == PLAIN else by_group(residuals, out_of_fold[f"{COLUMN}{by}"])
