"""What keeps a table from being split as it is asked: too few groups, too few points in time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from boston_exp.config.invocation import again
from boston_exp.config.schema import Config
from boston_exp.errors import Fault, InvalidData
from boston_exp.experiment.dataset import Dataset


def check_hold_out(config: Config, dataset: Dataset) -> None:
    """Raise InvalidData where groups or times do not allow any rows to be held out."""
    data, faults = config.data, []
    if dataset.clusters is not None:
        number = dataset.clusters.nunique()
        if number < 2 or number - max(1, round(number * data.test_size)) < 1:
            says = f"data.group={data.group} has {_counted(number, 'group')}: none can be held out and one trained on."
            faults.append(Fault(says, again(without=["data.group"])))
    if dataset.times is not None and dataset.times.nunique() < 2:
        says = f"data.time={data.time} is the same in every row: nothing is later than anything else."
        faults.append(Fault(says, again(without=["data.time"])))
    if faults:
        raise InvalidData(*faults)


def check_weights(config: Config, parts: Mapping[str, pd.Index], weights: pd.Series) -> None:
    """Raise InvalidData where all rows of a part count nothing; `parts` are row numbers by the name of the part."""
    empty = [name for name, rows in parts.items() if not weights.loc[rows].any()]
    if empty:
        says = f"data.weight={config.data.weight} is 0 in every row of {', '.join(empty)}: nothing would be scored."
        raise InvalidData(Fault(says, again(f"data.split_seed={config.data.split_seed + 1}")))


def check_folds(config: Config, dataset: Dataset, train: np.ndarray) -> None:
    """Raise InvalidData where the groups or times of the training rows, whose positions are given, are too few."""
    faults = list(_fold_faults(config, dataset, train))
    if faults:
        raise InvalidData(*faults)


def _fold_faults(config: Config, dataset: Dataset, train: np.ndarray) -> Iterator[Fault]:
    data, n_splits = config.data, config.evaluation.n_splits
    if dataset.clusters is not None:
        number, inside = dataset.clusters.nunique(), dataset.clusters.iloc[train].nunique()
        if inside < n_splits:
            says = (
                f"evaluation.n_splits={n_splits} needs as many groups to train on, and of the {number} of "
                f"data.group={data.group} there are {inside}."
            )
            yield Fault(says, again(f"evaluation.n_splits={inside}" if inside > 1 else "evaluation=holdout"))
    if dataset.times is not None and n_splits:
        number, points = dataset.times.nunique(), dataset.times.iloc[train].nunique()
        if points < n_splits + 1:
            says = (
                f"evaluation.n_splits={n_splits} needs {n_splits + 1} points in time to train on, and of the {number} "
                f"of data.time={data.time} there are {points}."
            )
            yield Fault(says, again(f"evaluation.n_splits={points - 1}" if points > 2 else "evaluation=holdout"))


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
