"""Predictions as CSV or Parquet, written as they come, and there whole or not at all."""

from __future__ import annotations

import errno
import gzip
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from boston_exp.config.invocation import again
from boston_exp.errors import Fault, InvalidConfig
from boston_exp.storage.folders import new_file_mode

STDOUT = "-"
OTHER = (".xlsx", ".xls", ".ods", ".feather", ".json", ".zip", ".bz2", ".xz")


@contextmanager
def written(given: str, cwd: Path, untouched: list[Path]) -> Iterator[Rows]:
    """Somewhere to put rows: `-` for standard output, `….parquet`, `….csv.gz`, else CSV.

    A file takes its place once everything is in it; what is no plain file (a pipe, a device) is written as it goes.
    Raises InvalidConfig where it cannot be written, or is one of those that must not be `untouched`.
    """
    if given == STDOUT:
        with _unwritable(given):
            yield Rows(sys.stdout.buffer, parquet=False)
            sys.stdout.buffer.flush()
        return
    path = Path(os.path.realpath(cwd / Path(given).expanduser()))  # through links, to what they lead to
    if any(each.exists() and path.exists() and each.samefile(path) for each in untouched):
        says = f"output={given} would replace what is read."
        raise InvalidConfig(Fault(says, again("output=predictions.csv")))
    if path.suffix.lower() in OTHER:
        says = f"output={given}: {path.suffix} is not written; CSV (also .gz) and Parquet are."
        raise InvalidConfig(Fault(says, again(f"output={path.stem}.csv")))
    if path.exists() and not path.is_file() and not path.is_dir():
        with _unwritable(given), path.open("wb") as stream:
            yield Rows(stream, parquet=False)
        return
    with _unwritable(given):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(21, "it is a folder")
        descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with _unwritable(given):
            with os.fdopen(descriptor, "wb") as plain, _packed(plain, path) as stream:
                rows = Rows(stream, parquet=path.suffix == ".parquet")
                yield rows
                rows.close()
            Path(draft).chmod(new_file_mode())
            Path(draft).replace(path)
    finally:
        with suppress(FileNotFoundError):
            Path(draft).unlink()


@contextmanager
def _unwritable(given: str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # whoever reads has seen enough
        raise
    except OSError as error:
        says = f"output={given} cannot be written: {error.strerror or error}."
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        mend = "df -h .   (free some space, then run again)" if full else again("output=predictions.csv")
        raise InvalidConfig(Fault(says, mend)) from error


def _packed(plain: Any, path: Path) -> Any:
    return gzip.GzipFile(fileobj=plain, mode="wb", mtime=0) if path.suffix == ".gz" else nullcontext(plain)


class Rows:
    """An open file of rows; the first rows decide its columns."""

    def __init__(self, stream: Any, parquet: bool) -> None:
        self._stream = stream
        self._parquet = parquet
        self._writer: Any = None
        self._schema: Any = None

    def add(self, columns: dict[str, Any]) -> None:
        """Columns of one length each: arrays, or series."""
        table = pa.table({name: _array(values) for name, values in columns.items()})
        if self._writer is None:
            self._schema = table.schema
            self._writer = self._made(table.schema)
        try:
            self._writer.write_table(table.cast(self._schema))
        except pa.ArrowInvalid as error:
            says = f"The columns change their types within the input: {error}".partition("\n")[0]
            raise InvalidConfig(Fault(says, again("keep=[]"))) from error

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _made(self, schema: pa.Schema) -> Any:
        if self._parquet:
            import pyarrow.parquet as pq

            return pq.ParquetWriter(self._stream, schema)
        from pyarrow import csv

        plain = not any(set(name) & set(',"\r\n') for name in schema.names)
        how = csv.WriteOptions(quoting_style="needed", quoting_header="none" if plain else "needed")
        return csv.CSVWriter(self._stream, schema, write_options=how)


def _array(values: Any) -> pa.Array:
    if isinstance(values, pd.Series) and values.dtype.kind not in "fiubM":
        return pa.array(values.astype(object).where(values.notna(), None).map(_text), pa.string())
    return pa.array(values, from_pandas=True)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
