"""What the training rows look like, column by column: what a new table can be compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from boston_exp.experiment.dataset import Dataset, is_boolean
from boston_exp.experiment.grouping import Grouping
from boston_exp.experiment.split import Split
from boston_exp.process import remembered

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
CATEGORIES = 100  # the most frequent of a text column are listed


def profile(dataset: Dataset, rows: Split, known: Mapping[str, Grouping]) -> dict[str, Any]:
    """Rows, and per column (features and target) its type as pandas read it, gaps, and what values it has.

    Numbers: minimum, maximum, mean, std, quantiles. Text, booleans: values with counts, the most frequent first.
    `groups` say how rows are told apart by the `known` groupings.
    """
    return _profile(dataset, rows) | {"groups": {name: grouping.as_json() for name, grouping in known.items()}}


@remembered(maxsize=1)  # the points of a sweep share their rows
def _profile(dataset: Dataset, rows: Split) -> dict[str, Any]:
    table = dataset.as_read.take(rows.X_train.index.to_numpy())
    return {
        "rows": len(table),
        "target": str(dataset.y.name),
        "columns": {str(name): _column(table[name]) | _role(dataset, str(name)) for name in table.columns},
        "read_as": dataset.found.recorded(),
        "left_out": {name: {"role": role.name, "reason": role.reason} for name, role in dataset.left_out.items()},
    }


def _role(dataset: Dataset, name: str) -> dict[str, str]:
    role = dataset.roles.get(name)
    return {"role": role.name, "reason": role.reason} if role else {}


def _column(values: pd.Series) -> dict[str, Any]:
    present = values.dropna()
    described: dict[str, Any] = {"type": column_type(values), "gaps": len(values) - len(present)}
    if described["type"] in ("integer", "number"):
        numbers = present.to_numpy(dtype=np.float64)
        if len(numbers):
            described |= {"min": float(numbers.min()), "max": float(numbers.max())}
            described |= {"mean": float(numbers.mean()), "std": float(numbers.std())}
            marks = np.quantile(numbers, QUANTILES)
            described["quantiles"] = {f"{q:g}": float(mark) for q, mark in zip(QUANTILES, marks, strict=True)}
    elif described["type"] == "datetime":
        described |= {"first": str(present.min()), "last": str(present.max())} if len(present) else {}
    else:
        counts = present.astype(str).value_counts()
        described["distinct"] = len(counts)
        described["categories"] = {str(value): int(count) for value, count in counts.head(CATEGORIES).items()}
    return described


def column_type(values: pd.Series) -> str:
    """`integer`, `number`, `boolean`, `datetime` or `text`; booleans with gaps are objects to pandas."""
    kind = values.dtype.kind
    if is_boolean(values):
        return "boolean"
    return {"i": "integer", "u": "integer", "f": "number", "b": "boolean", "M": "datetime"}.get(kind, "text")
