"""What is wrong with a table that was read: columns, values, size. A table that passes can be learnt from."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from boston_exp.config.invocation import again, quoted, quoted_list, was_typed
from boston_exp.config.marks import word
from boston_exp.config.schema import Config, Data
from boston_exp.errors import Fault, did_you_mean, nearest
from boston_exp.experiment.hold_out import held_out
from boston_exp.experiment.reading import files, packaged
from boston_exp.experiment.reading.columns import marks_of
from boston_exp.experiment.reading.table import lines_above
from boston_exp.experiment.reading.values import Marks, Written, numbers

LARGEST = 1e150  # whose square is still a number


def table_faults(config: Config, frame: pd.DataFrame) -> list[Fault]:
    """All that keeps the table from being split and learnt from as configured."""
    columns = list(_column_faults(config.data, frame))
    return columns or [*_value_faults(config.data, frame), *_size_faults(config, len(frame))]


def _column_faults(data: Data, frame: pd.DataFrame) -> Iterator[Fault]:
    columns = list(frame.columns)
    source = data.path or data.loader
    shown = ", ".join(columns[:20]) + (", …" if len(columns) > 20 else "")
    if data.target not in columns:
        hint = did_you_mean(data.target, columns)
        mend = f"data.target={quoted(nearest(data.target, columns) or columns[-1])}"
        sheet = packaged.sheet_with(Path(data.path), data) if data.path and _is_excel(data) else None
        if sheet:
            hint, mend = f" The sheet {sheet} has it.", f"data.sheet={quoted(sheet)}"
        yield Fault(f"data.target={data.target} is not a column of {source}.{hint} Columns: {shown}.", again(mend))
    slices = data.slices if was_typed("data.slices") else []  # those of another table's YAML are left out
    bonds = [(f"data.{key}", [value]) for key in ("group", "time", "weight") if (value := getattr(data, key))]
    for key, names in (("data.drop", data.drop), ("data.slices", slices), *bonds):
        known = [name for name in names if name in columns]
        unknown = [name for name in names if name not in columns]
        if unknown:
            which = f"{', '.join(unknown)} {'is not a column' if len(unknown) == 1 else 'are not columns'}"
            says = f"{key}: {which} of {source}.{did_you_mean(unknown[0], columns)} Columns: {shown}."
            closest = nearest(unknown[0], columns)
            single = again(f"{key}={quoted(closest)}") if closest else again(without=[key])
            yield Fault(says, single if (key, names) in bonds else again(f"{key}={quoted_list(known)}"))
    if data.target in data.drop:
        kept = [name for name in data.drop if name != data.target]
        yield Fault(f"data.drop: {data.target} is the target.", again(f"data.drop={quoted_list(kept)}"))
    if not set(columns) - {data.target, data.group, data.weight, *data.drop}:
        yield Fault("No column is left to predict from.", again("data.drop=[]") + "   (of a table with more columns)")


def _value_faults(data: Data, frame: pd.DataFrame) -> Iterator[Fault]:
    y = frame[data.target]
    numeric = [str(column) for column in frame.select_dtypes("number").columns if column != data.target]
    other = again(f"data.target={quoted(numeric[-1]) if numeric else '<numeric column>'}")
    gaps = np.flatnonzero(y.isna())
    if gaps.size:
        yield Fault(
            f"data.target={data.target} has no value in {gaps.size} of {len(y)} rows{where(data, gaps)}.",
            again("data.missing_target=drop") + "   (leaves those rows out; a target is never invented)",
        )
    if not pd.api.types.is_numeric_dtype(y):
        yield _not_numeric(data, y, other)
    elif len(y) > 1 and not gaps.size and (y.max() == y.min() or float(y.abs().max()) > LARGEST):
        problem = f"is {y.iloc[0]} in every row" if y.max() == y.min() else f"has values beyond {LARGEST:g}"
        yield Fault(f"data.target={data.target} {problem}: there is nothing to learn.", other)
    numbers = frame.select_dtypes("number")
    infinite = [str(column) for column in numbers.columns if np.isinf(numbers[column]).any()]
    if infinite:
        yield Fault(
            f"Columns with infinite values: {', '.join(infinite)}.",
            again(f"data.drop={quoted_list([*data.drop, *infinite])}") + "   (or correct the file)",
        )


def _not_numeric(data: Data, y: pd.Series, other: str) -> Fault:
    """Of a target: the lines whose text is no number, or none in the way that most are written."""
    if y.dtype.kind == "M":
        return Fault(f"data.target={data.target} has dates, not numbers.", f"{other}   (this runner does regression)")
    typed = numbers(y, marks_of(data))
    bad = np.flatnonzero(typed.unfit)
    example = f", for example {str(y.iloc[bad[0]])!r}" if bad.size else ""
    says = f"data.target={data.target} is not numeric{example}{where(data, bad)}"
    settings = [f"data.{name}" for name in ("decimal", "thousands") if getattr(data, name) is not None]
    free = numbers(y, Marks())
    if settings and not free.unfit.any():
        return Fault(f"{says}.", again(f"data.decimal={word('decimal', free.decimal)}", without=settings))
    look = f"sed -n {_line(data, bad[0])}p {shlex.quote(str(data.path))}" if bad.size and data.path else ""
    mend = f"{again()}   (once they are all numbers)"
    if look and _is_text(data):
        mend = f"{look}   (correct it, then: {again()})"
    others = numbers(y.iloc[bad], Marks())
    if 0 < bad.size < len(y) / 2:
        sign = f" and {typed.sign}" if typed.sign else ""
        says += f", while {len(y) - bad.size:,} rows are numbers{_style(y, typed)}{sign}"
        return Fault(f"{says}.", mend)
    if 0 < bad.size < y.notna().sum() and not others.unfit.any():
        fit = np.flatnonzero(~typed.unfit & y.notna().to_numpy())
        first = f"{_style(y, typed)}, for example {str(y.iloc[fit[0]])!r}{where(data, fit)}"
        says = f"data.target={data.target} has numbers{first}"
        says += f", and numbers{_style(y.iloc[bad], others)}{example}{where(data, bad)}: one of them has to be changed"
        return Fault(f"{says}.", mend)
    return Fault(f"{says}.", f"{other}   (this runner does regression)")


def _style(y: pd.Series, typed: Written) -> str:
    """The marks that the numbers show."""
    shown = y[~typed.unfit].astype(str)
    if shown.str.contains(typed.decimal, regex=False).any():
        return f" with a decimal {word('decimal', typed.decimal)}"
    return f" with a {word('thousands', typed.thousands)} between thousands" if typed.thousands else ""


def _is_excel(data: Data) -> bool:
    return Path(str(data.path)).suffix.lower() in packaged.EXCEL


def _is_text(data: Data) -> bool:
    return Path(str(data.path)).suffix.lower() not in (*files.PACKED, *packaged.ENDINGS)


def _line(data: Data, row: int) -> int:
    """Of the file; blank lines and fields of several lines are not known here."""
    return int(row) + lines_above(data) + (1 if data.header is False or data.columns else 2)


def where(data: Data, rows: np.ndarray) -> str:
    """Rows as lines of the file, which is where the user will look."""
    if data.path is None or not rows.size:
        return ""
    lines = ", ".join(str(_line(data, row)) for row in rows[:5])
    return f" (line {lines}{', …' if rows.size > 5 else ''})"


def _size_faults(config: Config, n_samples: int) -> Iterator[Fault]:
    n_test = held_out(n_samples, config.data.test_size)
    n_train, n_splits = n_samples - n_test, config.evaluation.n_splits
    if n_train < 2 or n_test < 2:
        yield Fault(
            f"{n_samples} rows with data.test_size={config.data.test_size} give {n_train} to train on "
            f"and {n_test} to test on; both need 2.",
            again("data.test_size=0.5") + "   (or a table with more rows)",
        )
    elif n_train < n_splits:
        yield Fault(
            f"evaluation.n_splits={n_splits} needs as many training rows, there are {n_train}.",
            again(f"evaluation.n_splits={max(2, min(5, n_train))}"),
        )
