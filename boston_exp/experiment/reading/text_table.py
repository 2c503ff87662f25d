"""Reads a file of text as a table, by pandas, as its configuration says it is written, or as its head shows."""

from __future__ import annotations

import re
import warnings
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from boston_exp.config.schema import Data
from boston_exp.experiment.reading import files
from boston_exp.experiment.reading.cells import fields, lines_of, refuse_twins
from boston_exp.experiment.reading.found import Found
from boston_exp.experiment.reading.sniffing import Dialect, NoText, decoded, dialect, encoding_of
from boston_exp.experiment.reading.unreadable import MORE_FIELDS, refuse_names_of_named, refuse_unsplit

LEADING_ZERO = re.compile(r"0\d+")
OPEN = ("sep", "decimal", "encoding", "header")


@dataclass(frozen=True)
class Head:
    """The first bytes of a file, whether they are all, and how they are written."""

    content: bytes
    whole: bool
    how: Dialect

    def rows(self, limit: int) -> list[list[str]]:
        """The first rows, header included."""
        text = decoded(self.content, self.how.encoding, self.whole)
        return fields("".join(lines_of(text)[self.how.above :]), self.how.sep, limit)


def read_text(path: Path, data: Data) -> tuple[pd.DataFrame, Found, Dialect]:
    """The table, types as pandas finds them, what was found, and how the file is written.

    Raises ValueError where pandas would guess: rows longer than the header, two columns of one name; NoText,
    LookupError for an unknown encoding, the errors of files.DAMAGED, and InvalidData where a setting is at fault.
    """
    with path.open("rb") as raw, files.unpacked(raw, path) as stream:
        content, whole = files.head(stream)
    head = looked_at(content, whole, data, [data.target])
    refuse_unsplit(data, content, whole, head.how)
    refuse_names_of_named(data, head.rows(20))
    try:
        frame = _parsed(path, data, head)
    except UnicodeDecodeError:
        if data.encoding is not None:
            raise
        head = replace(head, how=replace(head.how, encoding=_encoding_further_on(path)))
        frame = _parsed(path, data, head)
    return frame, found(head.how, data), head.how


def looked_at(content: bytes, whole: bool, data: Data, known: list[str]) -> Head:
    """The head of a file; `known` are names of columns. Raises NoText, LookupError, UnicodeDecodeError."""
    what = files.foreign(content)
    if what:
        raise NoText(f"it is {what[0]}, not text with rows and columns", what[1])
    return Head(content, whole, dialect(content, whole, data, known))


def found(how: Dialect, data: Data) -> Found:
    """What the configuration left open."""
    sniffed = {name: getattr(how, name) for name in OPEN if getattr(data, name) is None}
    if data.columns:
        sniffed.pop("header", None)
    return Found(sniffed | ({"above": how.above} if how.above else {}))


def options(how: Dialect, data: Data) -> dict[str, Any]:
    """For pandas.read_csv. Its `thousands` are not used: with a point, it takes 01.02.2003 for 1022003."""
    return {
        "sep": how.sep,
        "decimal": how.decimal if how.decimal != how.sep else ".",
        "encoding": how.encoding,
        "engine": "c" if len(how.sep) == 1 or how.sep == r"\s+" else "python",
        "header": 0 if how.header else None,
        "names": list(data.columns) if data.columns else None,
        "index_col": False,
        "skiprows": how.above,
    }


def _parsed(path: Path, data: Data, head: Head) -> pd.DataFrame:
    settings, first = options(head.how, data), head.rows(1)
    if not first:
        return pd.DataFrame()
    names: list[Any] = data.columns or (first[0] if head.how.header else list(range(len(first[0]))))
    refuse_twins(filter(None, map(str, names)))
    names = [f"Unnamed: {place}" if name == "" else name for place, name in enumerate(names)]
    codes = {names[place]: str for place in _codes(path, head, len(names)) if names[place] != data.target}
    frame = _by_pandas(path, settings | ({"dtype": codes} if codes else {}))
    # pandas guesses types a piece at a time. low_memory=False would not, at twice the time: columns whose pieces differ
    # are read once more, as text.
    mixed = [place for place, dtype in enumerate(frame.dtypes) if dtype == "object"]
    if mixed:
        as_text = _by_pandas(path, settings | {"dtype": str, "usecols": mixed})
        for place, name in enumerate(as_text.columns):
            frame[frame.columns[mixed[place]]] = as_text[name]
    return frame


def _by_pandas(path: Path, settings: dict[str, Any]) -> pd.DataFrame:
    with ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.DtypeWarning)
        warnings.simplefilter("error", pd.errors.ParserWarning)  # that it leaves fields out
        source: Any = path  # not its content: that would be held twice
        if path.suffix.lower() in files.PACKED:
            source = stack.enter_context(files.unpacked(stack.enter_context(path.open("rb")), path))
        try:
            return pd.read_csv(source, **settings)
        except pd.errors.EmptyDataError:
            return pd.DataFrame()
        except pd.errors.ParserWarning as warning:
            raise ValueError(MORE_FIELDS) from warning


def _codes(path: Path, head: Head, width: int) -> list[int]:
    """Places of columns with leading zeros, such as the postcode 01069, which they would lose as numbers.

    They are looked for in pieces from all over a large file, and in the head of one that is packed.
    """
    how = head.how
    if how.encoding.startswith(("utf-16", "utf-32")) or path.suffix.lower() in files.PACKED:
        texts = [decoded(head.content, how.encoding, head.whole)]
    else:
        edge = re.escape(how.sep.encode()) if len(how.sep) == 1 else rb"\s"
        telling = re.compile(rb'(?:^|["\n]|' + edge + rb")0\d")
        texts = [piece.decode(how.encoding, "replace") for piece in files.pieces(path) if telling.search(piece)]
    places = set()
    for text in texts:
        for row in fields(text, how.sep, limit=len(text)):
            if len(row) == width:
                places |= {place for place, cell in enumerate(row) if LEADING_ZERO.fullmatch(cell.strip())}
    return sorted(places)


def _encoding_further_on(path: Path) -> str:
    """Of the first piece of a file that is no UTF-8."""
    with path.open("rb") as raw, files.unpacked(raw, path) as stream:
        for line_start in iter(lambda: stream.read(files.HEAD), b""):
            piece = line_start + stream.readline()
            encoding = encoding_of(piece)
            if not encoding.startswith("utf-8"):
                return encoding
    return "utf-8"
