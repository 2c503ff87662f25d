"""Predictions as CSV or Parquet, written as they come, and there whole or not at all."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from boston_exp.config.invocation import again
from boston_exp.errors import Fault, InvalidConfig

STDOUT = "-"


@contextmanager
def written(given: str, cwd: Path) -> Iterator[Rows]:
    """Somewhere to put rows: `-` for standard output, `….parquet`, else CSV.

    A file takes its place once everything is in it. Raises InvalidConfig where it cannot be written.
    """
    if given == STDOUT:
        yield Rows(sys.stdout.buffer, parquet=False)
        sys.stdout.buffer.flush()
        return
    path = cwd / Path(given).expanduser()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(21, "it is a folder")
        descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except OSError as error:
        says = f"output={given} cannot be written: {error.strerror or error}."
        raise InvalidConfig(Fault(says, again("output=predictions.csv"))) from error
    try:
        with os.fdopen(descriptor, "wb") as stream:
            rows = Rows(stream, parquet=path.suffix == ".parquet")
            yield rows
            rows.close()
        os.chmod(draft, 0o666 & ~_umask())  # noqa: PTH101
        Path(draft).replace(path)
    except OSError as error:
        if error.errno in (28, 122):  # no space, over quota
            says = f"output={given} cannot be written: {error.strerror}."
            raise InvalidConfig(Fault(says, f"df -h {path.parent}   (free some space, then run again)")) from error
        raise
    finally:
        with suppress(FileNotFoundError):
            Path(draft).unlink()


class Rows:
    """An open file of rows; the first rows decide its columns."""

    def __init__(self, stream: Any, parquet: bool) -> None:
        self._stream = stream
        self._parquet = parquet
        self._writer: Any = None

    def add(self, columns: dict[str, Any]) -> None:
        """Columns of one length each: arrays, or series."""
        table = pa.table({name: _array(values) for name, values in columns.items()})
        if self._writer is None:
            self._writer = self._made(table.schema)
        self._writer.write_table(table.cast(self._writer.schema if self._parquet else table.schema))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _made(self, schema: pa.Schema) -> Any:
        if self._parquet:
            import pyarrow.parquet as pq

            return pq.ParquetWriter(self._stream, schema)
        from pyarrow import csv

        return csv.CSVWriter(
            self._stream, schema, write_options=csv.WriteOptions(quoting_style="needed", quoting_header="none")
        )


def _array(values: Any) -> pa.Array:
    if isinstance(values, pd.Series) and values.dtype.kind not in "fiubM":
        return pa.array(values.astype(object).where(values.notna(), None).map(_text), pa.string())
    return pa.array(values, from_pandas=True)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
