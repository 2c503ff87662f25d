"""The predictions that a run has recorded, row by row, and what each row contributes to a score."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from boston_exp.experiment.conformal import once
from boston_exp.experiment.metrics import Metric
from boston_exp.experiment.units import CLUSTER, TIME, WEIGHT
from boston_exp.process import temporary_folder
from boston_exp.tracking.recorded import History, RecordedRun

OUT_OF_FOLD, HELD_OUT, SLICES, FOLDS = "out_of_fold.csv", "predictions.csv", "slices.csv", "folds.csv"
AT_ONCE = 8  # requests to a server


def tables(history: History, run_ids: Iterable[str], name: str) -> dict[str, pd.DataFrame | None]:
    """An artifact of each run as a table sorted by row, None where it has none that can be read.

    Out-of-fold predictions of repeated folds have a row more than once.
    """
    ids = list(dict.fromkeys(run_ids))
    return {run_id: _whole(table, name) for run_id, table in zip(ids, _read(history, ids, name), strict=True)}


def table_in(folder: Path, name: str) -> pd.DataFrame | None:
    """The same of an artifact that is in a folder already."""
    return _whole(_parsed(folder / name), name)


def recorded_slices(history: History, runs: list[RecordedRun]) -> list[pd.DataFrame | None]:
    """Each run's errors by groups of rows, as experiment/slices.py has them; None without `data.slices`."""
    return _read(history, [run.run_id for run in runs], SLICES)


def overlaps(history: History, run_ids: Iterable[str]) -> dict[str, float | None]:
    """Of each run the rows that a fold is scored on for each that it is fitted on, the mean over folds; None where it
    is not recorded: then each row is scored in one of k folds and fitted on in the others, 1 / (k - 1)."""
    ids = list(dict.fromkeys(run_ids))
    return {run_id: _overlap(table) for run_id, table in zip(ids, _read(history, ids, FOLDS), strict=True)}


def _overlap(table: pd.DataFrame | None) -> float | None:
    if table is None or not {"rows", "train_rows"} <= set(table.columns):
        return None
    shares = pd.to_numeric(table["rows"], errors="coerce") / pd.to_numeric(table["train_rows"], errors="coerce")
    return float(shares.mean()) if len(shares) and np.isfinite(shares).all() else None


def _read(history: History, run_ids: list[str], name: str) -> list[pd.DataFrame | None]:
    def read(run_id: str) -> pd.DataFrame | None:
        return _parsed(history.artifact(run_id, name, Path(folder) / run_id))

    with temporary_folder() as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(read, run_ids))


def _parsed(file: Path | None) -> pd.DataFrame | None:
    try:
        return with_text(pd.read_csv(file), file, [CLUSTER]) if file and file.is_file() else None
    except ValueError:  # empty, no CSV, no text
        return None


def with_text(table: pd.DataFrame, file: Path, columns: Iterable[str]) -> pd.DataFrame:
    """A table with these columns, where it has them, as they stand in its file: `01` is not 1, nor is `NA` a gap."""
    labels = [column for column in columns if column in table.columns]
    return table.assign(**pd.read_csv(file, usecols=labels, dtype=str, na_filter=False)) if labels else table


def _whole(table: pd.DataFrame | None, name: str) -> pd.DataFrame | None:
    columns = ["row", "actual", "predicted", *(["fold"] if name == OUT_OF_FOLD else [])]
    if table is None or not set(columns) <= set(table.columns):
        return None
    columns += [column for column in (WEIGHT, TIME) if column in table.columns]
    whole = all(pd.api.types.is_numeric_dtype(table[column]) for column in columns)
    if not whole or not np.isfinite(table[columns]).all(axis=None):
        return None
    return table.sort_values(["row", *(["fold"] if name == OUT_OF_FOLD else [])], ignore_index=True)


def rows_of(table: pd.DataFrame) -> pd.DataFrame:
    """What has to be the same in two tables whose losses are compared: rows, folds, targets, weights, clusters,
    times."""
    columns = ("row", "fold", "actual", WEIGHT, CLUSTER, TIME)
    return table[[column for column in columns if column in table.columns]]


def design(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """How its rows came about, where that was recorded: `weights`, `clusters`, `order` in time, as intervals and tests
    take them. (n,), n being its different rows."""
    each = once(table)
    names = {"weights": WEIGHT, "clusters": CLUSTER, "order": TIME}
    return {name: each[column].to_numpy() for name, column in names.items() if column in each.columns}


def held_out_losses(table: pd.DataFrame, metric: Metric) -> np.ndarray:
    """What each held-out row contributes, shape (n_test,): their (weighted) mean is the score, negated where more is
    better."""
    return metric.loss_by_row(*_predicted(table))


def out_of_fold_losses(table: pd.DataFrame, metric: Metric) -> np.ndarray:
    """The same for out-of-fold predictions, shape (n,) for n different rows, of repeated folds their mean: their
    (weighted) mean is the mean over folds, which need not have the same number of rows."""
    losses, folds = np.empty(len(table)), table["fold"].to_numpy()
    weights = table[WEIGHT].to_numpy(float) if WEIGHT in table.columns else np.ones(len(table))
    numbers = np.unique(folds)
    for number in numbers:
        inside = folds == number
        share = weights.sum() / (len(numbers) * weights[inside].sum())
        losses[inside] = share * held_out_losses(table[inside], metric)
    if not table["row"].duplicated().any():
        return losses
    return pd.Series(losses).groupby(table["row"].to_numpy()).mean().to_numpy()


def fold_scores(table: pd.DataFrame, metric: Metric) -> np.ndarray:
    """The score of each fold, shape (n_folds,)."""
    return np.array([score(part, metric) for _, part in table.groupby("fold")])


def score(table: pd.DataFrame, metric: Metric) -> float:
    """Of all of its rows, weighted where they have weights."""
    return float(metric.score(*_predicted(table)))


def _predicted(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    weights = table[WEIGHT].to_numpy(float) if WEIGHT in table.columns else None
    return table["actual"].to_numpy(float), table["predicted"].to_numpy(float), weights
