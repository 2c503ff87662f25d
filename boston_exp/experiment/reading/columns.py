"""The columns of a table that was read, each as one type: text is converted, what Parquet and Excel have made plain."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import numpy as np
import pandas as pd

from boston_exp.config.schema import Data
from boston_exp.experiment.reading.values import Column, Marks, converted

PLAIN_KINDS = "iufb"


def marks_of(data: Data, found: str | None = None) -> Marks:
    """How numbers may be written, by the configuration, then by what was found in the file."""
    mark = data.decimal or found or "."
    grouping = Marks().grouping if data.thousands is None else ()
    if data.thousands not in (None, "none"):
        grouping = (str(data.thousands),)
    return Marks(mark, other=data.decimal is None, grouping=tuple(each for each in grouping if each != data.decimal))


def plain(values: pd.Series, marks: Marks, date_format: str | None = None) -> Column:
    """A column as int, float, bool, datetime64 without a zone, or text; booleans with gaps stay objects, durations
    become seconds. Dates keep the clock of their place: 08:00+01:00 is 08:00, since hours and days of a week are what
    a model can learn from."""
    dtype: Any = values.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in PLAIN_KINDS:
        return Column(values)
    if isinstance(dtype, pd.CategoricalDtype):
        kind = dtype.categories.dtype
        gaps = kind.kind in "iub" and values.isna().any()  # which plain integers and booleans cannot have
        return plain(values.astype(object if gaps else kind), marks, date_format)
    if dtype.kind == "m":
        return Column(values.dt.total_seconds())
    if dtype.kind == "M":
        return Column(values.dt.tz_localize(None) if getattr(dtype, "tz", None) else values)
    if isinstance(dtype, pd.StringDtype):
        return converted(values, marks, date_format) or Column(values)
    if dtype.kind in "iuf":  # nullable
        return Column(values.astype("float64" if values.isna().any() or dtype.kind == "f" else dtype.numpy_dtype))
    if dtype.kind == "b":
        return Column(
            values.astype(object).where(values.notna(), np.nan) if values.isna().any() else values.astype(bool)
        )
    return _objects(values, marks, date_format)


def _objects(values: pd.Series, marks: Marks, date_format: str | None) -> Column:
    """Python's own objects: text, and what Excel and Parquet have beside it."""
    kind = pd.api.types.infer_dtype(values, skipna=True)
    if kind == "string":
        return converted(values, marks, date_format) or Column(values)
    if kind in ("date", "datetime", "datetime64"):
        local = values.map(lambda each: each.replace(tzinfo=None) if isinstance(each, datetime.datetime) else each)
        return Column(pd.to_datetime(local, errors="coerce"))
    if kind in ("timedelta", "timedelta64"):
        return Column(pd.to_timedelta(values).dt.total_seconds())
    if kind == "time":
        of_day = {each: datetime.timedelta(hours=each.hour, minutes=each.minute, seconds=each.second,
                  microseconds=each.microsecond).total_seconds() for each in values.dropna().unique()}  # fmt: skip
        return Column(values.map(of_day).astype("float64"))
    if kind in ("decimal", "integer", "integer-na", "floating", "mixed-integer-float"):
        return Column(values.astype("float64"))
    present = values.dropna()
    is_text = present.map(lambda value: isinstance(value, str))
    others = present[~is_text]
    if others.map(lambda value: isinstance(value, int | float | decimal.Decimal) and not isinstance(value, bool)).all():
        text = present[is_text]
        found = converted(text, marks, date_format)  # a few cells of text among numbers: '1.234,5', 'k.A.'
        gaps = found is None and converted(pd.concat([text, pd.Series(["0"])]), marks) is not None
        if gaps or (found is not None and found.written is not None):
            whole = values.where(~values.index.isin(text.index), np.nan).astype("float64")
            if found is not None:
                whole.loc[text.index] = found.values.astype("float64")
            return Column(whole, found.written if found else None)
    if others.empty or kind == "boolean":
        return Column(values)
    return Column(as_text(values))


def as_text(values: pd.Series) -> pd.Series:
    """Whole numbers and Python's own objects as text, gaps as they are; what else there is stays."""
    if values.dtype.kind in "iu" or (values.dtype.kind == "O" and not isinstance(values.dtype, pd.CategoricalDtype)):
        return values.astype(object).map(str, na_action="ignore")
    return values
