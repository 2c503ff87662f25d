"""What the errors of the held-out rows say of the scores: promised by the folds, alike everywhere, of many rows?"""

from __future__ import annotations

import numpy as np

from boston_exp.config.invocation import again
from boston_exp.experiment.checks.context import Context, sample
from boston_exp.experiment.checks.finding import Finding
from boston_exp.experiment.conformal import once

FEWEST = 20  # held-out rows
BROKEN = 2.58  # standard errors: 0.5 % on the one side
LEVEL = 0.005
GROWTH = 1.5  # RMSE of the top third of predictions over that of the bottom third
LARGEST = 10
# Held-out rows from which the ten largest of normal errors make less than a tenth, in 99.5 % of draws; and that share.
LARGE, TENTH = (1_000, 1_100), (0.105, 0.1)
# Below it ten rows are many. What they make of the squares of Laplace errors in 99.5 % of draws, by the number of rows:
# tails that heavy leave the interval usable. tests/experiment/checks/test_errors.py draws them again.
ROWS = (20, 30, 50, 100, 200, 400, 800)
SHARES = (0.995, 0.970, 0.909, 0.745, 0.565, 0.392, 0.260)


def worse_than_the_folds(context: Context) -> Finding | None:
    """BX301: the held-out rows are predicted worse than the folds promised, beyond noise (one-sided, Welch).

    A model fits its training rows better than any others: that never fires.
    """
    if context.out_of_fold is None or len(context.held_out[0]) < FEWEST:
        return None
    inside, outside = (_squares(*pair) for pair in (context.out_of_fold, context.held_out))
    names = _groups(context)
    error = np.hypot(_error(inside, names[0]), _error(outside, names[1]))
    z = float((outside.mean() - inside.mean()) / error) if error > 0 else 0.0
    if z <= BROKEN:
        return None
    ratio = float(np.sqrt(outside.mean() / inside.mean()))
    says = (
        f"The held-out RMSE is {ratio:.2f} times what the folds promised (z = {z:.1f}): the parts of the table differ."
    )
    mend = f"{again(f'data.split_seed={context.config.data.split_seed + 1}')}   (another split tells chance from drift)"
    return Finding("BX301", says, mend, z)


def grow_with_the_prediction(context: Context) -> Finding | None:
    """BX302: the larger the prediction, the larger the error: Spearman's correlation, and a ratio of the RMSE above 1.5
    between the top and the bottom third of predictions."""
    from scipy.special import ndtr
    from scipy.stats import rankdata

    actual, predicted = context.unseen
    chosen = sample(len(actual))
    actual, predicted = actual[chosen], predicted[chosen]
    if len(actual) < FEWEST or np.ptp(predicted) == 0:
        return None
    squares = _squares(actual, predicted)
    correlation = float(np.corrcoef(rankdata(squares), rankdata(predicted))[0, 1])
    p = float(ndtr(-correlation * np.sqrt(len(actual) - 1)))
    thirds = np.array_split(squares[np.argsort(predicted, kind="stable")], 3)
    low, high = (float(np.sqrt(thirds[end].mean())) for end in (0, -1))
    if not (p < LEVEL and high > GROWTH * low):
        return None
    times = f"{high / low:.1f} times" if low > 0 else "many times"
    says = (
        f"Errors grow with the prediction: the RMSE of the top third is {times} that of the bottom third (p = {p:.1g})."
    )
    return Finding("BX302", says, _logarithm(context), high / low if low > 0 else float("inf"))


def _logarithm(context: Context) -> str:
    if float(context.dataset.y.min()) <= 0:
        return "Give predictions with their intervals (`predict` makes them by thirds of the prediction)."
    return again("model=log_target", without=["model"]) + "   (learns the logarithm of the target)"


def few_rows_decide(context: Context) -> Finding | None:
    """BX303: ten held-out rows make more than a tenth of all squared errors: the score's interval is unreliable.

    Below 1,000 rows ten always make more: there it takes more than Laplace errors would give.
    """
    squares = _squares(*context.held_out)
    if len(squares) < FEWEST or squares.sum() == 0:
        return None
    share = float(np.sort(squares)[-LARGEST:].sum() / squares.sum())
    if share <= largest_share(len(squares)):
        return None
    says = (
        f"{LARGEST} of {len(squares):,} held-out rows make {100 * share:.0f} % of the squared error: "
        "the interval of the RMSE is unreliable."
    )
    mend = f"{again('evaluation=cv')}   (scores the other rows as well)"
    if context.out_of_fold is not None:
        mend = f"{again('objective.metric=cv_mae')}   (by the MAE, which such rows decide less)"
    return Finding("BX303", says, mend, share)


def largest_share(n: int) -> float:
    """That ten of n held-out rows may have."""
    return float(np.interp(n, LARGE, TENTH) if n >= LARGE[0] else np.interp(np.log(n), np.log(ROWS), SHARES))


def _squares(actual: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return (actual - predicted) ** 2


def _groups(context: Context) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Which group each out-of-fold and each held-out row is in, where the split keeps groups together."""
    name = context.config.data.group
    if not name or context.evaluated.folds is None:
        return None, None
    column = context.dataset.table[name]
    rows = (once(context.evaluated.folds.out_of_fold)["row"], context.rows.X_test.index)
    inside, outside = (column.loc[each].factorize()[0] for each in rows)
    return inside, outside


def _error(losses: np.ndarray, groups: np.ndarray | None) -> float:
    """Standard error of their mean, of independent rows or of independent groups."""
    n = len(losses)
    if groups is None:
        return float(losses.std(ddof=1) / np.sqrt(n))
    sums = np.bincount(groups + 1, losses - losses.mean())
    return float(np.sqrt((sums**2).sum()) / n)


CHECKS = (worse_than_the_folds, grow_with_the_prediction, few_rows_decide)
