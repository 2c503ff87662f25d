"""Is the model worth its trouble: better than the mean, and no worse than a default gradient boosting?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from boston_exp import process
from boston_exp.config.invocation import again
from boston_exp.experiment import threads
from boston_exp.experiment.checks.columns import as_numbers, most_correlated
from boston_exp.experiment.checks.context import ROWS, Context, few, sample
from boston_exp.experiment.checks.finding import Finding
from boston_exp.experiment.models import final_step

FEWEST = 20  # rows, without which nothing can be said
LITTLE = 0.1  # R², below which noise is asked about
ONE_SIDED = 1.645  # standard errors: 5 %
WORSE = 1.05  # times the RMSE of the reference
BEYOND_NOISE = 2.63  # standard errors: 1 % of Student's t at some hundred rows, two-sided
COLUMNS = 200  # that the reference is given, at most: those most correlated with the target
MOST_CATEGORIES = 255  # that HistGradientBoostingRegressor takes; a column with more is taken by its codes
WITHOUT_MEANING = ("identifier", "text", "constant")  # roles of columns that the reference is not given
REFERENCE = "HistGradientBoostingRegressor"


def no_better_than_the_mean(context: Context) -> Finding | None:
    """BX101: rows that the model was not fitted on are predicted no better than by the mean of the training rows.

    By all such rows, those of the folds included. A small R² alone fires where it cannot be told from noise.
    """
    actual, predicted = context.unseen
    if len(actual) < FEWEST:
        return None
    mean = float(context.rows.y_train.mean())
    of_mean, of_model = (actual - mean) ** 2, (actual - predicted) ** 2
    if of_mean.sum() == 0:
        return None
    explained = 1 - float(of_model.sum() / of_mean.sum())
    t = paired_t(of_mean, of_model)
    if explained > 0 and (explained >= LITTLE or t > ONE_SIDED):
        return None
    says = f"No better than the mean: R² {explained:.3f} over {len(actual):,} rows it was not fitted on (t = {t:.1f})."
    model = "random_forest" if type(final_step(context.estimator)).__name__ == REFERENCE else "hist_gradient_boosting"
    mend = f"{again(f'model={model}', without=['model'])}   (if that is no better, the columns do not tell the target)"
    return Finding("BX101", says, mend, explained)


def worse_than_boosting(context: Context) -> Finding | None:
    """BX102: a default HistGradientBoosting has a held-out RMSE smaller by more than 5 %, and beyond noise."""
    if context.swept or type(final_step(context.estimator)).__name__ == REFERENCE:
        return None
    actual, predicted = context.held_out
    chosen = sample(len(actual))
    actual, predicted = actual[chosen], predicted[chosen]
    if len(actual) < FEWEST:
        return None
    own, other = (actual - predicted) ** 2, (actual - _reference(context, chosen)) ** 2
    ratio, t = float(np.sqrt(own.mean() / other.mean())), paired_t(own, other)
    if ratio <= WORSE or t <= BEYOND_NOISE:
        return None
    says = f"Its held-out RMSE is {ratio:.2f} times that of a default HistGradientBoosting (paired t = {t:.1f})."
    return Finding("BX102", says, again("model=hist_gradient_boosting", without=["model"]), ratio)


def paired_t(a: np.ndarray, b: np.ndarray) -> float:
    """How many standard errors the losses `a` lie above `b`, row by row; 0 where they are the same."""
    difference = a - b
    error = float(difference.std(ddof=1)) / np.sqrt(len(difference))
    return float(difference.mean()) / error if error > 0 else 0.0


_predicted: dict[tuple[str, str, str, tuple[str, ...]], np.ndarray] = {}  # one entry: one fit a table and split
process.on_reset(_predicted.clear)


def _reference(context: Context, chosen: np.ndarray) -> np.ndarray:
    """What the reference predicts for these held-out rows; fitted on at most 10,000 training rows, in one thread:
    OpenMP's threads spin where others work."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    rows, roles = context.rows, context.roles
    columns = rows.X_train.columns[[roles.get(name) not in WITHOUT_MEANING for name in rows.X_train.columns]]
    key = (context.dataset.md5, rows.digest, str(rows.y_train.name), tuple(map(str, columns)))
    if key not in _predicted:
        train = sample(len(rows.X_train), ROWS)
        y = rows.y_train.to_numpy(np.float64)
        if len(columns) > COLUMNS:
            ranked = few(train, len(columns))
            matrix, _ = as_numbers(rows.X_train[columns].iloc[ranked], roles)
            columns = columns[most_correlated(matrix, y[ranked], COLUMNS)]
        together = pd.concat([rows.X_train[columns].iloc[train], rows.X_test[columns].iloc[chosen]])
        X = _as_boosting_takes(together, len(train), roles)
        with threads.pools().limit(limits=1):
            fitted = HistGradientBoostingRegressor(random_state=0).fit(X[: len(train)], y[train])
            predicted = fitted.predict(X[len(train) :])
        _predicted.clear()
        _predicted[key] = predicted
    return _predicted[key]


def _as_boosting_takes(X: pd.DataFrame, n_train: int, roles: Mapping[str, str]) -> pd.DataFrame:
    """Numbers as they are, dates in days, categories of pandas where they are few, else codes; the first `n_train` rows
    are those to fit on."""
    matrix, categorical = as_numbers(X, roles)
    matrix[:, np.isnan(matrix[:n_train]).all(axis=0)] = 0  # boosting cannot bin a column without a value
    frame = pd.DataFrame(matrix, columns=[f"x{place}" for place in range(matrix.shape[1])])
    for place in np.flatnonzero(categorical):
        known = np.unique(matrix[:n_train, place])
        known = known[~np.isnan(known)]
        if 0 < len(known) <= MOST_CATEGORIES:
            frame[f"x{place}"] = pd.Categorical(frame[f"x{place}"], categories=known)
    return frame


CHECKS = (no_better_than_the_mean, worse_than_boosting)
