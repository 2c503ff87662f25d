"""What keeps a table from being split as it is asked: too few groups, too few points in time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from boston_exp.config.invocation import again
from boston_exp.config.schema import Config
from boston_exp.errors import Fault, InvalidData
from boston_exp.experiment.dataset import Dataset


def check_split(config: Config, dataset: Dataset) -> None:
    """Raise InvalidData where groups or times do not allow the hold-out and the folds that are configured."""
    faults = list(_faults(config, dataset))
    if faults:
        raise InvalidData(*faults)


def check_weights(config: Config, parts: Mapping[str, pd.Index], weights: pd.Series | None) -> None:
    """Raise InvalidData where all rows of a part count nothing; `parts` are row numbers by the name of the part."""
    if weights is None:
        return
    empty = [name for name, rows in parts.items() if not weights.loc[rows].any()]
    if empty:
        says = f"data.weight={config.data.weight} is 0 in every row of {', '.join(empty)}: nothing would be scored."
        raise InvalidData(Fault(says, again(f"data.split_seed={config.data.split_seed + 1}")))


def _faults(config: Config, dataset: Dataset) -> Iterator[Fault]:
    data, n_splits = config.data, config.evaluation.n_splits
    if dataset.clusters is not None:
        number = dataset.clusters.nunique()
        held_out = max(1, round(number * data.test_size))
        inside = number - held_out
        if number < 2 or inside < 1:
            says = f"data.group={data.group} has {_counted(number, 'group')}: none can be held out and one trained on."
            yield Fault(says, again(without=["data.group"]))
        elif inside < n_splits:
            says = (
                f"evaluation.n_splits={n_splits} needs as many groups to train on, and of the {number} of "
                f"data.group={data.group} there are {inside}."
            )
            fewer = f"evaluation.n_splits={inside}" if inside > 1 else "evaluation=holdout"
            yield Fault(says, again(fewer))
    if dataset.times is not None:
        number = dataset.times.nunique()
        if number < 2:
            says = f"data.time={data.time} is the same in every row: nothing is later than anything else."
            yield Fault(says, again(without=["data.time"]))
        elif n_splits and number * (1 - data.test_size) < n_splits + 1:
            points = int(number * (1 - data.test_size))
            says = (
                f"evaluation.n_splits={n_splits} needs {n_splits + 1} points in time to train on, and of the {number} "
                f"of data.time={data.time} there are {points}."
            )
            fewer = f"evaluation.n_splits={points - 1}" if points > 2 else "evaluation=holdout"
            yield Fault(says, again(fewer))


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
