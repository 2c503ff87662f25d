"""A table that can be learnt from: read, checked against its .dvc file, its columns made ready for an estimator."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from boston_exp import process
from boston_exp.config.schema import Config, Data
from boston_exp.errors import Fault, InvalidData
from boston_exp.experiment.table import read_bundled, read_csv
from boston_exp.experiment.table_checks import table_faults
from boston_exp.storage.dvc_file import md5, recorded_md5


@dataclass(frozen=True, eq=False)
class Dataset:
    """A table that was read and checked; its rows are numbered from 0.

    X (n_samples, n_features): numbers and booleans as float64, everything else as object, gaps as NaN.
    y (n_samples,): float64.
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

    @cached_property
    def as_read(self) -> pd.DataFrame:
        """Features and target, types as pandas read them."""
        return self.table[[*self.X.columns, self.y.name]]

    @cached_property
    def text_columns(self) -> list[str]:
        return list(self.X.columns[[dtype.kind == "O" for dtype in self.X.dtypes]])

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
        return _checked(config, frame, md5(frame.to_csv(index=False).encode()), f"{data.loader}()", changed=False)
    content = Path(data.path).read_bytes()
    digest = md5(content)
    changed = _differs_from_recorded(data, digest)
    key = (digest, changed, repr(data), config.evaluation.n_splits)
    if key not in _latest:
        dataset = _checked(config, read_csv(data, content), digest, data.path, changed)
        _latest.clear()
        _latest[key] = dataset
    return _latest[key]


_latest: dict[tuple[str, bool, str, int], Dataset] = {}  # one entry: the points of a sweep share their table
process.on_reset(_latest.clear)


def _checked(config: Config, frame: pd.DataFrame, digest: str, source: str, changed: bool) -> Dataset:
    data = config.data
    faults = table_faults(config, frame)
    if faults:
        raise InvalidData(*faults)
    X = frame.drop(columns=[data.target, *data.drop])
    gappy = [name for name in X.columns if is_boolean(X[name])]  # booleans with gaps are objects to pandas
    X = X.astype(dict.fromkeys(gappy, "float64"))
    numeric = X.select_dtypes(include=["number", "bool"]).columns
    X = X.astype({column: "float64" if column in numeric else "object" for column in X.columns})
    label = data.target_label or data.target
    return Dataset(
        name=str(data.name),
        table=frame,
        X=X.where(X.notna(), np.nan) if len(numeric) < X.shape[1] else X,
        y=frame[data.target].astype("float64"),
        md5=digest,
        source=source,
        changed=changed,
        label=f"{label} ({data.target_unit})" if data.target_unit else label,
        unit=data.target_unit or "",
    )


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
