"""Columns of any kind as numbers, for quick looks at them."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pandas as pd

YEAR = re.compile(r"(?:^|[\W_])(?:year|yr|jahr|annee|année)(?:$|[\W_])")


def dates_of(table: pd.DataFrame, roles: Mapping[str, str]) -> np.ndarray:
    """Which columns are dates, as booleans (n_columns,)."""
    pairs = zip(table.columns, table.dtypes, strict=True)
    return np.array([roles.get(name) == "date" or dtype.kind == "M" for name, dtype in pairs], dtype=bool)


def is_year(column: pd.Series) -> bool:
    """Whether a number is a year, by its name and its values."""
    if column.dtype.kind not in "iuf" or not YEAR.search(str(column.name).lower()):
        return False
    known = column.dropna()
    return len(known) > 0 and bool(known.between(1800, 2200).all())


def as_numbers(X: pd.DataFrame, roles: Mapping[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """A matrix (n_rows, n_columns) of float64, gaps as NaN, and which of its columns are codes of categories, as
    booleans (n_columns,)."""
    kinds = np.array([dtype.kind for dtype in X.dtypes])
    dates = dates_of(X, roles)
    numeric = np.isin(kinds, list("fiub")) & ~dates
    matrix = np.empty(X.shape)
    matrix[:, numeric] = X.loc[:, numeric].to_numpy(np.float64, na_value=np.nan)
    for place in np.flatnonzero(~numeric).tolist():
        column = X.iloc[:, place]
        matrix[:, place] = since_epoch(column) if dates[place] else _codes(column)
    return matrix, ~numeric & ~dates


def since_epoch(column: pd.Series) -> np.ndarray:
    """A date in days, NaN where there is none; a number as it is."""
    if column.dtype.kind in "iuf":
        return column.to_numpy(np.float64)
    dates = column if column.dtype.kind == "M" else pd.to_datetime(column, errors="coerce", format="mixed", utc=True)
    dates = dates.dt.tz_localize(None) if dates.dt.tz is not None else dates
    elapsed = dates - pd.Timestamp(0).as_unit("s")  # in nanoseconds there is no year 9999
    return (elapsed.dt.total_seconds() / 86_400).to_numpy(np.float64)


def _codes(column: pd.Series) -> np.ndarray:
    codes = pd.factorize(as_text(column))[0].astype(np.float64)
    return np.where(codes < 0, np.nan, codes)


def as_text(column: pd.Series) -> pd.Series:
    """What can be compared and counted, whatever it was; gaps stay gaps."""
    return column.astype(object).map(str, na_action="ignore")


def most_correlated(matrix: np.ndarray, y: np.ndarray, limit: int) -> np.ndarray:
    """Places of at most `limit` columns, those with the largest correlation with y, in the table's order."""
    if matrix.shape[1] <= limit:
        return np.arange(matrix.shape[1])
    centred = np.nan_to_num(matrix - np.nanmean(matrix, axis=0))
    size = np.sqrt((centred**2).sum(axis=0))
    correlation = np.abs((y - y.mean()) @ centred) / np.where(size > 0, size, np.inf)
    return np.sort(np.argsort(-correlation, kind="stable")[:limit])
