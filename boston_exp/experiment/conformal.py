"""Prediction intervals of stated coverage, from residuals of rows that the model was not fitted on (crepes).

The residuals are those over folds: each of a model that was fitted on fewer rows than the one that predicts, so the
intervals are a little wide rather than narrow. Mondrian: a quantile for each group of rows. docs/proofs/intervals.md

That takes rows that are exchangeable with new ones. Where the folds kept clusters together, new rows are of new ones,
and it is clusters that are exchangeable: each counts once, its residuals sharing its weight, and one more stands for
the new cluster, which may be anything (hierarchical conformal prediction: Lee, Barber and Willett 2023, after Dunn,
Wasserman and Ramdas 2022). A row of a new cluster is covered as often as stated, on average over clusters; a confidence
of 90 % takes nine of them. In time nothing is exchangeable: the residuals of folds forward are honest ones of the past,
and `caveat` says that the future may differ. Weights are left out: what a new row weighs is not known, so coverage is
of rows as they are in the table. Of repeated folds one prediction for each row is kept: n is that of rows, and the mean
of several predictions would err less than the one model does that predicts.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from boston_exp.experiment.grouping import COLUMN
from boston_exp.experiment.units import CLUSTER, TIME, WEIGHT

if TYPE_CHECKING:
    from crepes import ConformalRegressor

PREDICTION, SPREAD, PLAIN = "prediction", "spread", "none"  # what widths depend on, besides columns
THIRDS = (1 / 3, 2 / 3)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Rows with known residuals. `groups` are labels (n,) of Mondrian groups, `scale` (n,) what residuals are divided
    by; `edges` are those of the thirds, where predictions decide; `clusters` are labels (n,) of rows that came
    together, where new rows come in new ones."""

    residuals: np.ndarray
    groups: np.ndarray | None = None
    scale: np.ndarray | None = None
    edges: np.ndarray | None = None
    clusters: np.ndarray | None = None

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
            if self.clusters is not None:
                return self._of_clusters(predicted, confidence, groups, scale)
            found: np.ndarray = self._plain.predict_int(predicted, sigmas=scale, confidence=confidence)
            if self.groups is not None and groups is not None:
                usable = np.isin(groups, self._usable(confidence))
                if usable.any():
                    of_scale = None if scale is None else scale[usable]
                    found[usable] = self._by_group.predict_int(
                        predicted[usable], sigmas=of_scale, bins=groups[usable], confidence=confidence
                    )
        return found

    def _of_clusters(
        self, predicted: np.ndarray, confidence: float, groups: np.ndarray | None, scale: np.ndarray | None
    ) -> np.ndarray:
        half = np.full(len(predicted), self._half(confidence))
        if self.groups is not None and groups is not None:
            for label in self._usable(confidence):
                half[groups == label] = self._half(confidence, label)
        half = half if scale is None else half * scale
        return np.column_stack([predicted - half, predicted + half])

    def _half(self, confidence: float, label: object = None) -> float:
        """Half the width where each of K clusters weighs 1 / (K + 1), of one group or of all rows."""
        assert self.clusters is not None
        key = (confidence, label)
        if key not in self._halves:
            sizes = np.abs(self.residuals if self.scale is None else self.residuals / self.scale)
            inside = np.ones(len(sizes), dtype=bool) if label is None else self.groups == label
            _, cluster, counts = np.unique(self.clusters[inside], return_inverse=True, return_counts=True)
            order = np.argsort(sizes[inside], kind="stable")
            reached = np.cumsum(1 / counts[cluster][order]) / (len(counts) + 1)
            place = int(np.searchsorted(reached, confidence - 1e-9))
            self._halves[key] = float(sizes[inside][order][place]) if place < len(order) else np.inf
        return self._halves[key]

    @cached_property
    def _halves(self) -> dict[tuple[float, object], float]:
        return {}

    @cached_property
    def _labels(self) -> tuple[np.ndarray, np.ndarray]:
        """The groups in order, and the rows of each, or the clusters; found once, not for every chunk of a table."""
        groups = np.zeros(len(self.residuals)) if self.groups is None else self.groups
        if self.clusters is None:
            return np.unique(groups, return_counts=True)
        distinct = pd.DataFrame({"group": groups, "cluster": self.clusters}).drop_duplicates()
        return np.unique(distinct["group"].to_numpy(groups.dtype), return_counts=True)

    @property
    def sizes(self) -> dict[int, int]:
        """Rows, or clusters, of each group, by its number; one group where there are none."""
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
    table = once(out_of_fold)
    clusters = table[CLUSTER].astype(str).to_numpy(dtype=str) if CLUSTER in table.columns else None
    return replace(_calibrated(table, by), clusters=clusters)


def _calibrated(table: pd.DataFrame, by: str) -> Calibration:
    predicted = table["predicted"].to_numpy(float)
    residuals = table["actual"].to_numpy(float) - predicted
    if by == PREDICTION:
        return by_prediction(residuals, predicted)
    if by == SPREAD:
        return by_spread(residuals, table[SPREAD].to_numpy(float))
    return Calibration(residuals) if by == PLAIN else by_group(residuals, table[f"{COLUMN}{by}"])


def once(out_of_fold: pd.DataFrame) -> pd.DataFrame:
    """Each row with one prediction: of repeated folds the first that the table has."""
    if "row" not in out_of_fold.columns or not out_of_fold["row"].duplicated().any():
        return out_of_fold
    return out_of_fold.drop_duplicates("row", ignore_index=True)


def refusal(out_of_fold: pd.DataFrame, confidence: float) -> str:
    """Why there are no intervals, as part of a sentence; empty where there are."""
    if CLUSTER not in out_of_fold.columns:
        return ""
    needed, known = int(np.ceil(confidence / (1 - confidence) - 1e-9)), out_of_fold[CLUSTER].nunique(dropna=False)
    if known >= needed:
        return ""
    return f"for rows of new groups, {confidence:.0%} takes the residuals of {needed} groups, and there are {known}"


def caveat(out_of_fold: pd.DataFrame) -> str:
    """What coverage is of, as part of a sentence, where it is not simply of new rows like these; else empty."""
    said = []
    if CLUSTER in out_of_fold.columns:
        said.append("of rows of new groups, each group counting once")
    if WEIGHT in out_of_fold.columns:
        said.append("of rows as they are in the table, whatever they weigh")
    if TIME in out_of_fold.columns:
        said.append("as long as errors stay what they were: it is not promised for later times")
    return f"coverage is {', and '.join(said)}" if said else ""
