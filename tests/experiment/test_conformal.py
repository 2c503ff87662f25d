"""Intervals cover what they say: a short form of docs/proofs/intervals.md, and crepes' own answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from crepes import ConformalRegressor

from boston_exp.experiment.conformal import calibrated, caveat, choices, refusal
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


def _clustered(groups: int, seed: int, of_each: int = 15) -> pd.DataFrame:
    """Errors whose variance is, four fifths of it, between groups; of unequal size."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(groups), rng.integers(1, 2 * of_each, groups))
    predicted = rng.uniform(0, 10, len(label))
    errors = 2 * rng.normal(size=groups)[label] + rng.normal(size=len(label))
    columns = {"row": np.arange(len(label)), "actual": predicted + errors, "predicted": predicted}
    return pd.DataFrame(columns | {"cluster": label.astype(str)})


@pytest.mark.parametrize("by", ["prediction", "none"])
def test_rows_of_new_groups_are_covered_where_whole_groups_are_alike(by: str) -> None:
    """Taken row by row, 12 groups are taken for 180 independent rows, and cover less than they say."""
    known, plain = [], []
    for seed in range(150):
        table, new = _clustered(12, seed), _clustered(150, 1000 + seed, 3)
        for found, of in ((known, table), (plain, table.drop(columns="cluster"))):
            ends = calibrated(of, by).interval(new["predicted"].to_numpy(), 0.9)
            inside = (ends[:, 0] <= new["actual"]) & (new["actual"] <= ends[:, 1])
            found.append(inside.groupby(new["cluster"]).mean().mean())
    assert 0.89 < np.mean(known) < 0.97
    assert np.mean(plain) < np.mean(known) - 0.02


def test_groups_of_one_row_are_rows() -> None:
    table = _table(200).assign(row=np.arange(200))
    ones = table.assign(cluster=[f"c{number}" for number in range(200)])
    predicted = np.linspace(0, 10, 9)
    for by, groups, scale in (("prediction", None, None), ("none", None, None), ("spread", None, predicted + 1)):
        ends = calibrated(ones, by).interval(predicted, 0.8, groups, scale)
        assert ends == pytest.approx(calibrated(table, by).interval(predicted, 0.8, groups, scale))


def test_too_few_groups_are_refused_with_a_reason() -> None:
    assert refusal(_clustered(9, 0), 0.9) == ""
    assert refusal(_clustered(8, 0), 0.9) == (
        "for rows of new groups, 90% takes the residuals of 9 groups, and there are 8"
    )
    assert np.isinf(calibrated(_clustered(8, 0), "none").interval(np.array([1.0]), 0.9)).all()


def test_what_coverage_is_of_is_said() -> None:
    table = _table(20)
    assert caveat(table) == ""
    assert "later times" in caveat(table.assign(time=range(20)))
    assert "whatever they weigh" in caveat(table.assign(weight=1.0))
    assert "new groups" in caveat(_clustered(3, 0))


def test_repeated_folds_count_each_row_once() -> None:
    once_over = _table(100).assign(row=np.arange(100), fold=1, repeat=1)
    other = once_over.assign(fold=2, repeat=2, actual=once_over["actual"] + 100)
    both = pd.concat([once_over, other]).sort_values(["row", "fold"], ignore_index=True)
    found = calibrated(both, "none")
    assert sum(found.sizes.values()) == 100
    assert found.interval(np.array([1.0]), 0.9) == pytest.approx(
        calibrated(once_over, "none").interval(np.array([1.0]), 0.9)
    )


@pytest.mark.slow
@pytest.mark.parametrize(("model", "splits"), [("forest", 12), ("ridge", 30), ("hist_gradient_boosting", 12)])
def test_real_models_chosen_by_a_sweep_on_boston(model: str, splits: int) -> None:
    """A few splits instead of two hundred, so with a little room: docs/proofs/intervals.md has the others."""
    found = [interval_coverage.one("boston", model, seed) for seed in range(splits)]
    coverage = np.mean([each.covered.mean() for each in found])
    assert 0.885 < coverage < 0.93
    assert np.mean([each.width for each in found]) < 1.1 * np.mean([each.split_width for each in found])
