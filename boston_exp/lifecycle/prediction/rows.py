"""The columns of new rows as the model takes them, and what is unusual about a row."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from boston_exp.config.invocation import again, quoted_list
from boston_exp.errors import Fault, InvalidData, did_you_mean
from boston_exp.lifecycle.prediction.source import ISO, Source

SHOWN = 8  # names in a message
OWN = ("row", "prediction", "low", "high", "flags")  # columns of the output
ZONE = r"(\d:\d{2}(?::\d{2}(?:\.\d+)?)?)\s?(?:Z|[+-]\d{2}:?\d{2})$"  # after a time of the clock
ZONE_OF_FORMAT = re.compile(r"\s?%z")
KNOWN = {True: 1.0, False: 0.0, "True": 1.0, "False": 0.0, "true": 1.0, "false": 0.0}


@dataclass
class Seen:
    """What the chunks so far have had."""

    rows: int = 0
    flagged: int = 0
    flags: Counter[str] = field(default_factory=Counter)


def check_columns(source: Source, columns: list[str], keep: list[str]) -> list[str]:
    """Columns that the model has no use for. Raises InvalidData for those that are missing, by name."""
    faults = []
    missing = [name for name in source.features if name not in columns]
    if missing:
        hints = "".join(did_you_mean(name, columns) for name in missing[:1])
        says = f"{_counted(missing, 'column')} missing that {source.shown} takes: {listed(missing)}.{hints}"
        faults.append(Fault(f"{says} There are: {listed(columns)}.", f"{again()}   (once the table has them)"))
    twice = [name for name in source.features if f"{name}.1" in columns and f"{name}.1" not in source.features]
    if twice or len(set(columns)) < len(columns):
        named = twice or [name for name in columns if columns.count(name) > 1]
        says = f"The input has two columns of one name: {listed(list(dict.fromkeys(named)))}."
        faults.append(Fault(says, f"{again()}   (once each column has a name of its own)"))
    clashing = [name for name in keep if name in OWN]
    if clashing:
        says = f"keep: the output has columns of its own that are called {listed(clashing)}."
        kept = [name for name in keep if name not in OWN]
        faults.append(Fault(says, again(f"keep={quoted_list(kept)}") + "   (or rename them in the input)"))
    unknown = [name for name in keep if name not in columns]
    if unknown:
        says = f"keep: {listed(unknown)} {'is not a column' if len(unknown) == 1 else 'are not columns'} of the input."
        known = [name for name in keep if name in columns]
        faults.append(Fault(says, again(f"keep={quoted_list(known)}")))
    if faults:
        raise InvalidData(*faults)
    return [name for name in columns if name not in (*source.features, *keep, source.target)]


def as_taken(source: Source, chunk: pd.DataFrame, first: int, date_format: str | None = None) -> pd.DataFrame:
    """The features: numbers and booleans as float64, dates as datetime64, the rest as it is, gaps as NaN. `first`
    is the number of the chunk's first row. Raises InvalidData for a column that has text where there were numbers or
    dates."""
    made: dict[str, Any] = {}
    faults = []
    for name in source.features:
        values = chunk[name]
        if source.is_date(name):
            made[name] = _dates(values, [date_format] if date_format else [source.date_format(name), ISO])
            wrong = np.flatnonzero(made[name].isna() & values.notna())
            if wrong.size:
                says = f"{name} has {values.iloc[wrong[0]]!r} in row {first + wrong[0]}, and was a date"
                mend = f"{again()}   (once the column has dates of one format, which data.date_format names)"
                faults.append(Fault(f"{says} when {source.shown} was trained.", mend))
            continue
        if not source.is_number(name):
            made[name] = values.astype(object).where(values.notna(), np.nan)
            continue
        if values.dtype.kind not in "fiub":
            values = _booleans(values)
            numbers = _numbers(values)
            wrong = np.flatnonzero(numbers.isna() & values.notna())
            if wrong.size:
                says = (
                    f"{name} has {chunk[name].iloc[wrong[0]]!r} in row {first + wrong[0]}, and was "
                    f"{source.column(name).get('type', 'a number')} when {source.shown} was trained."
                )
                what = "true and false" if source.column(name).get("type") == "boolean" else "numbers"
                faults.append(Fault(says, f"{again()}   (once the column has {what}; data.decimal fits the file?)"))
                continue
            values = numbers
        made[name] = values.astype("float64")
    if faults:
        raise InvalidData(*faults)
    return pd.DataFrame(made, index=chunk.index)


def flags(source: Source, X: pd.DataFrame, seen: Seen) -> np.ndarray:
    """What is unusual about each row, (n,) of text, empty where nothing is: `RM above; CHAS unseen; LSTAT gap`."""
    found = np.full(len(X), "", dtype=object)
    if source.profile is None:
        return found
    for name in X.columns:
        for what, rows in _unusual(source.column(name), X[name]):
            number = int(rows.sum())
            if number:
                seen.flags[f"{name} {what}"] += number
                found[rows] = found[rows] + f"{name} {what}; "
    flagged = found != ""
    found[flagged] = [text[:-2] for text in found[flagged]]
    seen.flagged += int(flagged.sum())
    return found


def _unusual(column: Mapping[str, Any], values: pd.Series) -> list[tuple[str, np.ndarray]]:
    gaps = values.isna().to_numpy()
    found = [("gap", gaps)]
    if "min" in column:
        numbers = values.to_numpy(dtype=np.float64)
        found += [("below", numbers < column["min"]), ("above", numbers > column["max"])]
    elif column.get("type") == "boolean":
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
        known = [{"True": 1.0, "False": 0.0}.get(each, np.nan) for each in column.get("categories", {})]
        found.append(("unseen", ~np.isin(numbers, known) & ~gaps))
    elif column.get("distinct", 0) and column["distinct"] == len(column.get("categories", {})):
        known_values = set(column["categories"])
        distinct = {value: str(value) not in known_values for value in values.dropna().unique()}
        if any(distinct.values()):
            unseen = values.map(distinct)
            found.append(("unseen", (unseen == True).to_numpy()))  # noqa: E712 (a gap is neither)
    return found


def _dates(values: pd.Series, formats: Sequence[str]) -> pd.Series:
    """As datetime64, by the first of the formats that all of them fit, else the first; NaT where a value is no date.
    Times are those of the clock: a zone is left out."""
    if values.dtype.kind == "M":
        return values.dt.tz_localize(None)
    if values.dtype.kind in "iufb":  # a column without a value, or of numbers, which are no dates
        return pd.Series(pd.NaT, index=values.index)
    text = values.astype(object).where(values.notna()).astype("str").str.strip().str.replace(ZONE, r"\1", regex=True)
    text = text.where(values.notna())
    found = [pd.to_datetime(text, errors="coerce", format=ZONE_OF_FORMAT.sub("", each)) for each in formats]
    return next((each for each in found if (each.notna() | values.isna()).all()), found[0])


def _booleans(values: pd.Series) -> pd.Series:
    """Booleans with gaps, which pandas reads as objects, as numbers."""
    present = values.dropna()
    if len(present) and values.dtype.kind == "O" and present.isin(list(KNOWN)).all():
        return values.map(KNOWN)
    return values


def _numbers(values: pd.Series) -> pd.Series:
    """As numbers; NaN where a value is none, which times are not either."""
    if values.dtype.kind in "mMc":
        return pd.Series(np.nan, index=values.index)
    return pd.to_numeric(values, errors="coerce")


def _counted(names: list[str], what: str) -> str:
    return f"1 {what} is" if len(names) == 1 else f"{len(names)} {what}s are"


def listed(names: list[str]) -> str:
    """The first of them, and how many there are more."""
    return ", ".join(names[:SHOWN]) + (f", and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
