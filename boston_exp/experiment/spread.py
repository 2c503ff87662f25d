"""How much a model disagrees with itself about a row, where it can say: the raw material of intervals."""

from __future__ import annotations

import inspect

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from boston_exp.experiment.models import final_step


def spread(fitted: BaseEstimator, X: pd.DataFrame) -> np.ndarray | None:
    """A standard deviation for each row, (n,), in the target's unit; None where the model has none.

    Over the trees of a forest, or what `predict(…, return_std=True)` gives (Gaussian processes, Bayesian ridge).
    """
    model = final_step(fitted)
    given = fitted[:-1].transform(X) if isinstance(fitted, Pipeline) and len(fitted) > 1 else X
    if "ForestRegressor" in {kind.__name__ for kind in type(model).__mro__}:
        dense: np.ndarray = given.toarray() if issparse(given) else np.asarray(given)  # type: ignore[operator]
        values = np.ascontiguousarray(dense, dtype=np.float32)  # what trees are grown on
        return np.std([tree.tree_.predict(values)[:, 0] for tree in model.estimators_], axis=0)
    if "return_std" in inspect.signature(model.predict).parameters:
        return np.asarray(model.predict(given, return_std=True)[1], dtype=np.float64).reshape(len(X))
    return None
