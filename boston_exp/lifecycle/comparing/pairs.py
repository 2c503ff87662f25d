"""Is one run better than another, and how sure is that: the held-out rows decide, since models are chosen by folds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from boston_exp.config.invocation import for_services, quoted
from boston_exp.errors import Fault, InvalidConfig
from boston_exp.experiment.metrics import Metric
from boston_exp.lifecycle import evidence
from boston_exp.lifecycle.comparing import paired
from boston_exp.lifecycle.comparing.paired import LEVEL, Difference
from boston_exp.lifecycle.evidence import HELD_OUT, OUT_OF_FOLD, fold_scores, held_out_losses, rows_of
from boston_exp.tracking.recorded import History, RecordedRun

SPLIT = ("data.split_seed", "data.test_size", "data.group", "data.time", "data.weight")  # decide rows and weights
ROPE = 0.01  # of the score: a difference that does not matter


@dataclass(frozen=True)
class OverFolds:
    """What folds say of A and B: shown, and never the verdict, since runs are chosen by them."""

    difference: Difference
    a_better: float  # probability, by more than the rope
    same: float
    b_better: float


@dataclass(frozen=True)
class Pair:
    """Two runs, A and B, in losses: less is better, whatever the metric."""

    a: RecordedRun
    b: RecordedRun
    rows: Difference
    p: float  # of the rows, by Holm for all pairs
    folds: OverFolds | None  # where both have them on the same split
    rope: float

    @property
    def better(self) -> RecordedRun | None:
        """The one that is shown to be better, if one is: by the held-out rows, and not against the folds."""
        against = self.folds is not None and self.folds.difference.mean * self.rows.mean <= 0
        if self.p >= LEVEL or against:
            return None
        return self.a if self.rows.mean < 0 else self.b


@dataclass(frozen=True)
class Comparison:
    """Runs on the same held-out rows, each with its predictions, and every pair of them."""

    metric: Metric
    unit: str
    runs: tuple[RecordedRun, ...]
    held_out: tuple[pd.DataFrame, ...]
    out_of_fold: tuple[pd.DataFrame | None, ...]
    pairs: tuple[Pair, ...]

    @property
    def chosen(self) -> list[RecordedRun]:
        """Points of sweeps, which were chosen by these folds: what folds say of them is optimistic."""
        return [run for run in self.runs if "sweep.point" in run.tags]


def compare(history: History, runs: list[RecordedRun], metric: Metric, rope: float | None) -> Comparison:
    """Compare every pair; `rope` is in the unit of the metric, None for 1 % of the first run's score.

    Raises InvalidConfig for runs that cannot be compared, and says why.
    """
    _refuse_unreadable(runs, metric)
    held_out = _held_out(history, runs)
    found = evidence.tables(history, (run.run_id for run in runs), OUT_OF_FOLD)
    out_of_fold = tuple(found[run.run_id] for run in runs)
    tables = dict(zip((run.run_id for run in runs), held_out, strict=True))
    pairs = list(combinations(runs, 2))
    by_rows = [
        paired.over_rows(
            held_out_losses(tables[a.run_id], metric),
            held_out_losses(tables[b.run_id], metric),
            **evidence.design(tables[a.run_id]),
        )
        for a, b in pairs
    ]
    adjusted = paired.holm([each.p for each in by_rows])
    width = rope if rope is not None else ROPE * abs(evidence.score(held_out[0], metric))
    overlaps = evidence.overlaps(history, (run_id for run_id, table in found.items() if table is not None))
    compared = []
    for (a, b), rows, p in zip(pairs, by_rows, adjusted, strict=True):
        compared.append(Pair(a, b, rows, p, _over_folds(a, b, found, overlaps, metric, width), width))
    unit = metric.unit_of(runs[0].param("data.target_unit"))
    return Comparison(metric, unit, tuple(runs), held_out, out_of_fold, tuple(compared))


def _over_folds(
    a: RecordedRun,
    b: RecordedRun,
    found: dict[str, pd.DataFrame | None],
    overlaps: dict[str, float | None],
    metric: Metric,
    rope: float,
) -> OverFolds | None:
    one, other = found[a.run_id], found[b.run_id]
    if one is None or other is None or a.tags["split.digest"] != b.tags["split.digest"]:
        return None
    if not rows_of(one).equals(rows_of(other)):  # the same split, other weights
        return None
    overlap = overlaps[a.run_id]
    sign = -1 if metric.direction == "maximize" else 1
    scores: tuple[np.ndarray, np.ndarray] = sign * fold_scores(one, metric), sign * fold_scores(other, metric)
    return OverFolds(paired.over_folds(*scores, overlap), *paired.probabilities(*scores, rope, overlap))


def _refuse_unreadable(runs: list[RecordedRun], metric: Metric) -> None:
    """Raise InvalidConfig for runs that are not finished, have no record of their split, or differ in what was
    predicted."""
    faults = []
    for run in runs:
        again = for_services("run", f"base={run.run_id}")
        if run.is_sweep:
            best = run.tags.get("best.run_id", "<id of a point>")
            faults.append(Fault(f"{run.run_id} is a sweep's run, not a model's: its best point is {best}.", _of(best)))
        elif run.status != "FINISHED":
            faults.append(Fault(f"{run.run_id} ({run.name}) is {run.status}: it has no scores to compare.", again))
        elif "split.digest" not in run.tags:
            says = f"{run.run_id} ({run.name}) is a record of version 1: which rows it was scored on is not in it."
            faults.append(Fault(says, f"{again}   (trains it again)"))
        elif metric.name not in run.metrics:
            says = f"{run.run_id} ({run.name}) has no {metric.name}."
            faults.append(Fault(says, f"{again}   (trains it again; or compare by another metric=)"))
    if faults:
        raise InvalidConfig(*faults)
    told = {
        "data version": [run.tags.get("data.md5", "") for run in runs],
        "target": [run.params.get("data.target", "") for run in runs],
        "unit": [run.params.get("data.target_unit", "") for run in runs],
    }
    for name, found in told.items():
        values = set(found)
        if len(values) > 1:
            says = f"These runs cannot be compared: they differ in {name} ({', '.join(sorted(values))})."
            raise InvalidConfig(Fault(says, for_services("leaderboard") + "   (has a table for each)"))


def _held_out(history: History, runs: list[RecordedRun]) -> tuple[pd.DataFrame, ...]:
    found = evidence.tables(history, (run.run_id for run in runs), HELD_OUT)
    tables: list[pd.DataFrame] = []
    for run in runs:
        table = found[run.run_id]
        if table is None:
            says = f"{run.run_id} ({run.name}) has no {HELD_OUT} that can be read."
            raise InvalidConfig(Fault(says, for_services("run", f"base={run.run_id}") + "   (trains it again)"))
        tables.append(table)
    for run, table in zip(runs, tables, strict=True):
        if not rows_of(tables[0]).equals(rows_of(table)):
            first = runs[0].params
            told = {name: "null" if first[name] == "None" else quoted(first[name]) for name in SPLIT if name in first}
            split = [f"{name}={value}" for name, value in told.items() if first[name] != run.params.get(name)]
            same = tables[0][["row", "actual"]].equals(table[["row", "actual"]])
            what = "with different weights, groups or times" if same else "on different rows"
            differ = ", ".join(each.partition("=")[0] for each in split)
            told_apart = f" (they differ in {differ})" if differ else ""
            says = f"These runs cannot be compared: {runs[0].run_id} and {run.run_id} were scored {what}{told_apart}."
            raise InvalidConfig(Fault(says, for_services("run", f"base={run.run_id}", *split)))
    return tuple(tables)


def _of(run_id: str) -> str:
    return for_services("compare", f"runs=[{run_id},<another>]")
