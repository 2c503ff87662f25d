"""The table: read it, check that it is the recorded one and can be learnt from, split it."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from hydra.errors import HydraException
from hydra.utils import instantiate

from boston_exp.config import Config, Data
from boston_exp.errors import Fault, InvalidData, did_you_mean

LARGEST = 1e150  # whose square is still a number


@dataclass(frozen=True)
class Dataset:
    """A table that was read and checked.

    X (n_samples, n_features): numbers as float64, everything else as object, gaps as NaN. y (n_samples,) float64.
    """

    name: str
    X: pd.DataFrame
    y: pd.Series
    md5: str  # of the file, as DVC computes it; of the table as CSV where there is no file
    source: str
    changed: bool  # differs from its .dvc, and was allowed to
    label: str  # of the target with its unit, for axes
    unit: str

    @cached_property
    def table(self) -> pd.DataFrame:
        """Features and target side by side."""
        return pd.concat([self.X, self.y], axis=1)

    @cached_property
    def text_columns(self) -> list[str]:
        return list(self.X.columns[[dtype.kind == "O" for dtype in self.X.dtypes]])

    @cached_property
    def columns_with_gaps(self) -> list[str]:
        return list(self.X.columns[self.X.isna().any()])


@dataclass(frozen=True)
class Split:
    """Training and held-out rows; the index of each frame is the row's number in the table, from 0."""

    X_train: pd.DataFrame
    X_test: pd.DataFrame
    y_train: pd.Series
    y_test: pd.Series


def load(config: Config) -> Dataset:
    """Read the table, check that it is the one DVC recorded and that it can be split as asked.

    The points of a sweep share what was read: nothing may change it. Raises InvalidData with everything that is wrong.
    """
    data = config.data
    if data.path is None:
        frame = _read_bundled(data, config.trusted_packages)
        return _checked(config, frame, _md5(frame.to_csv(index=False).encode()), f"{data.loader}()", changed=False)
    content = Path(data.path).read_bytes()
    md5 = _md5(content)
    changed = _differs_from_recorded(data, md5)
    key = (md5, changed, repr(data), config.evaluation.n_splits)
    if key not in _latest:
        dataset = _checked(config, _read_csv(data, content), md5, data.path, changed)
        _latest.clear()
        _latest[key] = dataset
    return _latest[key]


_latest: dict[tuple[str, bool, str, int], Dataset] = {}


def _checked(config: Config, frame: pd.DataFrame, md5: str, source: str, changed: bool) -> Dataset:
    data = config.data
    faults = list(_column_faults(data, frame)) or [
        *_value_faults(data, frame),
        *_size_faults(config, len(frame)),
    ]
    if faults:
        raise InvalidData(*faults)
    X = frame.drop(columns=[data.target, *data.drop])
    numeric = X.select_dtypes(include=["number", "bool"]).columns
    X = X.astype({column: "float64" if column in numeric else "object" for column in X.columns})
    label = data.target_label or data.target
    return Dataset(
        name=data.name,
        X=X.where(X.notna(), np.nan) if len(numeric) < X.shape[1] else X,
        y=frame[data.target].astype("float64"),
        md5=md5,
        source=source,
        changed=changed,
        label=f"{label} ({data.target_unit})" if data.target_unit else label,
        unit=data.target_unit or "",
    )


def split(dataset: Dataset, test_size: float, seed: int) -> Split:
    """Hold out a random share of the rows, the same for the same seed, with scikit-learn's train_test_split."""
    from sklearn.model_selection import train_test_split

    return Split(*train_test_split(dataset.X, dataset.y, test_size=test_size, random_state=seed))


def md5_of(path: Path) -> str:
    """The md5 of a file, as DVC computes it."""
    return _md5(path.read_bytes())


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def recorded_md5(path: Path) -> str | None:
    """The md5 that `<path>.dvc` has for the file, or None where the file is not under DVC."""
    pointer = path.with_name(path.name + ".dvc")
    if not pointer.is_file():
        return None
    try:
        outs = yaml.safe_load(pointer.read_text())["outs"]
        return next((out.get("md5") for out in outs if out.get("path") == path.name), None)
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise InvalidData(Fault(f"{pointer} is not a .dvc file.", f"dvc add {path}   (writes it anew)")) from error


def _differs_from_recorded(data: Data, md5: str) -> bool:
    path = Path(str(data.path))
    recorded = recorded_md5(path)
    if recorded is None or recorded == md5:
        return False
    if not data.allow_changed:
        raise InvalidData(
            Fault(
                f"{path} is not the file that {path.name}.dvc records (md5 {md5}, recorded {recorded}).",
                f"dvc checkout --force {path}   (gets the recorded one back; to use this one: data.allow_changed=true)",
            )
        )
    return True


def _read_csv(data: Data, content: bytes) -> pd.DataFrame:
    try:
        frame = _parsed(content, data)
    except pd.errors.EmptyDataError:
        frame = pd.DataFrame()
    except (pd.errors.ParserError, UnicodeDecodeError, LookupError, ValueError) as error:
        raise InvalidData(
            Fault(
                f"data.path={data.path} cannot be read as a table: {error}".rstrip(". \n") + ".",
                f"head -3 {data.path}   (then set data.sep, data.header, data.columns, data.encoding to fit, "
                "quoted like 'data.sep=\";\"')",
            )
        ) from error
    if frame.empty:
        raise InvalidData(
            Fault(
                f"data.path={data.path} has no rows.",
                f"head -3 {data.path}   (then give data.path=<a table with rows>)",
            )
        )
    return frame.rename(columns=str)


