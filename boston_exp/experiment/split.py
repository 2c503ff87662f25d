"""Which rows are held out, and on which of the others each fold fits and scores."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
import pandas as pd

from boston_exp import process
from boston_exp.config.schema import Config
from boston_exp.experiment.dataset import Dataset
from boston_exp.experiment.hold_out import held_out
from boston_exp.experiment.split_checks import check_folds, check_hold_out, check_weights
from boston_exp.experiment.units import CLUSTER, TIME, WEIGHT

QUANTILES = 10  # bins of the target, where rows are stratified by it
Fold = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Bonds:
    """What ties rows together, or sets them apart; the index is the row's number in the table, from 0.

    `clusters` are labels of `data.group`: rows of one are in one part. `times` are the ranks of `data.time`: what is
    held out is later than what is trained on. `weights` are those of `data.weight`. None where there are none.
    """

    clusters: pd.Series | None = None
    times: pd.Series | None = None
    weights: pd.Series | None = None

    def weights_of(self, index: pd.Index) -> np.ndarray | None:
        """What each of these rows counts."""
        return None if self.weights is None else self.weights.loc[index].to_numpy()

    def columns(self, index: pd.Index) -> dict[str, np.ndarray]:
        """As columns `weight`, `cluster` and `time` of a table of these rows."""
        known = {WEIGHT: self.weights, CLUSTER: self.clusters, TIME: self.times}
        return {name: values.loc[index].to_numpy() for name, values in known.items() if values is not None}


@dataclass(frozen=True, eq=False)
class Split:
    """Training and held-out rows; the index of each frame is the row's number in the table, from 0.

    With `data.time` the training rows are in the order of time.
    """

    X_train: pd.DataFrame
    X_test: pd.DataFrame
    y_train: pd.Series
    y_test: pd.Series
    n_splits: int = 0
    seed: int = 0
    n_repeats: int = 1
    stratify: bool = False
    bonds: Bonds = field(default_factory=Bonds)

    @cached_property
    def folds(self) -> list[Fold]:
        """Per fold, the positions among the training rows of those to fit on and of those to score; repetitions follow
        one another."""
        return list(self._folds()) if self.n_splits else []

    def _folds(self) -> Iterator[Fold]:
        from sklearn import model_selection as splitters

        clusters, times = self.bonds.clusters, self.bonds.times
        if times is not None:  # over points in time, not rows: two of the same time are never on both sides
            points, place = np.unique(times.loc[self.X_train.index].to_numpy(), return_inverse=True)
            for earlier, later in splitters.TimeSeriesSplit(self.n_splits).split(points):
                yield np.flatnonzero(np.isin(place, earlier)), np.flatnonzero(np.isin(place, later))
            return
        labels = None if clusters is None else clusters.loc[self.X_train.index].to_numpy()
        bins = quantile_bins(self.y_train, self.n_splits) if self.stratify else None
        for repeat in range(self.n_repeats):
            how = {"n_splits": self.n_splits, "shuffle": True, "random_state": self.seed + repeat}
            if labels is not None:
                splitter = splitters.GroupKFold(**how) if bins is None else splitters.StratifiedGroupKFold(**how)
            else:
                splitter = splitters.KFold(**how) if bins is None else splitters.StratifiedKFold(**how)
            yield from splitter.split(self.X_train, bins, labels)

    def parts(self) -> dict[str, pd.Index]:
        """Row numbers of each part that is fitted on or scored, by its name."""
        train = self.X_train.index
        folds = {f"fold {number}": train[scored] for number, (_, scored) in enumerate(self.folds, 1)}
        return {"the training rows": train, "the held-out rows": self.X_test.index, **folds}

    @cached_property
    def digest(self) -> str:
        """Identifies the rows that are held out, those that each fold fits on and scores, and what each row counts."""
        index = self.X_train.index.to_numpy(dtype=np.int64)
        order = np.argsort(index)
        parts = [np.sort(self.X_test.index.to_numpy(dtype=np.int64)), index[order]]
        for first in range(0, max(1, len(self.folds)), max(1, self.n_splits)):
            fold = np.zeros(len(index), dtype=np.int64)
            for number, (_, scored) in enumerate(self.folds[first : first + self.n_splits], 1):
                fold[scored] = number
            parts.append(fold[order])
        if self.bonds.times is not None:  # a fold does not fit on all the rows that it does not score
            parts.append(np.array([len(inside) for inside, _ in self.folds]))
        if self.bonds.weights is not None:  # scores that are weighed differently cannot be compared
            parts.append(self.bonds.weights.to_numpy(dtype=np.float64).view(np.int64))
        return hashlib.sha256(b"\0".join(part.astype("<i8").tobytes() for part in parts)).hexdigest()[:32]

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        """The points of a sweep split a table anew, each in the same way."""
        return isinstance(other, Split) and other.digest == self.digest


def quantile_bins(y: pd.Series, smallest: int) -> np.ndarray:
    """The bin of each row by quantiles of the target, (n,); fewer bins where they would have less than `smallest` rows
    each."""
    number = max(1, min(QUANTILES, len(y) // max(2, smallest)))
    while number > 1:
        bins = pd.qcut(y, number, labels=False, duplicates="drop").to_numpy()
        if np.unique(bins, return_counts=True)[1].min() >= smallest:
            return bins
        number -= 1
    return np.zeros(len(y), dtype=np.int64)


def split_rows(dataset: Dataset, config: Config) -> Split:
    """Hold out a share of the rows and prepare the folds of the others, with scikit-learn's splitters.

    At random; whole groups with `data.group`, the latest rows with `data.time`, rows of every part of the target's
    range with `evaluation.stratify`. `data.split_seed` alone decides: runs with other seeds, models and parameters have
    the same rows; the points of a sweep share them, and nothing may change them. Raises InvalidData where the groups or
    the times of the table do not allow it.
    """
    return _latest.get((dataset, repr((config.data, config.evaluation))), partial(_split, dataset, config))


_latest = process.Latest[Split]()


def _split(dataset: Dataset, config: Config) -> Split:
    bonds = Bonds(dataset.clusters, dataset.times, dataset.weights)
    check_hold_out(config, dataset)
    train, test = _held_out(dataset, config)
    check_folds(config, dataset, train)
    evaluation = config.evaluation
    split = Split(
        dataset.X.iloc[train],
        dataset.X.iloc[test],
        dataset.y.iloc[train],
        dataset.y.iloc[test],
        evaluation.n_splits,
        config.data.split_seed,
        evaluation.n_repeats,
        evaluation.stratify,
        bonds,
    )
    if bonds.weights is not None:
        check_weights(config, split.parts(), bonds.weights)
    return split


def _held_out(dataset: Dataset, config: Config) -> Fold:
    """Positions of the training and of the held-out rows."""
    from sklearn.model_selection import GroupShuffleSplit, StratifiedGroupKFold, train_test_split

    share, seed = config.data.test_size, config.data.split_seed
    n, rows = len(dataset.y), np.arange(len(dataset.y))
    if dataset.times is not None:
        times = dataset.times.to_numpy()
        order = np.argsort(times, kind="stable")
        cuts = np.flatnonzero(np.diff(times[order])) + 1  # positions between two points in time
        cut = cuts[np.argmin(np.abs(cuts - (n - held_out(n, share))))]
        return order[:cut], order[cut:]
    bins = quantile_bins(dataset.y, max(2, int(np.ceil(1 / share)))) if config.evaluation.stratify else None
    if dataset.clusters is not None:
        if bins is None:
            return next(GroupShuffleSplit(1, test_size=share, random_state=seed).split(rows, groups=dataset.clusters))
        parts = min(max(2, round(1 / share)), dataset.clusters.nunique())
        splitter = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
        return next(splitter.split(rows, bins, dataset.clusters))
    train, test = train_test_split(rows, test_size=held_out(n, share), random_state=seed, stratify=bins)
    return train, test
