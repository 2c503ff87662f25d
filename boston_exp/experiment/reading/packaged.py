"""Tables in files that know their own types: Parquet, Feather, Excel."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from boston_exp.config.invocation import again, quoted, quoted_list
from boston_exp.config.schema import Data
from boston_exp.errors import Fault, InvalidData, did_you_mean
from boston_exp.experiment.reading import header
from boston_exp.experiment.reading.cells import refuse_twins

ARROW = (".feather", ".arrow", ".ipc")
PARQUET = (".parquet", ".pq")
ENCRYPTED = "it is encrypted, and a password is never asked for here: save it without one"
OLE = b"\xd0\xcf\x11\xe0"  # what Excel keeps an encrypted workbook in: [MS-OFFCRYPTO] 2.3.4
EXCEL = (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods")
ENDINGS = (*PARQUET, *ARROW, *EXCEL)


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


@dataclass(frozen=True, eq=False)
class Sheet:
    """A sheet of a workbook; `above` counts the rows before its header."""

    frame: pd.DataFrame
    name: str
    others: tuple[str, ...]
    above: int


def read_sheet(path: Path, data: Data) -> Sheet:
    """A sheet of an Excel or OpenDocument file; rows with titles may stand above its header.

    Raises InvalidData where what reads it is not installed, and for a sheet that is not there; ValueError for a file
    that is damaged, encrypted or no workbook.
    """
    has_header = data.header if data.header is not None else not data.columns
    with _workbook(path, data) as book:
        names = tuple(map(str, book.sheet_names))
        sheet = _sheet(data.sheet, names)
        if sheet is None:
            says = f"data.sheet={data.sheet} is not a sheet of {path}.{did_you_mean(str(data.sheet), names)}"
            says += f" Sheets: {', '.join(names)}."
            raise InvalidData(Fault(says, again(f"data.sheet={quoted(names[0])}")))
        above, first = _header(book, sheet) if has_header else (0, [])
        frame = pd.read_excel(book, sheet_name=sheet, header=above if has_header else None, dtype=object)
    refuse_twins(filter(None, first))
    if data.columns:
        if len(data.columns) != frame.shape[1]:
            raise ValueError(f"data.columns has {len(data.columns)} names for {frame.shape[1]} columns")
        frame.columns = pd.Index(list(data.columns))
    return Sheet(frame.infer_objects(), sheet, tuple(name for name in names if name != sheet), above)


def sheet_with(path: Path, data: Data) -> str | None:
    """The first sheet that has the target among the names of its columns."""
    with _workbook(path, data) as book:
        for name in map(str, book.sheet_names):
            if data.target in _header(book, name)[1]:
                return name
    return None


@contextmanager
def _workbook(path: Path, data: Data) -> Iterator[pd.ExcelFile]:
    try:
        from python_calamine import CalamineError, PasswordError
    except ImportError as error:
        says = f"data.path={path}: reading {path.suffix} needs python-calamine, which is not installed."
        raise InvalidData(Fault(says, f"{sys.executable} -m pip install 'python-calamine>=0.3'")) from error
    try:
        with pd.ExcelFile(path, engine="calamine") as book:
            yield book
    except PasswordError as error:
        raise ValueError(ENCRYPTED) from error
    except CalamineError as error:
        encrypted = path.suffix.lower() != ".xls" and path.read_bytes().startswith(OLE)
        what = f"it is no {path.suffix} file, or it is damaged ({error})"
        raise ValueError(ENCRYPTED if encrypted else what) from error


def _header(book: pd.ExcelFile, sheet: str) -> tuple[int, list[str]]:
    """How many rows stand above the header, and the names in it."""
    top = pd.read_excel(
        book, sheet_name=sheet, header=None, nrows=header.ABOVE + 50, dtype=object, keep_default_na=False
    )
    rows = [[str(cell).strip() for cell in row] for row in top.itertuples(index=False)]
    above = header.titles(rows)
    return above, rows[above] if rows else []


def _sheet(asked: str | None, names: tuple[str, ...]) -> str | None:
    if asked is None or asked in names:
        return asked or names[0]
    return names[int(asked) - 1] if asked.isdigit() and 0 < int(asked) <= len(names) else None
