"""New rows, in chunks: a file as `data=csv` reads it, or text from standard input."""

from __future__ import annotations

import shlex
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from boston_exp.config.invocation import again
from boston_exp.config.marks import word
from boston_exp.config.schema import Data
from boston_exp.errors import Fault, InvalidConfig, InvalidData
from boston_exp.experiment.reading import files, packaged
from boston_exp.experiment.reading.columns import PLAIN_KINDS, as_text, marks_of, plain
from boston_exp.experiment.reading.sniffing import NoText
from boston_exp.experiment.reading.text_table import Head, looked_at, options
from boston_exp.experiment.reading.unreadable import MORE_FIELDS, mend_of_packaged, renamed
from boston_exp.experiment.reading.values import Marks, numbers

ROWS = 50_000  # of a chunk
STDIN = "-"


@contextmanager
def chunks(
    given: str, cwd: Path, data: Data, text_columns: set[str], as_it_stands: set[str]
) -> Iterator[Iterator[pd.DataFrame]]:
    """The table that `input=` names, some rows at a time; columns that are text are read as such, and some others as
    they stand in a file of text, so that nothing of them is lost.

    A progress bar stands on stderr where that is a terminal. Raises InvalidConfig for a file that is not there,
    InvalidData for one that cannot be read as a table or changes meanwhile.
    """
    if given == STDIN:
        yield _guarded(lambda: _text(sys.stdin.buffer, data, text_columns, as_it_stands), given, Path(given))
        return
    path = cwd / Path(given).expanduser()
    if not path.is_file():
        raise InvalidConfig(Fault(f"input={given} is not a file.", f"ls {path.parent}"))
    data, ending = replace(data, path=str(path), drop=[]), path.suffix.lower()
    with ExitStack() as stack:
        stack.enter_context(files.steady(path, "input"))
        if ending in packaged.PARQUET:
            yield _guarded(lambda: _parquet(path, data, text_columns, as_it_stands), given, path)
        elif ending in (*packaged.ARROW, *packaged.EXCEL):
            yield _guarded(lambda: _whole(path, data, text_columns, as_it_stands), given, path)
        else:
            raw = stack.enter_context(_opened(path))
            yield _guarded(lambda: _unpacked(raw, path, data, text_columns, as_it_stands), given, path)


def _opened(path: Path) -> Any:
    from rich.console import Console
    from rich.progress import open as open_with_bar

    console = Console(stderr=True)
    if not console.is_terminal:
        return path.open("rb")
    return open_with_bar(path, "rb", description="predicting", console=console, transient=True)


def _unpacked(
    raw: BinaryIO, path: Path, data: Data, text_columns: set[str], as_it_stands: set[str]
) -> Iterator[pd.DataFrame]:
    with files.unpacked(raw, path, "input") as stream:
        yield from _text(stream, data, text_columns, as_it_stands)


def _text(stream: BinaryIO, data: Data, text_columns: set[str], as_it_stands: set[str]) -> Iterator[pd.DataFrame]:
    head = looked_at(*files.head(stream), data, sorted(text_columns))
    marks = marks_of(data, head.how.decimal)
    formats = _formats(head, data, marks)
    with pd.read_csv(
        files.Rejoined(head.content, stream),
        dtype=dict.fromkeys(text_columns, str),
        converters=dict.fromkeys(as_it_stands, "={}".format),  # else pandas takes NA and null for gaps
        chunksize=ROWS,
        **options(head.how, data),
    ) as found:
        while True:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", pd.errors.DtypeWarning)
                warnings.simplefilter("error", pd.errors.ParserWarning)  # that it leaves fields out
                try:
                    chunk = next(found)
                except StopIteration:
                    return
                except pd.errors.ParserWarning as warning:
                    raise ValueError(MORE_FIELDS) from warning
            chunk = chunk.rename(columns=str)
            for name in as_it_stands & set(chunk.columns):
                chunk[name] = chunk[name].str[1:]
            yield _plain(chunk, {*text_columns, *as_it_stands}, marks, formats)


