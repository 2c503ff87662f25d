"""Does the model know what it should not: a column that is the target, rows that it was fitted on?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from boston_exp.config.invocation import again, quoted_list
from boston_exp.experiment.checks.columns import as_numbers, as_text
from boston_exp.experiment.checks.context import SEED, Context, few, sample
from boston_exp.experiment.checks.finding import Finding

SAYS_ALL = 0.99  # R² of one column alone
FEWEST = 30  # training rows
LIKELY, CANDIDATES = 0.1, 5  # share of the variance that neighbours leave, below which a column is tried; so many are
FOLDS = 5  # where the run has none
LEAF = 3  # rows of a leaf: a leaf of one row would learn the noise
REPEATED = 0.01  # share of the held-out rows
BY_CHANCE = 10  # times as many as chance repeats in a table of few distinct values


def one_column_says_all(context: Context) -> Finding | None:
    """BX201: one of several columns alone predicts the training rows out of fold with R² above 0.99.

    Columns are ranked by how much the target differs between neighbours in them, the likely ones are tried.
    """
    rows = context.rows
    n_rows, n_columns = rows.X_train.shape
    if n_columns < 2 or n_rows < FEWEST:
        return None
    chosen = sample(n_rows)
    ranked = few(chosen, n_columns)
    y = rows.y_train.to_numpy(np.float64)
    matrix, _ = as_numbers(rows.X_train.iloc[ranked], context.roles)
    left = left_by_neighbours(matrix, y[ranked])
    likely = [place for place in np.argsort(left, kind="stable")[:CANDIDATES] if left[place] < LIKELY]
    found = [(_alone(rows.X_train.iloc[chosen, [place]], y[chosen], context), place) for place in likely]
    best, place = max(found, default=(0.0, 0))
    if best <= SAYS_ALL:
        return None
    column = str(rows.X_train.columns[place])
    says = f"The column {column!r} alone predicts the target in the folds (R² {best:.4f}): is it known beforehand?"
    return Finding("BX201", says, again(f"data.drop={quoted_list([*context.config.data.drop, column])}"), best)


def left_by_neighbours(matrix: np.ndarray, y: np.ndarray) -> np.ndarray:
    """For each column the share of the target's variance that is left between neighbours in it, (n_columns,).

    Half the mean squared difference of successive targets, ordered by the column: Rice (1984), about 1 for a column
    that says nothing, and about 1 - R² of the best smooth function of the others.
    """
    if np.ptp(y) == 0:
        return np.ones(matrix.shape[1])
    order = np.argsort(matrix, axis=0, kind="stable")
    return (np.diff(y[order], axis=0) ** 2).mean(axis=0) / (2 * y.var())


def _alone(X: pd.DataFrame, y: np.ndarray, context: Context) -> float:
    """R² out of fold of the better of a line and a tree on one column; a category is taken by its mean in the fold."""
    from sklearn.model_selection import KFold
    from sklearn.tree import DecisionTreeRegressor

    matrix, categorical = as_numbers(X, context.roles)
    x = matrix[:, 0]
    n_splits = context.rows.n_splits or FOLDS
    line, tree = np.empty(len(y)), np.empty(len(y))
    for inside, outside in KFold(n_splits, shuffle=True, random_state=context.rows.seed).split(x):
        mean = y[inside].mean()
        if categorical[0]:
            means = pd.Series(y[inside]).groupby(x[inside]).mean()
            line[outside] = tree[outside] = pd.Series(x[outside]).map(means).fillna(mean).to_numpy()
            continue
        known = inside[~np.isnan(x[inside])]
        if len(known) < 2 * LEAF:
            return 0.0
        centre, spread = x[known].mean(), x[known].var()
        slope = ((x[known] - centre) * (y[known] - y[known].mean())).mean() / spread if spread > 0 else 0.0
        line[outside] = np.where(np.isnan(x[outside]), mean, y[known].mean() + slope * (x[outside] - centre))
        made = DecisionTreeRegressor(min_samples_leaf=LEAF, random_state=SEED).fit(matrix[inside], y[inside])
        tree[outside] = made.predict(matrix[outside])
    spread = ((y - y.mean()) ** 2).sum()
    return 1 - float(min(((y - line) ** 2).sum(), ((y - tree) ** 2).sum()) / spread) if spread > 0 else 0.0


def rows_on_both_sides(context: Context) -> Finding | None:
    """BX202: more than 1 % of the held-out rows are training rows too, features and target.

    Column by column, only training rows that still equal some held-out one are looked at. A table with few distinct
    values repeats rows by chance, which does not fire.
    """
    rows = context.rows
    if rows.X_train.shape[1] == 0:
        return None
    chosen = sample(len(rows.X_test))
    y_train = rows.y_train.to_numpy(np.float64)
    left = np.arange(len(y_train))
    test_keys, train_keys = _hashed(rows.y_test.iloc[chosen]), _hashed(rows.y_train)
    for place in _most_telling_first(rows.X_test.iloc[chosen]):
        kept = np.isin(train_keys, test_keys)
        left, train_keys = left[kept], train_keys[kept]
        if not len(left):
            return None
        test_keys = _combined(test_keys, _hashed(rows.X_test.iloc[chosen, place]))
        train_keys = _combined(train_keys, _hashed(rows.X_train.iloc[left, place]))
    repeated = np.isin(test_keys, train_keys)
    share = float(repeated.mean())
    if share <= REPEATED or share <= BY_CHANCE * _by_chance(context, chosen, test_keys):
        return None
    says = f"{100 * share:.0f} % of the held-out rows are training rows too, features and target: scores are too good."
    mend = f"{again('data.path=<the table without its repeated rows>')}   (pandas: DataFrame.drop_duplicates)"
    return Finding("BX202", says, mend, share)


def _hashed(column: pd.Series) -> np.ndarray:
    if column.dtype.kind == "f":
        return pd.util.hash_array(column.to_numpy(np.float64) + 0.0)  # -0.0 is 0.0
    return pd.util.hash_array(as_text(column).to_numpy(object))


def _combined(keys: np.ndarray, more: np.ndarray) -> np.ndarray:
    return (keys * np.uint64(0x9E3779B97F4A7C15)) ^ more


def _most_telling_first(X: pd.DataFrame) -> list[int]:
    """Places of the columns, numbers first: they are hashed quickly, and after one of them hardly a row is left."""
    kinds = [dtype.kind for dtype in X.dtypes]
    return sorted(range(X.shape[1]), key=lambda place: kinds[place] != "f")


def _by_chance(context: Context, chosen: np.ndarray, keys: np.ndarray) -> float:
    """The share that independent columns would repeat, by how often two distinct held-out rows agree in each."""
    distinct = chosen[np.unique(keys, return_index=True)[1]]
    n = len(distinct)
    if n < 2:
        return 0.0
    agreed = float(len(context.rows.X_train))
    columns = [context.rows.X_test.iloc[distinct, place] for place in range(context.rows.X_test.shape[1])]
    for column in (context.rows.y_test.iloc[distinct], *columns):
        counts = np.unique(_hashed(column), return_counts=True)[1]
        agreed *= float((counts * (counts - 1)).sum()) / (n * (n - 1))
    return agreed


CHECKS = (one_column_says_all, rows_on_both_sides)
