"""What a model's predictions rest on."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from boston_exp.experiment.metrics import METRICS
from boston_exp.experiment.models import final_step
from boston_exp.experiment.split import Split

MOST_ROWS, MOST_COLUMNS = 4_000, 200
TOP = 20  # columns at least, which is what the figure shows
AT_ONCE = 100_000  # values that are predicted from in one call, unless one column makes more
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
        names = list(rows.X_train.columns) if model is fitted else _made(fitted[:-1])
        table = pd.DataFrame({"feature": names, "importance": own, "std": np.nan})
    else:
        table = _shuffled(fitted, rows, seed)
    return table.sort_values("importance", ascending=False, ignore_index=True)


def bounds(fitted: BaseEstimator, table: pd.DataFrame, rows: Split) -> str:
    """What was left out when columns were shuffled, in words; empty where nothing was."""
    if hasattr(final_step(fitted), "feature_importances_"):
        return ""
    looked_at, n = int(table["importance"].notna().sum()), len(rows.X_test)
    told = [f"{looked_at:,} of {len(table):,} columns"] if looked_at < len(table) else []
    told += [f"{MOST_ROWS:,} of {n:,} held-out rows"] if n > MOST_ROWS else []
    return f"by shuffling, looked at {' and '.join(told)}" if told else ""


def _made(preprocess: Pipeline) -> list[str]:
    """Names of the columns that a preprocess makes: `town_Ulm`, not `town_3.0`, where it numbers categories first."""
    names = [str(name) for name in preprocess.get_feature_names_out()]
    of_values: dict[str, str] = {}
    for _, part, columns in getattr(preprocess.steps[-1][1], "transformers_", []):
        steps = [step for _, step in part.steps] if isinstance(part, Pipeline) else []
        if len(steps) > 1 and isinstance(steps[0], OrdinalEncoder) and isinstance(steps[1], OneHotEncoder):
            for column, values in zip(columns, steps[0].categories_, strict=True):
                known = enumerate(values[~pd.isna(values)])
                of_values |= {f"{column}_{float(code)}": f"{column}_{value}" for code, value in known}
                of_values[f"{column}_-1.0"] = f"{column}_gap"
    return [of_values.get(name, name) for name in names]


def _shuffled(fitted: BaseEstimator, rows: Split, seed: int, n_repeats: int = 5) -> pd.DataFrame:
    """Mean and standard deviation, per column, of the RMSE's increase when the column is shuffled.

    What sklearn.inspection.permutation_importance does, with one call of predict for all repeats of as many columns as
    make AT_ONCE values: of a small table for all of them, a fiftieth of its calls.
    """
    rng = np.random.default_rng(seed)
    chosen = np.arange(len(rows.X_test))
    if len(chosen) > MOST_ROWS:
        chosen = np.sort(rng.choice(chosen, MOST_ROWS, replace=False))
    n, X, y = len(chosen), rows.X_test.iloc[chosen], rows.y_test.to_numpy()[chosen]
    weights = rows.bonds.weights_of(X.index)
    if weights is not None and not weights.any():
        weights = None
    predicted = np.asarray(fitted.predict(X)).reshape(n)
    base = float(METRIC.score(y, predicted, weights))
    increases = np.full((X.shape[1], 2), np.nan)
    places, many = _varying(X, predicted), max(1, AT_ONCE // (X.size * n_repeats))
    for first in range(0, len(places), many):
        some = places[first : first + many]
        table = X.iloc[np.tile(np.arange(n), n_repeats * len(some))].reset_index(drop=True)
        for number, place in enumerate(some):
            shuffles = np.concatenate([rng.permutation(n) for _ in range(n_repeats)])
            column = table.iloc[:, place].to_numpy(copy=True)
            column[number * len(shuffles) :][: len(shuffles)] = X.iloc[:, place].to_numpy()[shuffles]
            table.isetitem(place, column)
        scored = np.asarray(fitted.predict(table)).reshape(len(some), n_repeats, n)
        for place, its in zip(some, scored, strict=True):
            found = METRIC.score(y, its, weights) - base
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
