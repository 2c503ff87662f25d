"""What the checks look at: a table, its split, and a model that was evaluated on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from boston_exp.experiment.conformal import once

if TYPE_CHECKING:  # the sweep's main process reads edges.py without scikit-learn
    from sklearn.base import BaseEstimator

    from boston_exp.config.schema import Config
    from boston_exp.experiment.dataset import Dataset
    from boston_exp.experiment.evaluation import Evaluated
    from boston_exp.experiment.split import Split

ROWS = 10_000  # that a check looks at, at most
CELLS = 2_000_000  # of the table that are looked at to rank its columns
SEED = 0  # of the samples: the same run gives the same findings


@dataclass(frozen=True, eq=False)
class Context:
    """`roles` names what columns are: number, category, date, text, identifier or constant; it may be empty."""

    dataset: Dataset
    rows: Split
    evaluated: Evaluated
    estimator: BaseEstimator
    config: Config
    roles: Mapping[str, str] = field(default_factory=dict)
    swept: bool = False  # a point of a sweep, which has to be quick

    @cached_property
    def held_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Actual and predicted target of the held-out rows, each (n_test,)."""
        return self.rows.y_test.to_numpy(np.float64), self.evaluated.test_predicted

    @cached_property
    def out_of_fold(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The same of the training rows, each predicted by a model that was not fitted on it; None without folds."""
        if self.evaluated.folds is None:
            return None
        table = once(self.evaluated.folds.out_of_fold)
        return table["actual"].to_numpy(np.float64), table["predicted"].to_numpy(np.float64)

    @cached_property
    def unseen(self) -> tuple[np.ndarray, np.ndarray]:
        """The same of all rows that were predicted by a model that was not fitted on them."""
        if self.out_of_fold is None:
            return self.held_out
        actual, predicted = zip(self.out_of_fold, self.held_out, strict=True)
        return np.concatenate(actual), np.concatenate(predicted)

    @property
    def is_grouped(self) -> bool:
        return self.config.data.group is not None

    @property
    def is_in_time(self) -> bool:
        return self.config.data.time is not None


def sample(n: int, limit: int = ROWS) -> np.ndarray:
    """Positions of at most `limit` of n rows, in order."""
    if n <= limit:
        return np.arange(n)
    return np.sort(np.random.default_rng(SEED).choice(n, limit, replace=False))


def few(positions: np.ndarray, n_columns: int) -> np.ndarray:
    """So many of the positions that wide tables stay quick, at least 100."""
    return positions[sample(len(positions), max(100, CELLS // max(1, n_columns)))]
