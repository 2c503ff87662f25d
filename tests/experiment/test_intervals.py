"""Intervals of scores: plain resamples, what replaces them in large tables, and rows that depend on each other."""

from __future__ import annotations

import numpy as np
import pytest
from arch.bootstrap import optimal_block_length
from scipy import stats

from boston_exp.experiment import intervals as module
from boston_exp.experiment.intervals import intervals
from boston_exp.experiment.metrics import METRICS, Metric
from boston_exp.experiment.units import block_length, units
from tests.experiment import interval_width


def sample(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    return interval_width.table("t5", rows, np.random.default_rng(seed))


@pytest.mark.parametrize("weighted", [False, True])
def test_few_rows_are_resampled_as_by_scipy(weighted: bool) -> None:
    y, predicted = sample(150)
    weights = np.random.default_rng(1).gamma(1, size=150) if weighted else None
    ours = intervals(y, predicted, 300, 7, weights=weights)
    for metric in METRICS:
        theirs = stats.bootstrap(
            (y, predicted, *([] if weights is None else [weights])), metric.score, paired=True, n_resamples=300,
            method="percentile", rng=np.random.default_rng(7),
        ).confidence_interval  # fmt: skip
        assert ours[f"{metric.name}_ci_low"] == theirs.low
        assert ours[f"{metric.name}_ci_high"] == theirs.high


def test_no_resamples_no_intervals() -> None:
    assert intervals(*sample(20), 0, 0) == {}


@pytest.mark.parametrize("errors", ["t5", "lognormal"])
def test_many_rows_have_the_interval_that_many_resamples_give(errors: str) -> None:
    """docs/proofs/interval_width.md has 20 tables of each, up to 200,000 rows; 4,000 resamples scatter by 1.6 %."""
    for name, off in interval_width.differences(errors, module.LARGE + 2_000, 1, resamples=4_000).items():
        assert np.abs(off).max() < 5, name


def test_one_row_that_outweighs_all_others_is_there_as_often_as_in_resamples() -> None:
    """Skewness and kurtosis alone would be off by half of the width: whether it is drawn 0, 1, 2 or 3 times decides."""
    rng = np.random.default_rng(0)
    predicted = rng.normal(50, 10, 20_000)
    y = predicted + rng.normal(size=20_000)
    y[17] += 400
    ours, many = intervals(y, predicted, 1000, 0), interval_width.resampled(y, predicted, 4_000, rng)
    low, high = many["rmse"]
    assert (ours["rmse_ci_low"], ours["rmse_ci_high"]) == pytest.approx((low, high), abs=0.05 * (high - low))


def test_many_rows_take_no_random_numbers() -> None:
    y, predicted = sample(module.LARGE + 1)
    assert intervals(y, predicted, 1000, 0) == intervals(y, predicted, 50, 1)


def test_weights_count_in_a_large_table_as_in_a_small_one(monkeypatch: pytest.MonkeyPatch) -> None:
    y, predicted = sample(12_000)
    weights = np.random.default_rng(1).gamma(1, size=12_000)
    without = intervals(y, predicted, 1000, 0, weights=weights)
    monkeypatch.setattr(module, "LARGE", 10**6)
    resampled = intervals(y, predicted, 1_000, 0, weights=weights)
    for metric in METRICS:
        low, high = (resampled[f"{metric.name}_ci_{side}"] for side in ("low", "high"))
        found = [without[f"{metric.name}_ci_{side}"] for side in ("low", "high")]
        assert found == pytest.approx([low, high], abs=0.12 * (high - low))


@pytest.mark.parametrize("known", ["few clusters", "many clusters", "order"])
def test_units_are_drawn_in_a_large_table_as_in_a_small_one(known: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = 12_000
    rng, (y, predicted) = np.random.default_rng(2), sample(rows)
    labels = rng.permutation(rows) % (50 if known == "few clusters" else 11_000)
    y = y + rng.normal(size=11_000)[labels]
    told = {"order": rng.permutation(rows)} if known == "order" else {"clusters": labels.astype(str)}
    without = intervals(y, predicted, 1000, 0, **told)
    monkeypatch.setattr(module, "LARGE", 10**6)
    resampled = intervals(y, predicted, 500, 0, **told)
    for metric in METRICS:
        low, high = (resampled[f"{metric.name}_ci_{side}"] for side in ("low", "high"))
        found = [without[f"{metric.name}_ci_{side}"] for side in ("low", "high")]
        assert found == pytest.approx([low, high], abs=0.12 * (high - low))


def test_one_cluster_alone_has_no_interval() -> None:
    found = intervals(*sample(50), 100, 0, clusters=np.full(50, "a"))
    assert np.isnan(list(found.values())).all()
    assert set(found) == set(intervals(*sample(50), 100, 0))


def test_a_metric_that_is_one_line_has_intervals_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a linear form it is resampled, also in a large table."""
    median = Metric("median_ae", lambda y, predicted: np.median(np.abs(y - predicted), axis=-1), "median AE", "target")
    monkeypatch.setattr(module, "METRICS", (median,))
    monkeypatch.setattr(module, "LARGE", 100)
    y, predicted = sample(200)
    rng = np.random.default_rng(0)
    for told in (
        {},
        {"clusters": rng.integers(0, 30, 200)},
        {"order": np.arange(200)},
        {"weights": rng.gamma(1, size=200)},
    ):
        found = intervals(y, predicted, 100, 0, **told)
        assert found["median_ae_ci_low"] < float(median.score(y, predicted)) < found["median_ae_ci_high"]


def test_intervals_of_clusters_cover_and_plain_ones_do_not() -> None:
    """docs/proofs/interval_width.md has 1,000 tables of each number of clusters."""
    known, plain = interval_width.coverage("clusters", 60, 100, resamples=400)
    assert known > 0.87
    assert plain < 0.65


def test_intervals_of_blocks_cover_and_plain_ones_do_not() -> None:
    known, plain = interval_width.coverage("time", 70, 100, resamples=400)
    assert known > 0.88
    assert plain < 0.82


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("rows", [100, 1000])
def test_blocks_are_half_as_long_again_as_politis_and_white_say(rows: int, share: float) -> None:
    errors = np.random.default_rng(3).normal(size=rows)
    for row in range(1, rows):
        errors[row] += share * errors[row - 1]
    theirs = float(optimal_block_length(errors)["circular"].iloc[0])
    assert block_length(errors) == pytest.approx(
        min(max(1.5 * theirs, rows ** (1 / 3)), rows / 3, 3 * rows**0.5), rel=0.25
    )


def test_rows_of_one_time_and_rows_of_one_cluster_stay_together() -> None:
    rng = np.random.default_rng(0)
    times = rng.integers(0, 40, 300)
    found = units(rng.normal(size=300), order=times)
    assert found is not None
    assert all(len(set(found.of_row[times == time])) == 1 for time in range(40))
    assert (np.diff(found.of_row[np.argsort(times, kind="stable")]) >= 0).all()
    labels = np.array(["1", "01", None, "1", None], dtype=object)
    clustered = units(np.zeros(5), clusters=labels, order=np.arange(5))
    assert clustered is not None
    assert clustered.of_row.tolist() == [0, 1, 2, 0, 2]
    assert clustered.sums(np.arange(5.0)).tolist() == [3, 1, 6]
