"""Errors told by groups of rows: a model that is good on average can be poor for a part of the table."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pandas as pd

from boston_exp.experiment.dataset import Dataset
from boston_exp.experiment.metrics import METRICS
from boston_exp.experiment.split import Split

FEW = 10  # a column with at most so many values has a group for each; any other number has quartiles


def slices(dataset: Dataset, columns: list[str], rows: Split, predicted: np.ndarray) -> pd.DataFrame:
    """Every metric of the held-out rows by the groups of each column: (column, group, rows, r2_score, rmse, …).

    `predicted` (n_test,) is in the order of the held-out rows. Quartiles are those of the training rows.
    """
    y = rows.y_test.to_numpy()
    found = []
    for column in columns:
        for group, members in _groups(dataset.table[column], rows):
            scores = {metric.name: float(metric.score(y[members], predicted[members])) for metric in METRICS}
            found.append({"column": column, "group": group, "rows": int(members.sum()), **scores})
    return pd.DataFrame(found)


def _groups(values: pd.Series, rows: Split) -> Iterator[tuple[str, np.ndarray]]:
    """A label, and which of the held-out rows belong to it; groups without rows are left out."""
    held_out, train = values.loc[rows.X_test.index], values.loc[rows.X_train.index].dropna()
    if values.dtype.kind in "iuf" and values.nunique() > FEW:
        edges = np.quantile(train.to_numpy(dtype=np.float64), (0.25, 0.5, 0.75))
        quarter = np.digitize(held_out.to_numpy(dtype=np.float64), edges, right=True)  # NaN lands in the last
        bounds = [f"{edge:.4g}" for edge in edges]
        labels = [
            f"≤ {bounds[0]}",
            *(f"{low} to {high}" for low, high in pairwise(bounds)),
            f"> {bounds[2]}",
        ]
        groups = [(label, (quarter == number) & held_out.notna().to_numpy()) for number, label in enumerate(labels)]
    else:
        text = held_out.astype(str).to_numpy()
        groups = [
            (str(value), (text == str(value)) & held_out.notna().to_numpy())
            for value in sorted(train.unique(), key=str)
        ]
    groups.append(("gap", held_out.isna().to_numpy()))
    yield from ((label, members) for label, members in groups if members.any())
