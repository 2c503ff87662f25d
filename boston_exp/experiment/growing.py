"""Models that grow: trees added to a fitted one give, to the last bit, what fitting all of them at once gives.

By scikit-learn's `warm_start`. Which models keep that promise, and why others do not: docs/decisions/0018-searches.md;
tests/experiment/test_growing.py compares the pickled models byte by byte.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass

from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline

from boston_exp.experiment.models import final_step

# Exact classes of sklearn.ensemble, and the parameter that counts their trees or rounds of boosting.
COUNTS = {
    "RandomForestRegressor": "n_estimators",
    "ExtraTreesRegressor": "n_estimators",
    "GradientBoostingRegressor": "n_estimators",
    "HistGradientBoostingRegressor": "max_iter",
}
# `GradientBoostingRegressor` goes on from its own predictions. Compilers for other machines fuse the multiplication and
# the addition in them, which the first fit has rounded one by one.
UNFUSED = ("x86_64", "AMD64")


@dataclass(frozen=True)
class Begun:
    """A fitted estimator and the seconds that fitting it has taken, all its parts together."""

    fitted: BaseEstimator
    seconds: float


class Growth:
    """Fitted models by the rows that they were fitted on (a fold's number, 0 for all training rows), for a larger one
    of the same evaluation to go on from.

    A model is given away: it grows in place, and whoever had it before must not use it any more.
    """

    def __init__(self, keeps: bool = False) -> None:
        self.keeps = keeps  # whether anything is to grow from what is fitted; folds' models need memory
        self.size: int | None = None  # trees of the models here; None: there are none
        self._begun: dict[int, Begun] = {}

    def take(self, place: int) -> Begun | None:
        return self._begun.pop(place, None)

    def keep(self, place: int, begun: Begun) -> None:
        if self.keeps and not getattr(final_step(begun.fitted), "do_early_stopping_", False):
            self._begun[place] = begun
            self.size = size_of(begun.fitted)


def count_of(estimator: BaseEstimator) -> str | None:
    """The parameter of the model that counts its trees, where it grows bit-identically; else None."""
    model = final_step(estimator)
    kind = type(model)
    name = COUNTS.get(kind.__name__) if kind.__module__.startswith("sklearn.ensemble.") else None
    if name is None or model.warm_start or not isinstance(model.random_state, int):
        return None
    if kind.__name__ == "GradientBoostingRegressor":
        return name if model.n_iter_no_change is None and platform.machine() in UNFUSED else None
    return None if getattr(model, "early_stopping", False) is True else name  # 'auto': `Growth.keep` looks at the fit


def size_of(estimator: BaseEstimator) -> int:
    """How many trees it has, or will have. The model has to be one that grows."""
    model = final_step(estimator)
    return int(getattr(model, COUNTS[type(model).__name__]))


def at_size(estimator: BaseEstimator, size: int) -> BaseEstimator:
    """The same, not fitted, with another number of trees."""
    other = clone(estimator)
    model = final_step(other)
    model.set_params(**{COUNTS[type(model).__name__]: size})
    return other


def continued(begun: BaseEstimator, estimator: BaseEstimator) -> BaseEstimator:
    """`estimator`, whose `fit` adds the trees that the fitted model `begun` lacks; its preprocess is fitted anew."""
    model = final_step(begun)
    model.set_params(**{COUNTS[type(model).__name__]: size_of(estimator)}, warm_start=True)
    if not isinstance(estimator, Pipeline):
        return model
    fresh = clone(estimator)
    return fresh.set_params(**{fresh.steps[-1][0]: model})


def settled(fitted: BaseEstimator) -> BaseEstimator:
    """A model that has grown, as its configuration has it: the next `fit` begins anew."""
    final_step(fitted).set_params(warm_start=False)
    return fitted
