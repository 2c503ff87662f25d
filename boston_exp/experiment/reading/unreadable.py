"""Why a file cannot be read as a table, and the corrected command: what its own head says against what was typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from boston_exp.config.invocation import again, quoted
from boston_exp.config.marks import word
from boston_exp.config.schema import Data
from boston_exp.errors import Fault, InvalidData
from boston_exp.experiment.reading import files, packaged
from boston_exp.experiment.reading.cells import fields
from boston_exp.experiment.reading.header import is_value
from boston_exp.experiment.reading.sniffing import Dialect, NoText, decoded, dialect, encoding_of
from boston_exp.experiment.reading.values import AMONG_NUMBERS

MORE_FIELDS = "rows have more fields than there are names for"


def refusal(path: Path, data: Data, error: BaseException) -> InvalidData:
    """The refusal of a file that cannot be read, with the command that reads it where there is one."""
    cause = str(error).partition("\n")[0].rstrip(". ")
    return InvalidData(Fault(f"data.path={path} cannot be read as a table: {cause}.", _mend(path, data, error)))


def _mend(path: Path, data: Data, error: BaseException) -> str:
    if isinstance(error, NoText):
        return renamed(path, error.ending) if error.ending else again("data.path=<another file>")
    if path.suffix.lower() in packaged.ENDINGS:
        return mend_of_packaged(path, error)
    if path.suffix.lower() not in files.PACKED and "named" in str(error):
        return f"{again()}   (once each column has a name of its own)"
    if isinstance(error, files.DAMAGED):
        return again("data.path=<another file>")
    start, whole = _head(path)
    if isinstance(error, UnicodeDecodeError | LookupError):
        return again(f"data.encoding={quoted(encoding_of(start))}", without=["data.encoding"])
    if data.sep is not None:
        better = _sniffed(start, whole, data)
        if better is not None and better.sep != data.sep:
            return again(f"data.sep={word('sep', better.sep)}")
    line = re.search(r"in line (\d+)", str(error))
    look = f"sed -n {line[1]}p" if line else "head -3"
    return f"{look} {shlex.quote(str(path))}   (correct it, then: {again()})"


def mend_of_packaged(path: Path, error: BaseException, setting: str = "data.path") -> str:
    """For a file whose name says that it is a workbook, Parquet or Feather."""
    if "named" in str(error):
        return f"{again()}   (once each column has a name of its own)"
    if packaged.ENCRYPTED in str(error):
        return f"{again()}   (once it is saved without a password)"
    ending = files.ending_of(_head(path)[0])
    is_book = path.suffix.lower() in packaged.EXCEL and ending in packaged.EXCEL  # its content told what kind of one
    return renamed(path, ending, setting) if ending and not is_book else again(f"{setting}=<another file>")


def renamed(path: Path, ending: str, setting: str = "data.path") -> str:
    """The command for a file under the name that it should have; one that is packed has to be another."""
    if path.suffix.lower() in files.PACKED:
        return again(f"{setting}=<another file>")
    right = str(path.with_suffix(ending))
    return f"cp {shlex.quote(str(path))} {shlex.quote(right)} && {again(f'{setting}={quoted(right)}')}"


def refuse_unsplit(data: Data, start: bytes, whole: bool, how: Dialect) -> None:
    """Raise InvalidData for a typed separator that splits no line, where another one does."""
    if data.sep is None:
        return
    rows = fields(decoded(start, how.encoding, whole), how.sep)
    better = _sniffed(start, whole, data) if rows and max(map(len, rows)) == 1 else None
    if better is not None and len(fields(decoded(start, better.encoding, whole), better.sep, limit=1)[0]) > 1:
        says = f"data.sep={word('sep', how.sep)} splits nothing: every line of {data.path} is one column."
        raise InvalidData(Fault(says, again(f"data.sep={word('sep', better.sep)}")))


def refuse_names_of_named(data: Data, rows: list[list[str]]) -> None:
    """Raise InvalidData for data.columns, which are for a file without header, where the first row has names: these or
    words above columns of values."""
    if not data.columns or data.header is not None or not rows:
        return
    first, *others = [[cell.strip() for cell in row] for row in rows]
    below = [place for place in range(len(first)) if others and _are_values(row[place : place + 1] for row in others)]
    above_values = below and all(re.match(r"[^\W\d]", first[place]) for place in below)
    gaps = any(first[place].lower() in AMONG_NUMBERS for place in below)
    if first == list(data.columns) or (above_values and not gaps):
        names = ", ".join(first[:8]) + (", …" if len(first) > 8 else "")
        says = f"data.columns is for a file without header, and the first row of {data.path} has names: {names}"
        mend = again(without=["data.columns"]) + "   (data.header=true beside data.columns gives them new names)"
        raise InvalidData(Fault(f"{says}.", mend))


def _are_values(cells: Iterable[list[str]]) -> bool:
    """Of a column: whether it has values, gaps aside."""
    present = [cell[0] for cell in cells if cell and cell[0].lower() not in AMONG_NUMBERS]
    return bool(present) and all(map(is_value, present))


def _sniffed(start: bytes, whole: bool, data: Data) -> Dialect | None:
    try:
        return dialect(start, whole, replace(data, sep=None))
    except (ValueError, LookupError):
        return None


def _head(path: Path) -> tuple[bytes, bool]:
    try:
        with path.open("rb") as raw, files.unpacked(raw, path) as stream:
            return files.head(stream)
    except files.DAMAGED:
        return b"", True
