"""Errors told by groups of rows: a model that is good on average can be poor for a part of the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from boston_exp.experiment.dataset import Dataset
from boston_exp.experiment.grouping import COLUMN, Grouping
from boston_exp.experiment.metrics import METRICS
from boston_exp.experiment.split import Split
from boston_exp.process import remembered

UNSEEN = "(never seen in training)"  # the group of all values that are in none


def groupings(dataset: Dataset, rows: Split, slices: Sequence[str]) -> dict[str, Grouping]:
    """By those columns of the table that `data.slices` names."""
    return _groupings(dataset, rows, tuple(slices)) if slices else {}


@remembered(maxsize=1)  # a run tells its rows apart three times, and the points of a sweep share them
def _groupings(dataset: Dataset, rows: Split, slices: tuple[str, ...]) -> dict[str, Grouping]:
    train = rows.X_train.index
    return {name: Grouping.of(dataset.table[name], train) for name in slices if name in dataset.table.columns}


def slices(dataset: Dataset, known: Mapping[str, Grouping], rows: Split, predicted: np.ndarray) -> pd.DataFrame:
    """Every metric of the held-out rows by the groups of each column: (column, group, rows, r2_score, rmse, …).

    `predicted` (n_test,) is in the order of the held-out rows. Quartiles are those of the training rows.
    """
    found = []
    for column, grouping in known.items():
        labels = grouping.labels(dataset.table[column].loc[rows.X_test.index])
        found += by_group(column, grouping, labels, rows.y_test.to_numpy(), predicted)
    return pd.DataFrame(found)


def by_group(
    column: str, grouping: Grouping, labels: np.ndarray, y: np.ndarray, predicted: np.ndarray
) -> list[dict[str, object]]:
    """One row for each group that has rows."""
    found: list[dict[str, object]] = []
    unseen = ~np.isin(labels.astype(str), grouping.names)
    for group, members in (*((group, labels == group) for group in grouping.names), (UNSEEN, unseen)):
        if members.any():
            scores = {metric.name: float(metric.score(y[members], predicted[members])) for metric in METRICS}
            found.append({"column": column, "group": group, "rows": int(members.sum()), **scores})
    return found


def with_groups(table: pd.DataFrame, known: Mapping[str, Grouping], columns: pd.DataFrame) -> pd.DataFrame:
    """A table of rows with the label of each of its rows for each grouping, in columns `group: <name>`."""
    labels = {f"{COLUMN}{name}": grouping.labels(columns[name].loc[table["row"]]) for name, grouping in known.items()}
    return pd.concat([table, pd.DataFrame(labels, index=table.index)], axis=1) if labels else table
