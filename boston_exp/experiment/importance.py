"""What a model's predictions rest on."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from boston_exp.experiment.metrics import METRICS
from boston_exp.experiment.models import final_step
from boston_exp.experiment.split import Split

MOST_ROWS, MOST_COLUMNS = 4_000, 200
TOP = 20  # columns at least, which is what the figure shows
MOST_PREDICTED = 250_000  # columns that are shuffled times columns that are predicted from
METRIC = next(metric for metric in METRICS if metric.name == "rmse")


def importance(fitted: BaseEstimator, rows: Split, seed: int) -> pd.DataFrame:
    """A table (feature, importance, std), the most important first; reporting/labels.py says what its numbers are.

    The model's own importances where it has them, else how much the held-out RMSE grows when a column is shuffled. That
    is bounded: at most MOST_ROWS rows, and the MOST_COLUMNS columns that the predictions vary most with, fewer of a
    very wide table; importance and `std` of the others are NaN.
    """
    model = final_step(fitted)
    own = getattr(model, "feature_importances_", None)
    if own is not None:
        names = list(rows.X_train.columns) if model is fitted else list(fitted[:-1].get_feature_names_out())
        table = pd.DataFrame({"feature": names, "importance": own, "std": np.nan})
    else:
        table = _shuffled(fitted, rows, seed)
    return table.sort_values("importance", ascending=False, ignore_index=True)


def _shuffled(fitted: BaseEstimator, rows: Split, seed: int, n_repeats: int = 5) -> pd.DataFrame:
    """Mean and standard deviation, per column, of the RMSE's increase when the column is shuffled.

    What sklearn.inspection.permutation_importance does, with one call of predict per column and not one per repeat: a
    tenth of its time for small models.
    """
    rng, n = np.random.default_rng(seed), min(len(rows.X_test), MOST_ROWS)
    X, y = rows.X_test.iloc[:n], rows.y_test.to_numpy()[:n]
    weights = rows.bonds.columns(X.index).get("weight")
    if weights is not None and not weights.any():
        weights = None
    predicted = np.asarray(fitted.predict(X)).reshape(n)
    base = float(METRIC.score(y, predicted, weights))
    increases = np.full((X.shape[1], 2), np.nan)
    repeated = pd.concat([X] * n_repeats, ignore_index=True)
    for place in _varying(X, predicted):
        shuffles = np.concatenate([rng.permutation(n) for _ in range(n_repeats)])
        table = repeated.copy(deep=False)
        table.isetitem(place, X.iloc[:, place].to_numpy()[shuffles])
        found = METRIC.score(y, np.asarray(fitted.predict(table)).reshape(n_repeats, n), weights) - base
        increases[place] = found.mean(), found.std()
    return pd.DataFrame({"feature": X.columns, "importance": increases[:, 0], "std": increases[:, 1]})


def _varying(X: pd.DataFrame, predicted: np.ndarray) -> list[int]:
    """Positions of the columns that are shuffled; of many those whose values go most with the predictions: by
    correlation, and for text by how far the means of its values are apart (eta)."""
    most = min(MOST_COLUMNS, max(TOP, MOST_PREDICTED // X.shape[1]))
    if X.shape[1] <= most:
        return list(range(X.shape[1]))
    from_mean = predicted - predicted.mean()
    total = float((from_mean**2).sum()) or 1.0
    numbers = np.array([dtype.kind == "f" for dtype in X.dtypes])
    values = X.loc[:, numbers].to_numpy()
    values = np.where(np.isfinite(values), values, np.nanmean(np.where(np.isfinite(values), values, np.nan), axis=0))
    values = values - values.mean(axis=0)
    scale = (values**2).sum(axis=0)
    share = np.zeros(X.shape[1])
    share[numbers] = np.divide((from_mean @ values) ** 2, scale * total, out=np.zeros(len(scale)), where=scale > 0)
    for place in np.flatnonzero(~numbers).tolist():
        groups = pd.Series(from_mean).groupby(X.iloc[:, place].astype(str).to_numpy()).agg(["mean", "size"])
        share[place] = float((groups["mean"] ** 2 * groups["size"]).sum()) / total
    return sorted(np.argsort(-share, kind="stable")[:most].tolist())
