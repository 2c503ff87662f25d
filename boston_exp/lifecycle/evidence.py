"""The predictions that a run has recorded, row by row, and what each row contributes to a score."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from boston_exp.experiment.metrics import Metric
from boston_exp.process import temporary_folder
from boston_exp.tracking.recorded import History, RecordedRun

OUT_OF_FOLD, HELD_OUT, SLICES = "out_of_fold.csv", "predictions.csv", "slices.csv"
AT_ONCE = 8  # requests to a server


def tables(history: History, run_ids: Iterable[str], name: str) -> dict[str, pd.DataFrame | None]:
    """An artifact of each run as a table sorted by row, None where it has none that can be read."""
    ids = list(dict.fromkeys(run_ids))
    return {run_id: _whole(table, name) for run_id, table in zip(ids, _read(history, ids, name), strict=True)}


def table_in(folder: Path, name: str) -> pd.DataFrame | None:
    """The same of an artifact that is in a folder already."""
    return _whole(_parsed(folder / name), name)


def recorded_slices(history: History, runs: list[RecordedRun]) -> list[pd.DataFrame | None]:
    """Each run's errors by groups of rows, as experiment/slices.py has them; None without `data.slices`."""
    return _read(history, [run.run_id for run in runs], SLICES)


def _read(history: History, run_ids: list[str], name: str) -> list[pd.DataFrame | None]:
    def read(run_id: str) -> pd.DataFrame | None:
        return _parsed(history.artifact(run_id, name, Path(folder) / run_id))

    with temporary_folder() as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(read, run_ids))


def _parsed(file: Path | None) -> pd.DataFrame | None:
    try:
        return pd.read_csv(file) if file and file.is_file() else None
    except ValueError:  # empty, no CSV, no text
        return None


def _whole(table: pd.DataFrame | None, name: str) -> pd.DataFrame | None:
    columns = ["row", "actual", "predicted", *(["fold"] if name == OUT_OF_FOLD else [])]
    if table is None or not set(columns) <= set(table.columns):
        return None
    whole = all(pd.api.types.is_numeric_dtype(table[column]) for column in columns)
    return table.sort_values("row", ignore_index=True) if whole and np.isfinite(table[columns]).all(axis=None) else None


def held_out_losses(table: pd.DataFrame, metric: Metric) -> np.ndarray:
    """What each held-out row contributes, shape (n_test,): their mean is the score, negated where more is better."""
    return metric.loss_by_row(table["actual"].to_numpy(float), table["predicted"].to_numpy(float))


def out_of_fold_losses(table: pd.DataFrame, metric: Metric) -> np.ndarray:
    """The same for out-of-fold predictions, shape (n_train,): their mean is the mean over folds, which need not have
    the same number of rows."""
    losses, folds = np.empty(len(table)), table["fold"].to_numpy()
    numbers = np.unique(folds)
    for number in numbers:
        inside = folds == number
        weight = len(table) / (len(numbers) * inside.sum())
        losses[inside] = weight * held_out_losses(table[inside], metric)
    return losses


def fold_scores(table: pd.DataFrame, metric: Metric) -> np.ndarray:
    """The score of each fold, shape (n_folds,)."""
    parts = [part for _, part in table.groupby("fold")]
    return np.array([float(metric.score(part["actual"].to_numpy(), part["predicted"].to_numpy())) for part in parts])
