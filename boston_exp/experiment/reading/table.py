"""Reads a table: a file of text, Parquet, Feather or Excel, or one of scikit-learn's data sets.

What the configuration leaves open is found in the file itself, by a look at its head, and told.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.errors import HydraException
from hydra.utils import instantiate

from boston_exp import process
from boston_exp.config.invocation import again, was_typed
from boston_exp.config.schema import Data
from boston_exp.errors import Fault, InvalidData
from boston_exp.experiment.reading import files, packaged
from boston_exp.experiment.reading.cells import refuse_twins
from boston_exp.experiment.reading.columns import marks_of, plain
from boston_exp.experiment.reading.found import Found
from boston_exp.experiment.reading.text_table import read_text
from boston_exp.experiment.reading.unreadable import refusal

DECIDING = ("sep", "decimal", "thousands", "encoding", "header", "columns", "date_format", "sheet", "drop", "target")


@dataclass(frozen=True, eq=False)
class Read:
    """A table as it was read, and how. `without_target` counts rows that were left out, as data.missing_target asks."""

    frame: pd.DataFrame
    found: Found
    without_target: int = 0


def read(data: Data) -> Read:
    """The table at data.path: columns are int, float, bool, datetime64 or text, their names text, rows counted from 0.

    Raises InvalidData for a file without rows, and for one that cannot be read or would have to be guessed at.
    """
    path = Path(str(data.path))
    with files.steady(path):
        key = _key(path, data)
        if key not in _latest:
            made = _read(path, data)
            _latest.clear()
            _latest[key] = made
    return _with_target(_latest[key], data)


_latest: dict[tuple[Any, ...], Read] = {}  # one entry: the points of a sweep share their table
process.on_reset(_latest.clear)


def _key(path: Path, data: Data) -> tuple[Any, ...]:
    state = path.stat()
    return (path, state.st_size, state.st_mtime_ns, *(repr(getattr(data, name)) for name in DECIDING))


def lines_above(data: Data) -> int:
    """How many lines stand above the header of the table that was read last; 0 where it was another."""
    path = Path(str(data.path))
    made = _latest.get(_key(path, data)) if path.is_file() else None
    return made.found.sniffed.get("above", 0) if made else 0


def _with_target(whole: Read, data: Data) -> Read:
    """Without the rows that have no target, where data.missing_target says so; rows are numbered anew."""
    if data.missing_target != "drop" or data.target not in whole.frame:
        return whole
    known = whole.frame[data.target].notna()
    if known.all():
        return whole
    return replace(whole, frame=whole.frame[known].reset_index(drop=True), without_target=int((~known).sum()))


def _read(path: Path, data: Data) -> Read:
    from pyarrow import ArrowException

    ending = path.suffix.lower()
    decimal = None
    try:
        if ending in (*packaged.PARQUET, *packaged.ARROW):
            frame, found = packaged.read_columns(path, data), Found()
        elif ending in packaged.EXCEL:
            sheet = packaged.read_sheet(path, data)
            frame, others = sheet.frame, sheet.others if data.sheet is None else ()
            found = Found({"above": sheet.above} if sheet.above else {}, sheet=sheet.name, other_sheets=others)
        else:
            frame, found, how = read_text(path, data)
            decimal = how.decimal
        frame.columns = pd.Index([str(name) for name in frame.columns], dtype=object)
        refuse_twins(frame.columns)
    except (ValueError, LookupError, ArrowException, *files.DAMAGED) as error:
        raise refusal(path, data, error) from error
    if frame.empty:
        raise InvalidData(Fault(f"data.path={data.path} has no rows.", again("data.path=<a table with rows>")))
    return _plain(frame, found, data, decimal)


def _plain(frame: pd.DataFrame, found: Found, data: Data, decimal: str | None) -> Read:
    """Every column as one plain type."""
    marks = marks_of(data, decimal)
    dates: dict[str, str] = {}
    doubtful: dict[str, str] = {}
    thousands: dict[str, bool] = {}
    for place, name in enumerate(frame.columns):
        values = frame.iloc[:, place]
        if name in data.drop and values.dtype == object:
            continue  # may be nested, and is left out
        column = plain(values, marks, data.date_format)
        if column.values is not values:
            frame[name] = column.values
        if column.dated:
            dates[name] = column.dated.format
            doubtful |= {name: column.dated.alternative} if column.dated.alternative else {}
        if column.written and column.written.thousands:
            thousands[column.written.thousands] = True
    if data.date_format and not dates and not any(frame[name].dtype == object for name in data.drop if name in frame):
        says = f"data.date_format={data.date_format} fits all values of no column."
        typed = was_typed("data.date_format")
        raise InvalidData(Fault(says, again(without=["data.date_format"]) if typed else again("data.date_format=null")))
    if data.thousands is None:
        found = replace(found, thousands=tuple(thousands))
    if data.date_format is None:
        found = replace(found, dates=dates, doubtful=doubtful)
    return Read(frame, found)


def read_bundled(data: Data, trusted: list[str]) -> pd.DataFrame:
    """The table of a loader such as sklearn.datasets.load_diabetes. Raises InvalidData if it gives none."""
    try:
        bunch = instantiate(
            {"_target_": data.loader, "as_frame": True},
            _execution_whitelist_=[f"{package}.*" for package in trusted],
        )
        frame: pd.DataFrame = bunch.frame
    except (HydraException, ImportError, OSError, TypeError, ValueError, AttributeError) as error:
        cause = str(error.__cause__ or error).partition("\n")[0].rstrip(".")
        mend = again("data=diabetes", without=["data.loader"])
        says = f"data.loader={data.loader} gives no table: {cause}."
        raise InvalidData(Fault(says, f"{mend}   (a loader takes as_frame=True, as in sklearn.datasets)")) from error
    return frame
