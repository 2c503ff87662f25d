"""What is wrong with a table that was read: columns, values, size. A table that passes can be learnt from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from boston_exp.config.invocation import again, quoted, quoted_list, was_typed
from boston_exp.config.schema import Config, Data
from boston_exp.errors import Fault, did_you_mean, nearest
from boston_exp.experiment.roles import DATE, NUMBER, Role

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
        if len(columns) == 1:
            hint = " The whole line was read as one column: is data.sep right?"
        yield Fault(
            f"data.target={data.target} is not a column of {source}.{hint} Columns: {shown}.",
            again(f"data.target={quoted(nearest(data.target, columns) or columns[-1])}"),
        )
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
        yield Fault("No column is left to predict from.", again("data.drop=[]") + "   (or another data.sep)")


def _value_faults(data: Data, frame: pd.DataFrame) -> Iterator[Fault]:
    y = frame[data.target]
    numeric = [str(column) for column in frame.select_dtypes("number").columns if column != data.target]
    other = again(f"data.target={quoted(numeric[-1]) if numeric else '<numeric column>'}")
    gaps = np.flatnonzero(y.isna())
    if gaps.size:
        yield Fault(
            f"data.target={data.target} has no value in {gaps.size} of {len(y)} rows{_where(data, gaps)}.",
            "fill or delete those rows, then run again (a target is never invented)",
        )
    if not pd.api.types.is_numeric_dtype(y):
        bad = np.flatnonzero(pd.to_numeric(y, errors="coerce").isna() & y.notna())
        example = f", for example {y.iloc[bad[0]]!r}" if bad.size else ""
        yield Fault(
            f"data.target={data.target} is not numeric{example}{_where(data, bad)}.",
            f"{other}   (this runner does regression)",
        )
    elif len(y) > 1 and not gaps.size and (y.max() == y.min() or y.abs().max() > LARGEST):
        problem = f"is {y.iloc[0]} in every row" if y.max() == y.min() else f"has values beyond {LARGEST:g}"
        yield Fault(f"data.target={data.target} {problem}: there is nothing to learn.", other)
    numbers = frame.select_dtypes("number")
    infinite = [str(column) for column in numbers.columns if np.isinf(numbers[column]).any()]
    if infinite:
        yield Fault(
            f"Columns with infinite values: {', '.join(infinite)}.",
            again(f"data.drop={quoted_list([*data.drop, *infinite])}") + "   (or correct the file)",
        )


def bond_faults(data: Data, frame: pd.DataFrame) -> Iterator[Fault]:
    """What keeps `data.time` from ordering the rows, and `data.weight` from weighing them."""
    if data.time is not None:
        times = frame[data.time]
        gaps = np.flatnonzero(times.isna())
        if gaps.size:
            says = f"data.time={data.time} has no value in {gaps.size} of {len(times)} rows{_where(data, gaps)}."
            yield Fault(says, "fill or delete those rows, then run again (or leave data.time out)")
        elif times.dtype.kind not in "iufM":
            says = f"data.time={data.time} has neither numbers nor dates of one format, for example {times.iloc[0]!r}."
            yield Fault(says, again(without=["data.time"]) + "   (or correct the file; data.date_format says how)")
    if data.weight is not None:
        weights = frame[data.weight]
        if weights.dtype.kind not in "iufb":
            says = f"data.weight={data.weight} is not numeric, for example {weights.iloc[0]!r}."
            yield Fault(says, again(without=["data.weight"]))
            return
        bad = np.flatnonzero(~(np.isfinite(weights.to_numpy(dtype=np.float64)) & (weights >= 0).to_numpy()))
        if bad.size or not weights.sum():
            what = f"{weights.iloc[bad[0]]}{_where(data, bad)}" if bad.size else "0 in every row"
            says = f"data.weight={data.weight} is {what}: a weight has to be a number of at least 0, and not all are 0."
            yield Fault(says, again(without=["data.weight"]))


def role_faults(data: Data, frame: pd.DataFrame, found: Mapping[str, Role], features: list[str]) -> Iterator[Fault]:
    """Roles that do not fit what is in the columns, and a table of which nothing is left to learn from."""
    for name, role in found.items():
        if role.typed and role.name == NUMBER and frame[name].dtype.kind not in "iufb":
            wrong = np.flatnonzero(pd.to_numeric(frame[name], errors="coerce").isna() & frame[name].notna())
            if wrong.size:
                says = (
                    f"data.roles: {name} is no number, for example {frame[name].iloc[wrong[0]]!r}{_where(data, wrong)}."
                )
                yield Fault(says, again(without=["data.roles"]))
        elif role.typed and role.name == DATE and frame[name].dtype.kind != "M":
            says = f"data.roles: {name} has no dates of one format, for example {frame[name].iloc[0]!r}."
            yield Fault(says, again(without=["data.roles"]) + "   (or data.date_format=…)")
    if not features:
        told = ", ".join(f"{name} ({role.name})" for name, role in list(found.items())[:10])
        says = f"No column is left to predict from: {told or 'there is none'}."
        mend = again(f"data.roles={quoted_list([f'{next(iter(found))}:category'])}") if found else again()
        yield Fault(says, mend + "   (roles that were not typed are found in the table)")


def _where(data: Data, rows: np.ndarray) -> str:
    """Rows as lines of the file, which is where the user will look."""
    if data.path is None or not rows.size:
        return ""
    first = 2 if data.header else 1
    lines = ", ".join(str(row + first) for row in rows[:5])
    return f" (line {lines}{', …' if rows.size > 5 else ''})"


def _size_faults(config: Config, n_samples: int) -> Iterator[Fault]:
    n_test = int(np.ceil(n_samples * config.data.test_size))
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