def _parsed(content: bytes, data: Data) -> pd.DataFrame:
    columns = tuple(data.columns) if data.columns else None
    return _table(content, data.sep, data.decimal, data.encoding, data.header, columns)


@lru_cache(maxsize=1)  # the points of a sweep share their table
def _table(
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


def _read_bundled(data: Data, trusted: list[str]) -> pd.DataFrame:
    try:
        bunch = instantiate(
            {"_target_": data.loader, "as_frame": True},
            _execution_whitelist_=[f"{package}.*" for package in trusted],
        )
        frame: pd.DataFrame = bunch.frame
    except (HydraException, ImportError, OSError, TypeError, ValueError, AttributeError) as error:
        cause = str(error.__cause__ or error).partition("\n")[0].rstrip(".")
        raise InvalidData(
            Fault(
                f"data.loader={data.loader} gives no table: {cause}.",
                "python -m boston_exp.run data=diabetes   (a loader takes as_frame=True, as in sklearn.datasets)",
            )
        ) from error
    return frame


def _column_faults(data: Data, frame: pd.DataFrame) -> Iterator[Fault]:
    columns = list(frame.columns)
    shown = ", ".join(columns[:20]) + (", …" if len(columns) > 20 else "")
    if data.target not in columns:
        hint = did_you_mean(data.target, columns)
        if len(columns) == 1:
            hint = " The whole line was read as one column: is data.sep right?"
        yield Fault(
            f"data.target={data.target} is not a column of {data.path or data.loader}.{hint} Columns: {shown}.",
            "python -m boston_exp.run … data.target=<column>",
        )
    for name in data.drop:
        if name not in columns:
            yield Fault(
                f"data.drop: {name} is not a column of {data.path or data.loader}."
                f"{did_you_mean(name, columns)} Columns: {shown}.",
                "python -m boston_exp.run … 'data.drop=[<column>]'",
            )
        elif name == data.target:
            yield Fault(f"data.drop: {name} is the target.", "python -m boston_exp.run … data.target=<other column>")
    if not set(columns) - {data.target, *data.drop}:
        yield Fault(
            "No column is left to predict from.",
            "python -m boston_exp.run … data.drop=[]   (or another data.sep)",
        )


def _value_faults(data: Data, frame: pd.DataFrame) -> Iterator[Fault]:
    y = frame[data.target]
    gaps = np.flatnonzero(y.isna())
    if gaps.size:
        yield Fault(
            f"data.target={data.target} has no value in {gaps.size} of {len(y)} rows{_where(data, gaps)}.",
            "fill or delete those rows, then run again (a target is never invented)",
        )
    if not pd.api.types.is_numeric_dtype(y):
        bad = np.flatnonzero(pd.to_numeric(y, errors="coerce").isna() & y.notna())
        example = f", for example {y.iloc[bad[0]]!r}" if bad.size else ""
        yield Fault(
            f"data.target={data.target} is not numeric{example}{_where(data, bad)}.",
            "python -m boston_exp.run … data.target=<numeric column>   (this runner does regression)",
        )
    elif len(y) > 1 and not gaps.size and (y.max() == y.min() or y.abs().max() > LARGEST):
        problem = f"is {y.iloc[0]} in every row" if y.max() == y.min() else f"has values beyond {LARGEST:g}"
        yield Fault(
            f"data.target={data.target} {problem}: there is nothing to learn.",
            "python -m boston_exp.run … data.target=<another column>",
        )
    numbers = frame.select_dtypes("number")
    infinite = [str(column) for column in numbers.columns if np.isinf(numbers[column]).any()]
    if infinite:
        yield Fault(
            f"Columns with infinite values: {', '.join(infinite)}.",
            f"python -m boston_exp.run … 'data.drop=[{','.join(infinite)}]'   (or mend the file)",
        )


def _where(data: Data, rows: np.ndarray) -> str:
    """Rows as lines of the file, which is where the user will look."""
    if data.path is None or not rows.size:
        return ""
    first = 2 if data.header else 1
    lines = ", ".join(str(row + first) for row in rows[:5])
    return f" (line {lines}{', …' if rows.size > 5 else ''})"


def _size_faults(config: Config, n_samples: int) -> Iterator[Fault]:
    n_test = int(np.ceil(n_samples * config.data.test_size))
    n_train, n_splits = n_samples - n_test, config.evaluation.n_splits
    if n_train < 2 or n_test < 2:
        yield Fault(
            f"{n_samples} rows with data.test_size={config.data.test_size} give {n_train} to train on "
            f"and {n_test} to test on; both need 2.",
            "python -m boston_exp.run … data.test_size=0.5   (or a table with more rows)",
        )
    elif n_train < n_splits:
        yield Fault(
            f"evaluation.n_splits={n_splits} needs as many training rows, there are {n_train}.",
            f"python -m boston_exp.run … evaluation.n_splits={max(2, min(5, n_train))}",
        )