def _formats(head: Head, data: Data, marks: Marks) -> dict[str, str]:
    """Of dates, by column: one for the whole file, which its first rows decide."""
    names, *rows = head.rows(500) if head.how.header else [data.columns or [], *head.rows(500)]
    found = {}
    for place, name in enumerate(names):
        cells = pd.Series([row[place] for row in rows if place < len(row)], dtype=object)
        dated = plain(cells, marks, data.date_format).dated if len(cells) else None
        if dated:
            found[str(name)] = dated.format
    return found


def _plain(chunk: pd.DataFrame, as_read: set[str], marks: Marks, formats: dict[str, str]) -> pd.DataFrame:
    """Text as the numbers, dates, booleans or seconds that it stands for; where a few values of a column stand for
    none, they alone stay text, so that a message can name them."""
    for place, name in enumerate(chunk.columns):
        values = chunk.iloc[:, place]
        plain_already = isinstance(values.dtype, np.dtype) and values.dtype.kind in PLAIN_KINDS
        if name in as_read or plain_already or not chunk.columns.is_unique:
            continue
        column = plain(values, marks, formats.get(name)).values
        if column.dtype.kind == "O" and pd.api.types.infer_dtype(column, skipna=True) == "string":
            written = numbers(values, marks)
            if not written.unfit.all():
                column = pd.Series(written.numbers, index=values.index).astype(object).where(~written.unfit, values)
        chunk[name] = column
    return chunk


def _parquet(path: Path, data: Data, text_columns: set[str], as_it_stands: set[str]) -> Iterator[pd.DataFrame]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS):
            yield _typed(packaged.as_columns(batch.to_pandas()), data, text_columns, as_it_stands)


def _whole(path: Path, data: Data, text_columns: set[str], as_it_stands: set[str]) -> Iterator[pd.DataFrame]:
    excel = path.suffix.lower() in packaged.EXCEL
    frame = packaged.read_sheet(path, data).frame if excel else packaged.read_columns(path, data)
    for start in range(0, len(frame), ROWS):
        yield _typed(frame.iloc[start : start + ROWS], data, text_columns, as_it_stands)


def _typed(chunk: pd.DataFrame, data: Data, text_columns: set[str], as_it_stands: set[str]) -> pd.DataFrame:
    """A chunk of a file that knows its own types; a column that is text to the model has its values as text."""
    chunk = chunk.rename(columns=str)
    for name in text_columns & set(chunk.columns) if chunk.columns.is_unique else ():
        chunk[name] = as_text(chunk[name])
    return _plain(chunk, {*text_columns, *as_it_stands}, marks_of(data), {})


def _guarded(made: Callable[[], Iterator[pd.DataFrame]], given: str, path: Path) -> Iterator[pd.DataFrame]:
    from pyarrow import ArrowException

    try:
        yield from made()
    except pd.errors.EmptyDataError:
        return
    except (ValueError, LookupError, ArrowException, *files.DAMAGED) as error:
        says = f"input={given} cannot be read as a table: {error}".partition("\n")[0].rstrip(". ") + "."
        raise InvalidData(Fault(says, _mend(given, path, error))) from error


def _mend(given: str, path: Path, error: BaseException) -> str:
    if isinstance(error, NoText):
        if not error.ending:
            return again("input=<another file>")
        saved = f"new{error.ending}"
        return f"cat > {saved} && {again(f'input={saved}')}" if given == STDIN else renamed(path, error.ending, "input")
    ending = path.suffix.lower()
    if ending in packaged.ENDINGS:
        return mend_of_packaged(path, error, "input")
    if ending in files.PACKED:
        return again("input=<another file>")
    return f"{again() if given == STDIN else f'head -3 {shlex.quote(given)}'}   ({_how()})"


def _how() -> str:
    settings = ", ".join(f"data.{name}={word(name, mark)}" for name, mark in (("sep", ";"), ("decimal", ",")))
    return f"what is found in the file can be said: {settings}, data.encoding=…, data.header=false"
