"""Reads a table: a CSV file as pandas reads it, or one of scikit-learn's data sets."""

from __future__ import annotations

import io
import warnings
from typing import Any

import pandas as pd
from hydra.errors import HydraException
from hydra.utils import instantiate

from boston_exp.config.invocation import again
from boston_exp.config.schema import Data
from boston_exp.errors import Fault, InvalidData
from boston_exp.process import remembered


def read_csv(data: Data, content: bytes) -> pd.DataFrame:
    """The table in a file's content, its columns' types as pandas finds them, column names as text.

    Raises InvalidData for a file without rows, and for one that pandas cannot read or would have to guess at.
    """
    look = f"head -3 {data.path}"
    columns = tuple(data.columns) if data.columns else None
    try:
        frame = _parsed(content, data.sep, data.decimal, data.encoding, data.header, columns)
    except pd.errors.EmptyDataError:
        frame = pd.DataFrame()
    except (pd.errors.ParserError, UnicodeDecodeError, LookupError, ValueError) as error:
        says = f"data.path={data.path} cannot be read as a table: {error}".rstrip(". \n") + "."
        settings = "data.sep, data.header, data.columns, data.encoding"
        mend = f"{look}   (then set {settings} to fit, quoted like 'data.sep=\";\"')"
        raise InvalidData(Fault(says, mend)) from error
    if frame.empty:
        mend = f"{look}   (then give data.path=<a table with rows>)"
        raise InvalidData(Fault(f"data.path={data.path} has no rows.", mend))
    return frame.rename(columns=str)


@remembered(maxsize=1)  # the points of a sweep share their table
def _parsed(
    content: bytes, sep: str, decimal: str, encoding: str, header: bool, columns: tuple[str, ...] | None
) -> pd.DataFrame:
    """Raises ValueError where pandas would guess: rows longer than the header, two columns of one name."""
    how: dict[str, Any] = {
        "sep": sep,
        "decimal": decimal,
        "encoding": encoding,
        "engine": "c" if len(sep) == 1 or sep == r"\s+" else "python",
    }
    if columns is None and header:
        first = pd.read_csv(io.BytesIO(content), header=None, nrows=1, dtype=str, **how).iloc[0]
        twice = sorted(set(first[first.duplicated()].dropna()))
        if twice:
            raise ValueError(f"two columns are named {', '.join(twice)}")
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            return pd.read_csv(io.BytesIO(content), header=0 if header else None, names=columns, index_col=False, **how)
        except pd.errors.ParserWarning as warning:
            raise ValueError("rows have more fields than there are names for") from warning


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
