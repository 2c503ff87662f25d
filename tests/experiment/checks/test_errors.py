"""Ten rows of a hundred always make more than a tenth: how much more is asked of a small table."""

from __future__ import annotations

import numpy as np
import pytest

from boston_exp.experiment.checks.errors import LARGE, ROWS, SHARES, largest_share


@pytest.mark.parametrize(("n", "share"), list(zip(ROWS, SHARES, strict=True)))
def test_the_shares_are_what_laplace_errors_give_in_995_of_1000_draws(n: int, share: float) -> None:
    squares = np.sort(np.random.default_rng(1).laplace(size=(4_000, n)) ** 2, axis=1)
    drawn = squares[:, -10:].sum(axis=1) / squares.sum(axis=1)
    assert np.quantile(drawn, 0.992) - 0.01 < share < np.quantile(drawn, 0.998) + 0.01


def test_a_large_table_is_asked_for_a_tenth() -> None:
    assert largest_share(LARGE[1]) == largest_share(10 * LARGE[1]) == 0.1
    assert largest_share(LARGE[0] - 1) > largest_share(LARGE[0]) > 0.1


def test_normal_errors_of_a_thousand_rows_hardly_ever_make_more() -> None:
    squares = np.sort(np.random.default_rng(1).normal(size=(4_000, LARGE[0])) ** 2, axis=1)
    assert np.mean(squares[:, -10:].sum(axis=1) / squares.sum(axis=1) > largest_share(LARGE[0])) < 0.01
