"""How true predictions were where the target is known: error and coverage, over all rows and by groups, against what
the model's card allows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from boston_exp.experiment.grouping import Grouping
from boston_exp.experiment.metrics import scores
from boston_exp.experiment.slices import UNSEEN, by_group
from boston_exp.lifecycle.promise import ALARM, Promise
from boston_exp.reporting import numbers


@dataclass
class Collected:
    """Of the rows whose target is known: some thirty bytes each."""

    groupings: Mapping[str, Grouping] = field(default_factory=dict)
    actual: list[np.ndarray] = field(default_factory=list)
    predicted: list[np.ndarray] = field(default_factory=list)
    covered: list[np.ndarray] = field(default_factory=list)
    calibrated: Counter[int] = field(default_factory=Counter)  # rows by the group whose quantile their interval has
    labels: dict[str, list[np.ndarray]] = field(default_factory=dict)
    without_target: int = 0

    def add(
        self,
        target: pd.Series,
        predicted: np.ndarray,
        ends: np.ndarray | None,
        numbers: np.ndarray | None,
        chunk: pd.DataFrame,
    ) -> None:
        """A chunk: its targets, predictions, intervals with the group of each, and its columns."""
        actual = pd.to_numeric(target, errors="coerce").to_numpy(dtype=np.float64)
        known = np.isfinite(actual)
        self.without_target += int((~known).sum())
        self.actual.append(actual[known])
        self.predicted.append(predicted[known])
        if ends is not None and numbers is not None:
            self.covered.append(((ends[:, 0] <= actual) & (actual <= ends[:, 1]))[known])
            self.calibrated.update(numbers[known].tolist())
        for name, grouping in self.groupings.items():
            if name in chunk.columns:
                names = np.array([*grouping.names, UNSEEN], dtype=object)
                places = pd.Index(grouping.names).get_indexer(grouping.labels(chunk[name])[known])
                self.labels.setdefault(name, []).append(names[places])  # references to a few names


@dataclass(frozen=True)
class Scored:
    """Metrics as a run has them, `coverage` beside them; errors by groups; what is outside of what the card allows."""

    rows: int
    metrics: dict[str, float]
    groups: pd.DataFrame
    broken: tuple[str, ...]
    kept: tuple[str, ...]


def scored(
    found: Collected, promise: Promise | None, confidence: float | None, sizes: Mapping[int, int], unit: str
) -> Scored | None:
    """None where no row has a target; `sizes` are those of the groups of the calibration."""
    actual, predicted = np.concatenate(found.actual), np.concatenate(found.predicted)
    if not len(actual):
        return None
    covered = np.concatenate(found.covered) if found.covered else None
    metrics = scores(actual, predicted)
    if covered is not None:
        metrics["coverage"] = float(covered.mean())
    groups = []
    for name, grouping in found.groupings.items():
        if name in found.labels:
            labels = np.concatenate(found.labels[name])
            for row in by_group(name, grouping, labels, actual, predicted):
                inside = labels == row["group"]
                share = {"coverage": float(covered[inside].mean())} if covered is not None else {}
                groups.append(row | share)
    broken: list[str] = []
    kept: list[str] = []
    if promise is not None:
        for holds, says in _judged(promise, actual - predicted, covered, confidence, found.calibrated, sizes, unit):
            (kept if holds else broken).append(says)
    return Scored(len(actual), metrics, pd.DataFrame(groups), tuple(broken), tuple(kept))


def _judged(
    promise: Promise,
    errors: np.ndarray,
    covered: np.ndarray | None,
    confidence: float | None,
    rows: Mapping[int, int],
    sizes: Mapping[int, int],
    unit: str,
) -> Iterator[tuple[bool, str]]:
    squares = errors**2
    rmse = float(np.sqrt(squares.mean()))
    told = numbers.with_unit(f"{numbers.score(rmse)} (the card: {numbers.score(promise.rmse)})", unit)
    if promise.dependent:
        yield True, f"RMSE {told}: not judged, since {promise.dependent}"
        return
    p = promise.error_p(squares)
    holds = p >= ALARM
    yield holds, f"RMSE {told}: {'as the card allows' if holds else f'larger than the card allows (p {p:.2g})'}"
    if covered is not None and sizes and confidence == promise.confidence:
        known = {-1: sum(sizes.values()), **sizes}
        fewest, number = promise.fewest_covered(rows, known), int(covered.sum())
        says = (
            f"{number:,} of {len(covered):,} rows ({number / len(covered):.1%}) lie in their {confidence:.0%} interval"
        )
        holds = number >= fewest
        yield holds, f"{says}: {'as the card allows' if holds else f'fewer than the card allows ({fewest})'}"


def as_rows(found: Scored) -> list[dict[str, Any]]:
    """The groups, for machines."""
    return [{str(key): value for key, value in row.items()} for row in found.groups.to_dict("records")]
