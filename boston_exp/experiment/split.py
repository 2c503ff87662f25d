"""Which rows are held out, and which fold each of the others is in."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from boston_exp.config.schema import Config
from boston_exp.experiment.dataset import Dataset


@dataclass(frozen=True, eq=False)
class Split:
    """Training and held-out rows; the index of each frame is the row's number in the table, from 0."""

    X_train: pd.DataFrame
    X_test: pd.DataFrame
    y_train: pd.Series
    y_test: pd.Series
    n_splits: int = 0
    seed: int = 0

    @cached_property
    def folds(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Per fold, the positions among the training rows of those to fit on and of those to score."""
        from sklearn.model_selection import KFold

        if not self.n_splits:
            return []
        folds = KFold(self.n_splits, shuffle=True, random_state=self.seed)
        return list(folds.split(self.X_train))

    @cached_property
    def digest(self) -> str:
        """Identifies the rows that are held out, and the fold of each of the others."""
        fold = np.zeros(len(self.X_train), dtype=np.int64)
        for number, (_, scored) in enumerate(self.folds, 1):
            fold[scored] = number
        held_out = np.sort(self.X_test.index.to_numpy(dtype=np.int64))
        order = np.argsort(self.X_train.index.to_numpy())
        parts = (held_out, self.X_train.index.to_numpy(dtype=np.int64)[order], fold[order])
        return hashlib.sha256(b"\0".join(part.astype("<i8").tobytes() for part in parts)).hexdigest()[:32]


def split_rows(dataset: Dataset, config: Config) -> Split:
    """Hold out a random share of the rows and prepare the folds of the others, with scikit-learn's splitters.

    `data.split_seed` alone decides: runs with other seeds, models and parameters have the same rows.
    """
    from sklearn.model_selection import train_test_split

    data = config.data
    parts = train_test_split(dataset.X, dataset.y, test_size=data.test_size, random_state=data.split_seed)
    X_train, X_test, y_train, y_test = parts
    return Split(X_train, X_test, y_train, y_test, config.evaluation.n_splits, data.split_seed)
