"""Are rows of the two sides of the split alike for a reason that a column knows: a group, or the time?

Looked at is what least squares on the numbers leave of the target, by rank, so that no outlier decides. Not the model's
own errors: a model that was given the column has learnt the group already, which is the leak.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from boston_exp.config.invocation import again, quoted
from boston_exp.experiment.checks.columns import as_text, dates_of, is_year, most_correlated, since_epoch
from boston_exp.experiment.checks.context import ROWS, SEED, Context, few, sample
from boston_exp.experiment.checks.finding import Finding

LEVEL = 0.005  # of all columns that are tried, together
ALIKE = 0.1  # intraclass or other correlation, below which it does not matter
SIMILAR, THIRD = 0.5, 1 / 3  # intraclass correlation of a number within groups; share of the numbers
FEWEST = 40  # rows
FEWEST_GROUPS = 5
MANY = 30  # categories: with more, a column is like an identifier
SOME = 10  # groups, below which a category is a feature like any other
NUMBERS = 50  # that the target is freed from, at most
TRIED = 20  # columns


def groups_cross(context: Context) -> Finding | None:
    """BX203: rows of one group are alike and on both sides of the split, though a column names the group.

    An identifier that repeats, a category of more than 30 values, or one whose groups are alike in a third of the
    numbers as well. A category of fewer than 10 values is a feature.
    """
    if context.is_grouped or context.is_in_time:
        return None
    candidates = list(_candidates(context))[:TRIED]
    found = [(_alike(context, each, LEVEL / len(candidates)), each) for each in candidates]
    correlation, column = max(found, default=(0.0, ""), key=lambda pair: pair[0])
    if correlation < ALIKE:
        return None
    table, rows = context.dataset.table, context.rows
    known = table[column].loc[rows.X_test.index].isin(table[column].loc[rows.X_train.index].dropna().unique())
    says = (
        f"Rows with the same {column!r} are alike (intraclass correlation {correlation:.2f}) and on both sides of the "
        f"split: {100 * known.mean():.0f} % of the held-out rows have one that was trained on."
    )
    return Finding("BX203", says, again(f"data.group={quoted(column)}"), correlation)


def time_crosses(context: Context) -> Finding | None:
    """BX204: the target drifts with a date, and the held-out rows are not the latest."""
    if context.is_grouped or context.is_in_time:
        return None
    table, y = context.dataset.table, context.dataset.y
    in_time = dates_of(table, context.roles) | np.array([is_year(table[name]) for name in table.columns], dtype=bool)
    dates = [name for name in table.columns[in_time] if name != y.name][:TRIED]
    found = [(_drift(context, name, LEVEL / len(dates)), name) for name in dates]
    drift, column = max(found, default=(0.0, ""), key=lambda pair: abs(pair[0]))
    if abs(drift) < ALIKE:
        return None
    says = f"The target drifts with {column!r} (correlation {drift:.2f}), and the held-out rows are not the latest."
    return Finding("BX204", says, again(f"data.time={quoted(column)}"), drift)


def _candidates(context: Context) -> Iterator[str]:
    """Columns that may name groups, those left out of the features included."""
    table, roles = context.dataset.table, context.roles
    dates = dates_of(table, roles)
    for name, dtype, is_date in zip(table.columns, table.dtypes, dates, strict=True):
        role = roles.get(name) or ("number" if pd.api.types.is_numeric_dtype(dtype) else "category")
        if name == context.dataset.y.name or is_date or role not in ("identifier", "category"):
            continue
        sizes = as_text(table[name]).value_counts()
        repeats = sizes[sizes > 1].sum() > len(table) / 2
        enough = FEWEST_GROUPS if role == "identifier" else SOME
        if repeats and enough <= len(sizes) <= len(table) / 2:
            yield name


def _alike(context: Context, column: str, level: float) -> float:
    """Intraclass correlation of the target within the groups of a column; 0 where it may be noise, or where the column
    is a feature like any other."""
    from scipy.special import fdtrc

    codes = pd.factorize(as_text(context.dataset.table[column]))[0]
    chosen = _whole_groups(codes)
    if len(chosen) < FEWEST:
        return 0.0
    groups = np.unique(codes[chosen], return_inverse=True)[1]
    numbers = _numbers(context, chosen, column)
    y = context.dataset.y.to_numpy(np.float64)[chosen]
    target = _one_way(_normal_scores(_unexplained(y, numbers))[:, np.newaxis], groups)
    p = float(fdtrc(target.between, target.within, target.F[0]))
    if not p < level:
        return 0.0
    is_a_feature = context.roles.get(column) != "identifier" and len(np.unique(codes)) <= MANY
    if is_a_feature and not _similar(numbers, groups):
        return 0.0
    return float(target.correlation[0])


def _similar(numbers: np.ndarray, groups: np.ndarray) -> bool:
    """Whether a third of the numbers or more are much alike within groups."""
    varied = numbers[:, np.ptp(numbers, axis=0) > 0]
    return varied.shape[1] > 0 and float((_one_way(varied, groups).correlation > SIMILAR).mean()) >= THIRD


@dataclass(frozen=True)
class _OneWay:
    """Analysis of variance of several columns by one grouping: F and intraclass correlation, each (n_columns,)."""

    F: np.ndarray
    correlation: np.ndarray
    between: int  # degrees of freedom
    within: int


def _one_way(values: np.ndarray, groups: np.ndarray) -> _OneWay:
    sizes = np.bincount(groups)
    n, k = len(groups), len(sizes)
    centred = values - values.mean(axis=0)
    sums = np.stack([np.bincount(groups, column, k) for column in centred.T], axis=1)
    between = (sums**2 / sizes[:, np.newaxis]).sum(axis=0)
    within = np.maximum((centred**2).sum(axis=0) - between, 0) / (n - k)
    between = between / (k - 1)
    typical = (n - (sizes**2).sum() / n) / (k - 1)
    total = between + (typical - 1) * within
    return _OneWay(
        np.divide(between, within, out=np.full_like(between, np.inf), where=within > 0),
        np.divide(between - within, total, out=np.zeros_like(total), where=total > 0),
        k - 1,
        n - k,
    )


def _drift(context: Context, column: str, level: float) -> float:
    """Correlation of the target with the date, or of each row with the next in time, whichever is larger; 0 where both
    may be noise. Rows of one date are in no order."""
    from scipy.special import erfc

    days = since_epoch(context.dataset.table[column])
    known = np.flatnonzero(~np.isnan(days))
    chosen = known[sample(len(known))]
    if len(chosen) < FEWEST or len(np.unique(days[chosen])) < FEWEST_GROUPS:
        return 0.0
    numbers = _numbers(context, chosen, column)
    left = _normal_scores(_unexplained(context.dataset.y.to_numpy(np.float64)[chosen], numbers))
    when = _normal_scores(days[chosen])
    shuffled = np.random.default_rng(SEED).permutation(len(chosen))
    ordered = left[shuffled][np.argsort(days[chosen][shuffled], kind="stable")]
    trend = float(np.corrcoef(left, when)[0, 1])
    following = float(np.corrcoef(ordered[1:], ordered[:-1])[0, 1])
    drift = max(trend, max(following, 0.0), key=abs)
    p = float(erfc(abs(drift) * np.sqrt(len(chosen)) / np.sqrt(2)))
    return drift if p < level / 2 else 0.0


def _whole_groups(codes: np.ndarray) -> np.ndarray:
    """Positions of the rows of groups drawn until there are enough rows; gaps are in none."""
    known = np.flatnonzero(codes >= 0)
    if len(known) <= ROWS:
        return known
    place = np.random.default_rng(SEED).permutation(codes.max() + 1)
    return known[np.argsort(place[codes[known]], kind="stable")[:ROWS]]


def _numbers(context: Context, chosen: np.ndarray, without: str) -> np.ndarray:
    """The features that are numbers, standardised, gaps at their mean: (n_chosen, at most 50)."""
    X = context.dataset.X
    taken = [
        place
        for place, (name, dtype) in enumerate(zip(X.columns, X.dtypes, strict=True))
        if dtype.kind in "fiub" and name != without and context.roles.get(str(name), "number") == "number"
    ]
    y, ranked = context.dataset.y.to_numpy(np.float64), few(chosen, len(taken))
    best = most_correlated(
        X.iloc[ranked, taken].to_numpy(np.float64), y[ranked], max(1, min(NUMBERS, len(chosen) // 10))
    )
    matrix = X.iloc[chosen, [taken[place] for place in best]].to_numpy(np.float64)
    centred = np.nan_to_num(matrix - np.nanmean(matrix, axis=0)) if matrix.size else matrix
    spread = centred.std(axis=0)
    return centred[:, spread > 0] / spread[spread > 0]


def _unexplained(y: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """What least squares leave of the target."""
    design = np.column_stack([np.ones(len(y)), numbers])
    return y - design @ np.linalg.lstsq(design, y, rcond=None)[0]


def _normal_scores(values: np.ndarray) -> np.ndarray:
    """Normal quantiles of the ranks: what a test of them says holds for any distribution."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    return ndtri(rankdata(values) / (len(values) + 1))


CHECKS = (groups_cross, time_crosses)
