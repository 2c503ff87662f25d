"""Tables in files that know their own types: Parquet, Feather, Excel."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from boston_exp.config.invocation import again, quoted, quoted_list
from boston_exp.config.schema import Data
from boston_exp.errors import Fault, InvalidData, did_you_mean

ARROW = (".feather", ".arrow", ".ipc")
PARQUET = (".parquet", ".pq")
EXCEL = (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods")


def read_columns(path: Path, data: Data) -> pd.DataFrame:
    """The table of a Parquet or Feather file; an index with a name is a column.

    Raises InvalidData for columns that hold lists or structures, which no estimator takes, unless data.drop has them.
    """
    import pyarrow.feather as feather
    import pyarrow.parquet as pq

    if path.suffix.lower() in PARQUET:
        _refuse_nested(pq.read_schema(path), data)
        return as_columns(pd.read_parquet(path))
    table = feather.read_table(path, memory_map=False)
    _refuse_nested(table.schema, data)
    return as_columns(table.to_pandas())


def as_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with its rows numbered from 0; an index with a name becomes a column."""
    named = [name for name in frame.index.names if name is not None]
    return frame.reset_index(drop=not named or any(name in frame.columns for name in named))


def _refuse_nested(schema: object, data: Data) -> None:
    import pyarrow as pa

    fields = [schema.field(place) for place in range(len(schema))]  # type: ignore[attr-defined, arg-type]
    nested = [each.name for each in fields if pa.types.is_nested(each.type) or pa.types.is_binary(each.type)]
    left = [name for name in nested if name not in data.drop]
    if left:
        says = (
            f"data.path={data.path} has columns of lists, structures or bytes, which no model takes: {', '.join(left)}."
        )
        mend = again(f"data.drop={quoted_list([*data.drop, *left])}") + "   (leaves them out)"
        raise InvalidData(Fault(says, mend))


def read_sheet(path: Path, data: Data) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    """A sheet of an Excel or OpenDocument file, its name, and those of the others.

    Raises InvalidData where what reads it is not installed, and for a sheet that is not there.
    """
    header = data.header if data.header is not None else not data.columns
    try:
        with pd.ExcelFile(path, engine="calamine") as book:
            names = tuple(map(str, book.sheet_names))
            sheet = _sheet(data.sheet, names)
            if sheet is None:
                says = f"data.sheet={data.sheet} is not a sheet of {path}.{did_you_mean(str(data.sheet), names)}"
                says += f" Sheets: {', '.join(names)}."
                raise InvalidData(Fault(says, again(f"data.sheet={quoted(names[0])}")))
            first = pd.read_excel(book, sheet_name=sheet, header=None, nrows=1, dtype=object)
            frame = pd.read_excel(book, sheet_name=sheet, header=0 if header else None, dtype=object)
    except ImportError as error:
        says = f"data.path={path}: reading {path.suffix} needs python-calamine, which is not installed."
        raise InvalidData(Fault(says, f"{sys.executable} -m pip install 'python-calamine>=0.3'")) from error
    twice = sorted(set(map(str, first.iloc[0][first.iloc[0].duplicated()].dropna()))) if header and len(first) else []
    if twice:
        raise ValueError(f"two columns are named {', '.join(twice)}")
    if data.columns:
        if len(data.columns) != frame.shape[1]:
            raise ValueError(f"data.columns has {len(data.columns)} names for {frame.shape[1]} columns")
        frame.columns = pd.Index(list(data.columns))
    return frame.infer_objects(), sheet, tuple(name for name in names if name != sheet)


def _sheet(asked: str | None, names: tuple[str, ...]) -> str | None:
    if asked is None or asked in names:
        return asked or names[0]
    return names[int(asked) - 1] if asked.isdigit() and 0 < int(asked) <= len(names) else None
