"""Intervals cover what they say: a short form of docs/proofs/intervals.md, and crepes' own answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from crepes import ConformalRegressor

from boston_exp.experiment.conformal import calibrated, choices
from tests.experiment import interval_coverage


def _table(rows: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    predicted = rng.uniform(0, 10, rows)
    spread = 0.2 + predicted / 5
    actual = predicted + rng.normal(size=rows) * spread
    group = np.where(predicted > 5, "large", "small")
    return pd.DataFrame({"actual": actual, "predicted": predicted, "spread": spread, "group: size": group})


@pytest.mark.parametrize("by", ["prediction", "spread", "none", "size"])
def test_coverage_of_exchangeable_rows(by: str) -> None:
    new = _table(20_000, seed=9)
    groups = new["group: size"].to_numpy() if by == "size" else None
    scale = new["spread"].to_numpy() if by == "spread" else None
    shares, top = [], []
    for seed in range(30):
        ends = calibrated(_table(400, seed), by).interval(new["predicted"].to_numpy(), 0.9, groups, scale)
        inside = (ends[:, 0] <= new["actual"]) & (new["actual"] <= ends[:, 1])
        shares.append(inside.mean())
        top.append(inside[new["predicted"] > 20 / 3].mean())
    assert 0.89 < np.mean(shares) < 0.92
    if by == "none":
        assert np.mean(top) < 0.85  # which is why it is not the default
    else:
        assert np.mean(top) > 0.87


def test_ends_are_those_of_crepes() -> None:
    table, predicted = _table(90), np.linspace(0, 10, 7)
    residuals = (table["actual"] - table["predicted"]).to_numpy()
    oracle = ConformalRegressor().fit(residuals).predict_int(predicted, confidence=0.8)
    assert calibrated(table, "none").interval(predicted, 0.8).tolist() == oracle.tolist()


def test_a_group_that_was_never_seen_or_is_too_small_gets_the_interval_of_all_rows() -> None:
    table = _table(200)
    table.loc[0, "group: size"] = "rare"
    calibration, plain = calibrated(table, "size"), calibrated(table, "none")
    predicted = np.array([1.0, 2.0, 3.0])
    ends = calibration.interval(predicted, 0.9, np.array(["rare", "new", "small"]))
    assert ends[:2].tolist() == plain.interval(predicted, 0.9)[:2].tolist()
    assert ends[2].tolist() != plain.interval(predicted, 0.9)[2].tolist()


def test_too_few_rows_for_a_confidence_give_an_infinite_interval() -> None:
    ends = calibrated(_table(8), "prediction").interval(np.array([1.0]), 0.9)
    assert ends.tolist() == [[-np.inf, np.inf]]


def test_predictions_that_are_all_alike() -> None:
    """Of a dummy model: thirds of one value."""
    table = _table(100).assign(predicted=5.0)
    ends = calibrated(table, "prediction").interval(np.array([5.0, 4.0, 6.0]), 0.9)
    assert np.isfinite(ends).all()


def test_what_widths_can_depend_on() -> None:
    assert choices(_table(3)) == ["prediction", "none", "spread", "size"]
    assert choices(_table(3)[["actual", "predicted"]]) == ["prediction", "none"]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["forest", "ridge", "hist_gradient_boosting"])
def test_real_models_chosen_by_a_sweep_on_boston(model: str) -> None:
    """Thirty splits instead of two hundred, so with a little room: docs/proofs/intervals.md has the others."""
    found = [interval_coverage.one("boston", model, seed) for seed in range(30)]
    coverage = np.mean([each.covered.mean() for each in found])
    assert 0.885 < coverage < 0.93
    assert np.mean([each.width for each in found]) < 1.1 * np.mean([each.split_width for each in found])
