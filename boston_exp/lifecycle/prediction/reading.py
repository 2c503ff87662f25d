"""New rows, in chunks: a CSV file as `data=csv` reads it, also compressed or from standard input, or a Parquet file."""

from __future__ import annotations

import lzma
import sys
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd

from boston_exp.config.invocation import again
from boston_exp.config.schema import Data
from boston_exp.errors import Fault, InvalidConfig, InvalidData

ROWS = 50_000  # of a chunk
STDIN = "-"
COMPRESSED = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zip": "zip"}


@contextmanager
def chunks(
    given: str, cwd: Path, data: Data, text_columns: set[str], as_it_stands: set[str]
) -> Iterator[Iterator[pd.DataFrame]]:
    """The table that `input=` names, some rows at a time; columns that are text are read as such, and some others as
    they stand in a CSV file, so that nothing of them is lost.

    A progress bar stands on stderr where that is a terminal. Raises InvalidConfig for a file that is not there,
    InvalidData for one that cannot be read as a table.
    """
    if given == STDIN:
        yield _guarded(lambda: _csv(sys.stdin.buffer, None, data, text_columns, as_it_stands), given)
        return
    path = cwd / Path(given).expanduser()
    if not path.is_file():
        raise InvalidConfig(Fault(f"input={given} is not a file.", f"ls {path.parent}"))
    if path.suffix == ".parquet":
        yield _guarded(lambda: _parquet(path), given)
        return
    with _opened(path) as stream:
        yield _guarded(lambda: _csv(stream, COMPRESSED.get(path.suffix), data, text_columns, as_it_stands), given)


def _opened(path: Path) -> Any:
    from rich.console import Console
    from rich.progress import open as open_with_bar

    console = Console(stderr=True)
    if not console.is_terminal:
        return path.open("rb")
    return open_with_bar(path, "rb", description="predicting", console=console, transient=True)


def _csv(
    stream: BinaryIO, compression: Any, data: Data, text_columns: set[str], as_it_stands: set[str]
) -> Iterator[pd.DataFrame]:
    names = list(data.columns) if data.columns else None
    how: dict[str, Any] = {"sep": data.sep, "decimal": data.decimal, "encoding": data.encoding}
    how["engine"] = "c" if len(data.sep) == 1 or data.sep == r"\s+" else "python"
    known = dict.fromkeys(text_columns, str)
    with pd.read_csv(
        stream,
        header=0 if data.header else None,
        names=names,
        index_col=False,
        dtype=known,
        converters=dict.fromkeys(as_it_stands, "={}".format),  # else pandas takes NA and null for gaps
        chunksize=ROWS,
        compression=compression,
        **how,
    ) as found:
        while True:
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)  # that it leaves fields out
                try:
                    chunk = next(found)
                except StopIteration:
                    return
                except pd.errors.ParserWarning as warning:
                    raise ValueError("rows have more fields than there are names for") from warning
            for name in as_it_stands & set(chunk.columns):
                chunk[name] = chunk[name].str[1:]
            yield chunk.rename(columns=str)


def _parquet(path: Path) -> Iterator[pd.DataFrame]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS):
            yield batch.to_pandas().rename(columns=str)


def _guarded(made: Callable[[], Iterator[pd.DataFrame]], given: str) -> Iterator[pd.DataFrame]:
    from pyarrow import ArrowException

    try:
        yield from made()
    except (ValueError, OSError, EOFError, ArrowException, zlib.error, zipfile.BadZipFile, lzma.LZMAError) as error:
        says = f"input={given} cannot be read as a table: {error}".partition("\n")[0].rstrip(". ") + "."
        fit = "(do data.sep, data.decimal, data.encoding and data.header fit it?)"
        packed = Path(given).suffix in (*COMPRESSED, ".parquet")
        mend = again("input=<another file>") if packed else again() if given == STDIN else f"head -3 {given}"
        mend = mend if packed else f"{mend}   {fit}"
        raise InvalidData(Fault(says, mend)) from error
