"""Two trainings side by side, number by number: identical to the last bit, or how many differ and by how much."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from boston_exp.experiment.metrics import METRICS, over_folds
from boston_exp.lifecycle.evidence import FOLDS, HELD_OUT, OUT_OF_FOLD
from boston_exp.process import temporary_folder
from boston_exp.tracking.recorded import PRUNED, PRUNED_AFTER, PRUNED_TREES, History, RecordedRun

TABLES = (FOLDS, OUT_OF_FOLD, HELD_OUT)
METRIC = "metric"
DERIVED = "residual"  # actual - predicted, which both are there: close to 0 a last bit of these is a large share of it
TIMES = "_seconds"  # what ends so is no result


@dataclass(frozen=True)
class Match:
    """One metric, or one column of a table: how many of its values differ, and the largest difference, absolute and
    relative to the larger of the two. `missing` says which side does not have it; damaged: the record's cannot be read.
    """

    of: str  # metric, or the name of a table
    name: str
    values: int
    differing: int
    absolute: float = 0.0
    relative: float = 0.0
    missing: str = ""  # original, again, damaged

    def is_same(self, tolerance: float) -> bool:
        return not self.missing and (self.differing == 0 or 0 < tolerance >= self.relative)


def matches(before: tuple[History, RecordedRun], after: tuple[History, RecordedRun]) -> list[Match]:
    """Every metric and every column of the tables that the first has; of one that was pruned, the folds that it had."""
    (history, run), (new_history, new) = before, after
    if run.status != "FINISHED" and PRUNED in run.tags:
        if PRUNED_TREES in run.tags:  # the new one was trained with that number of trees
            grown = {f"{PRUNED}_{name}": value for name, value in new.metrics.items()}
            return [_metric(name, run.metrics, grown) for name in sorted(run.metrics) if name.startswith(f"{PRUNED}_")]
        return list(_of_pruned(run, _tables(new_history, new)[FOLDS]))
    found = [_metric(name, run.metrics, new.metrics) for name in sorted({*run.metrics, *new.metrics}) if _tells(name)]
    tables, again = _tables(history, run), _tables(new_history, new)
    for name in TABLES:
        found += _columns(name, tables[name], again[name])
    return found


def _tells(name: str) -> bool:
    return not name.endswith(TIMES)


def _metric(name: str, before: Mapping[str, float], after: Mapping[str, float]) -> Match:
    if name not in before or name not in after:
        return Match(METRIC, name, 1, 1, missing="again" if name in before else "original")
    return _numbers(METRIC, name, [before[name]], [after[name]])


def _of_pruned(run: RecordedRun, folds: pd.DataFrame | None) -> Iterator[Match]:
    """Means over the folds until it was pruned: the new training has gone through all."""
    count = int(run.tags[PRUNED_AFTER]) if run.tags.get(PRUNED_AFTER, "").isdigit() else 0
    names = [metric.name for metric in METRICS]
    table = folds[names].head(count) if folds is not None else pd.DataFrame()
    rows = [{name: float(row[name]) for name in names} for _, row in table.iterrows()]
    after = {f"{PRUNED}_{name}": value for name, value in over_folds(rows).items()} if rows else {}
    for name in sorted(run.metrics):
        if name.startswith(f"{PRUNED}_"):
            yield _metric(name, run.metrics, after)


def _tables(history: History, run: RecordedRun) -> dict[str, pd.DataFrame | None]:
    """As they stand in the files: pandas reads a number as it was written, to the last bit; one that cannot be read is
    empty, without rows and columns."""
    with temporary_folder() as folder:
        return {name: _read(history.artifact(run.run_id, name, Path(folder) / run.run_id)) for name in TABLES}


def _read(file: Path | None) -> pd.DataFrame | None:
    try:
        return pd.read_csv(file) if file else None
    except ValueError:  # empty, no CSV, no text
        return pd.DataFrame()


def _columns(name: str, before: pd.DataFrame | None, after: pd.DataFrame | None) -> Iterator[Match]:
    if before is None and after is None:
        return
    if before is not None and before.empty and not len(before.columns):
        yield Match(name, "rows", 1, 1, missing="damaged")
        return
    if before is None or after is None or len(before) != len(after):
        missing = "original" if before is None else "again"
        size = len(before if before is not None else after)  # type: ignore[arg-type]
        yield Match(name, "rows", size, size, missing=missing)
        return
    for column in dict.fromkeys([*before.columns, *after.columns]):
        if column == DERIVED:
            continue
        if column not in before.columns or column not in after.columns:
            side = "again" if column in before.columns else "original"
            yield Match(name, str(column), len(before), len(before), missing=side)
        elif pd.api.types.is_numeric_dtype(before[column]) and pd.api.types.is_numeric_dtype(after[column]):
            yield _numbers(name, str(column), before[column], after[column])
        else:
            differing = int((before[column].astype(str) != after[column].astype(str)).sum())
            far = math.inf if differing else 0.0
            yield Match(name, str(column), len(before), differing, far, far)


def _numbers(of: str, name: str, before: Iterable[float], after: Iterable[float]) -> Match:
    """By their bits, but that one NaN is as good as another."""
    a, b = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    same = (a.view(np.int64) == b.view(np.int64)) | (np.isnan(a) & np.isnan(b))
    if same.all():
        return Match(of, name, len(a), 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        absolute = np.where(same, 0.0, np.abs(a - b))
        relative = np.where(absolute == 0, 0.0, absolute / np.maximum(np.abs(a), np.abs(b)))
    far, share = (float(np.where(np.isnan(each), np.inf, each).max()) for each in (absolute, relative))
    return Match(of, name, len(a), int((~same).sum()), far, share)
