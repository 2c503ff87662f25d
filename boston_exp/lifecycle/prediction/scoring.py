"""How true predictions were where the target is known: error and coverage, over all rows and by groups, against what
the model's card allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from boston_exp.experiment.grouping import Grouping
from boston_exp.experiment.metrics import scores
from boston_exp.experiment.slices import by_group
from boston_exp.lifecycle.promise import ALARM, Promise
from boston_exp.reporting import numbers


@dataclass
class Collected:
    """Of the rows whose target is known: some twenty bytes each."""

    actual: list[np.ndarray] = field(default_factory=list)
    predicted: list[np.ndarray] = field(default_factory=list)
    covered: list[np.ndarray] = field(default_factory=list)
    labels: dict[str, list[np.ndarray]] = field(default_factory=dict)
    groupings: Mapping[str, Grouping] = field(default_factory=dict)
    without_target: int = 0

    def add(self, target: pd.Series, predicted: np.ndarray, ends: np.ndarray | None, chunk: pd.DataFrame) -> None:
        actual = pd.to_numeric(target, errors="coerce").to_numpy(dtype=np.float64)
        known = np.isfinite(actual)
        self.without_target += int((~known).sum())
        self.actual.append(actual[known])
        self.predicted.append(predicted[known])
        if ends is not None:
            self.covered.append(((ends[:, 0] <= actual) & (actual <= ends[:, 1]))[known])
        for name, grouping in self.groupings.items():
            if name in chunk.columns:
                self.labels.setdefault(name, []).append(grouping.labels(chunk[name])[known].astype("U40"))


@dataclass(frozen=True)
class Scored:
    """Metrics as a run has them, `coverage` beside them; errors by groups; what is outside of what the card allows."""

    rows: int
    metrics: dict[str, float]
    groups: pd.DataFrame
    broken: tuple[str, ...]
    kept: tuple[str, ...]


def scored(found: Collected, promise: Promise | None, confidence: float | None, unit: str) -> Scored | None:
    """None where no row has a target."""
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
                inside = labels == str(row["group"])[:40]
                share = {"coverage": float(covered[inside].mean())} if covered is not None else {}
                groups.append(row | share)
    broken: list[str] = []
    kept: list[str] = []
    if promise is not None:
        for holds, says in _judged(promise, actual - predicted, covered, confidence, unit):
            (kept if holds else broken).append(says)
    return Scored(len(actual), metrics, pd.DataFrame(groups), tuple(broken), tuple(kept))


def _judged(
    promise: Promise, errors: np.ndarray, covered: np.ndarray | None, confidence: float | None, unit: str
) -> list[tuple[bool, str]]:
    squares = errors**2
    rmse = float(np.sqrt(squares.mean()))
    told = numbers.with_unit(f"{numbers.score(rmse)} (the card: {numbers.score(promise.rmse)})", unit)
    holds = promise.error_p(squares) >= ALARM
    beyond = "as the card allows" if holds else f"larger than the card allows (p {promise.error_p(squares):.2g})"
    found = [(holds, f"RMSE {told}: {beyond}")]
    if covered is not None and promise.calibration and confidence == promise.confidence:
        fewest, number = promise.fewest_covered(len(covered)), int(covered.sum())
        holds = number >= fewest
        says = f"{number} of {len(covered)} rows ({number / len(covered):.1%}) lie in their {confidence:.0%} interval"
        beyond = "as the card allows" if holds else f"fewer than the card allows ({fewest})"
        found.append((holds, f"{says}: {beyond}"))
    return found


def as_rows(found: Scored) -> list[dict[str, Any]]:
    """The groups, for machines."""
    return [{str(key): value for key, value in row.items()} for row in found.groups.to_dict("records")]
