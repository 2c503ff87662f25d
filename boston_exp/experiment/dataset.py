"""A table that can be learnt from: read, checked against its .dvc file, its columns made ready for an estimator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pandas as pd

from boston_exp import process
from boston_exp.config.schema import Config, Data
from boston_exp.errors import Fault, InvalidData
from boston_exp.experiment import roles as known_roles
from boston_exp.experiment.reading.columns import marks_of
from boston_exp.experiment.reading.files import steady
from boston_exp.experiment.reading.found import Found
from boston_exp.experiment.reading.table import Read, read, read_bundled
from boston_exp.experiment.reading.values import numbers
from boston_exp.experiment.role_checks import bond_faults, role_faults
from boston_exp.experiment.roles import DATE, NUMBER, Role
from boston_exp.experiment.table_checks import table_faults
from boston_exp.storage.dvc_file import md5, md5_of, recorded_md5

EXAMPLE = 100  # rows


@dataclass(frozen=True, eq=False)
class Dataset:
    """A table that was read and checked; its rows are numbered from 0.

    X (n_samples, n_features): numbers and booleans as float64, dates as datetime64 or as text of their format where
    `preprocess` takes dates, everything else as object, gaps as NaN. y (n_samples,): float64.
    """

    name: str
    table: pd.DataFrame  # every column, as pandas read it from the file
    X: pd.DataFrame
    y: pd.Series
    md5: str  # of the file, as DVC computes it; of the table as CSV where there is no file
    source: str
    changed: bool  # differs from its .dvc file, and was allowed to
    label: str  # of the target with its unit, for axes
    unit: str
    found: Found = field(default_factory=Found)  # how the file was read, where the configuration left it open
    without_target: int = 0  # rows that were left out, by data.missing_target=drop
    roles: dict[str, Role] = field(default_factory=dict)  # of every column that could be a feature
    clusters: pd.Series | None = None  # text, the group of each row by `data.group`; rows with gaps are one group
    times: pd.Series | None = None  # ranks of `data.time`, from 0
    weights: pd.Series | None = None  # float64, what each row counts by `data.weight`

    @cached_property
    def left_out(self) -> dict[str, Role]:
        """Columns that the preprocess does not take."""
        return {name: role for name, role in self.roles.items() if name not in self.X.columns}

    @cached_property
    def as_read(self) -> pd.DataFrame:
        """Features and target, types as pandas read them."""
        return self.table[[*self.X.columns, str(self.y.name)]]

    def example(self, rows: pd.Index) -> pd.DataFrame:
        """The features of the first of these rows, types as pandas read them, dates as the file has them."""
        found = self.table.loc[rows[:EXAMPLE], list(self.X.columns)]
        for name in self._dates_as_text:
            found[name] = self.X[name].loc[found.index]
        return found

    @cached_property
    def _dates_as_text(self) -> set[str]:
        return {name for name in self.X.columns if name in self.roles and self.roles[name].format}

    @cached_property
    def text_columns(self) -> list[str]:
        """Features that a model would have to take as text, which dates are not."""
        text = self.X.columns[[dtype.kind == "O" for dtype in self.X.dtypes]]
        return [name for name in text if name not in self._dates_as_text]

    @cached_property
    def columns_with_gaps(self) -> list[str]:
        return list(self.X.columns[self.X.isna().any()])


def is_boolean(values: pd.Series) -> bool:
    """Whether a column has booleans and gaps alone."""
    return values.dtype.kind == "O" and pd.api.types.infer_dtype(values, skipna=True) == "boolean"


def load(config: Config) -> Dataset:
    """Read the table, check that it is the one DVC recorded and that it can be split as asked.

    The points of a sweep share what was read: nothing may change it. Raises InvalidData with everything that is wrong.
    """
    data = config.data
    if data.path is None:
        frame = read_bundled(data, config.trusted_packages)
        whole = Read(frame, Found())
        return _checked(config, whole, md5(frame.to_csv(index=False).encode()), f"{data.loader}()", changed=False)
    path = Path(data.path)
    with steady(path):
        pending = process.in_thread(lambda: md5_of(path))  # which releases the GIL, while pandas parses
        changed = recorded_md5(path) is not None and _differs_from_recorded(data, pending.result())
        table = read(data)
        digest = pending.result()
    used = sorted(known_roles.of_preprocess(config.preprocess))
    key = (digest, changed, repr((data, used)), config.evaluation.n_splits)
    return _latest.get(key, partial(_checked, config, table, digest, data.path, changed))


_latest = process.Latest[Dataset]()


def _checked(config: Config, table: Read, digest: str, source: str, changed: bool) -> Dataset:
    data, frame = config.data, table.frame
    faults = table_faults(config, frame)
    if faults:
        raise InvalidData(*faults)
    names = [name for name in frame.columns if name not in (data.target, data.group, data.weight, *data.drop)]
    typed, faults = known_roles.typed(data.roles or [], names)
    frame = _with_numbers(frame, [name for name, role in typed.items() if role == NUMBER], data)
    used = known_roles.of_preprocess(config.preprocess)
    found = known_roles.roles(frame, names, typed, table.found.dates if DATE in used else {})
    features = [name for name in names if known_roles.is_feature(found[name], used)]
    faults += [*bond_faults(data, frame), *role_faults(data, frame, found, features)]
    if faults:
        raise InvalidData(*faults)
    label = data.target_label or data.target
    return Dataset(
        name=str(data.name),
        table=frame,
        X=_features(frame[features], found, DATE in used),
        y=frame[data.target].astype("float64"),
        md5=digest,
        source=source,
        changed=changed,
        label=f"{label} ({data.target_unit})" if data.target_unit else label,
        unit=data.target_unit or "",
        found=table.found,
        without_target=table.without_target,
        roles=found,
        clusters=None if data.group is None else frame[data.group].astype(object).fillna("gap").astype(str),
        times=None if data.time is None else frame[data.time].rank(method="dense").astype("int64") - 1,
        weights=None if data.weight is None else frame[data.weight].astype("float64"),
    )


def _with_numbers(frame: pd.DataFrame, columns: list[str], data: Data) -> pd.DataFrame:
    """Text that the user says is numbers, as such; values that are none become gaps where most are."""
    text = {name: numbers(frame[name], marks_of(data)) for name in columns if frame[name].dtype.kind == "O"}
    most = {name: written.numbers for name, written in text.items() if written.unfit.mean() < 0.5}
    made = frame.copy(deep=False)
    for name, values in most.items():
        made[name] = values
    return made


def _features(X: pd.DataFrame, found: Mapping[str, Role], with_dates: bool) -> pd.DataFrame:
    """As a model takes them; columns that are right as they are stay shared with the table."""
    kinds = {str(name): dtype.kind for name, dtype in X.dtypes.items()}
    # booleans with gaps are objects to pandas, and so is text that the user says is a number
    whole = {name for name, kind in kinds.items() if kind in "iub" or (kind == "O" and found[name].name == NUMBER)}
    dates = [name for name, kind in kinds.items() if with_dates and kind == "M"]
    text = [name for name, kind in kinds.items() if kind != "f" and name not in whole and name not in dates]
    X = X.astype({**dict.fromkeys(whole, "float64"), **dict.fromkeys(text, "object")})
    for name in [name for name in dates if found[name].format]:
        X[name] = _written(X[name], found[name].format)
    for name in [name for name in text if X[name].isna().any()]:
        X[name] = X[name].where(X[name].notna(), np.nan)
    return X


def _written(dates: pd.Series, form: str) -> pd.Series:
    """Dates as the file has them, so that the model learns to read them."""
    codes, distinct = pd.factorize(dates)
    text = np.append(pd.DatetimeIndex(distinct).strftime(form).to_numpy(dtype=object), np.nan)
    return pd.Series(text[codes], index=dates.index, dtype=object)


def _differs_from_recorded(data: Data, digest: str) -> bool:
    path = Path(str(data.path))
    recorded = recorded_md5(path)
    if recorded is None or recorded == digest:
        return False
    if not data.allow_changed:
        raise InvalidData(
            Fault(
                f"{path} is not the file that {path.name}.dvc records (md5 {digest}, recorded {recorded}).",
                f"dvc checkout --force {path}   (gets the recorded one back; to use this one: data.allow_changed=true)",
            )
        )
    return True
