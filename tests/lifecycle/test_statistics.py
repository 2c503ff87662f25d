"""What leaderboard and compare compute, against independent implementations and simulated tables."""

from __future__ import annotations

import baycomp
import numpy as np
import pytest
from arch.bootstrap import SPA
from scipy import stats
from sklearn.metrics import mean_absolute_error, mean_absolute_percentage_error, r2_score, root_mean_squared_error

from boston_exp.experiment.metrics import METRICS, Metric
from boston_exp.lifecycle.comparing import paired
from boston_exp.lifecycle.ranking import contention
from tests.lifecycle import simulations
from tests.lifecycle.simulations import KNN, LOGNORMAL, RIDGE

SCORES = {
    "r2_score": r2_score,
    "rmse": root_mean_squared_error,
    "mae": mean_absolute_error,
    "mape": lambda y, predicted: 100 * mean_absolute_percentage_error(y, predicted),
}


def predictions(n: int = 102, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.exp(rng.normal(3, 0.4, n))
    return y, y + rng.normal(0, 3, n)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_what_rows_contribute_has_the_score_as_its_mean_and_the_jackknifes_spread(metric: Metric) -> None:
    y, predicted = predictions()
    sign = -1 if metric.direction == "maximize" else 1
    losses = metric.loss_by_row(y, predicted)
    assert losses.mean() == pytest.approx(sign * SCORES[metric.name](y, predicted))
    left_out = Metric(metric.name, metric.score, metric.label, metric.unit, metric.direction)
    assert left_out.loss_by_row(y, predicted) == pytest.approx(losses, rel=0.05, abs=0.05 * losses.std())
    assert left_out.loss_by_row(y, predicted).mean() == pytest.approx(losses.mean())


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_weighted_losses_have_the_weighted_score_as_their_mean_and_are_those_of_repeated_rows(metric: Metric) -> None:
    y, predicted = predictions()
    weights = np.random.default_rng(1).integers(0, 4, len(y)).astype(float)
    losses, sign = metric.loss_by_row(y, predicted, weights), -1 if metric.direction == "maximize" else 1
    assert np.average(losses, weights=weights) == pytest.approx(sign * float(metric.score(y, predicted, weights)))
    often = np.repeat(np.arange(len(y)), weights.astype(int))
    assert losses[often] == pytest.approx(metric.loss_by_row(y[often], predicted[often]))
    left_out = Metric(metric.name, metric.score, metric.label, metric.unit, metric.direction)
    assert left_out.loss_by_row(y, predicted, weights)[weights > 0] == pytest.approx(
        losses[weights > 0], rel=0.1, abs=0.1 * losses.std()
    )


def test_a_perfect_model_contributes_nothing() -> None:
    y, _ = predictions()
    for metric in METRICS:
        assert np.isfinite(metric.loss_by_row(y, y)).all()
        assert metric.loss_by_row(y, y).mean() == (-1 if metric.name == "r2_score" else 0)


@pytest.mark.parametrize("n_models", [2, 8])
def test_the_max_t_test_with_factor_1_is_hansens_test(n_models: int) -> None:
    """Hansen's upper p value takes every rival as if it were as good, as ours does.

    arch 8.0 keeps its flag `studentize` and does not divide by the standard errors: it is given what was divided.
    """
    rng = np.random.default_rng(3)
    losses = rng.normal(size=(300, n_models)) * 0.6 + rng.normal(size=(300, 1)) + np.linspace(0, 0.12, n_models)
    ours = contention.p_values(losses, 1.0, n_resamples=4000)
    for model in range(n_models):
        ahead = losses[:, [model]] - np.delete(losses, model, axis=1)
        test = SPA(np.zeros(300), -ahead / ahead.std(axis=0), block_size=1, reps=4000, bootstrap="circular", seed=5)
        test.compute()
        assert ours[model] == pytest.approx(test.pvalues["upper"], abs=0.025)


def test_models_that_predict_the_same_are_not_told_apart_and_a_poor_one_is() -> None:
    losses = np.random.default_rng(0).gamma(2, size=(100, 1)) @ np.ones((1, 3))
    losses[:, 2] += 1.0
    assert contention.contenders(losses, 1.5).tolist() == [True, True, False]
    assert contention.contenders(losses[:, :1], 1.5).tolist() == [True]


def test_the_paired_interval_is_scipys() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=102), rng.normal(0.2, 1, size=102)
    found, theirs = paired.over_rows(a, b), stats.ttest_rel(a, b)
    interval = theirs.confidence_interval(0.95)
    assert (found.mean, found.p) == pytest.approx(((a - b).mean(), theirs.pvalue))
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.missed == pytest.approx(2.8 * (a - b).std(ddof=1) / np.sqrt(102))


@pytest.mark.parametrize("rope", [0.05, 0.5])
def test_the_probabilities_over_folds_are_baycomps(rope: float) -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(3.0, 0.3, 5), rng.normal(3.3, 0.3, 5)
    theirs = baycomp.two_on_single(-a, -b, rope=rope, runs=1)  # it takes more for better
    assert paired.probabilities(a, b, rope) == pytest.approx(theirs, abs=1e-6)


def test_the_test_over_folds_is_nadeau_and_bengios() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(3.0, 0.3, 5), rng.normal(3.2, 0.3, 5)
    difference = a - b
    t = difference.mean() / np.sqrt((1 / 5 + 1 / 4) * difference.var(ddof=1))
    assert paired.over_folds(a, b).p == pytest.approx(2 * stats.t.sf(abs(t), 4))
    assert contention.overlap_factor(5) == pytest.approx(np.sqrt((1 / 5 + 1 / 4) / (1 / 5)))


def test_a_difference_over_clusters_is_that_of_their_sums() -> None:
    """Of clusters of one size it is the t-test of their means; of one row each, that of rows."""
    rng = np.random.default_rng(4)
    labels = np.repeat(np.arange(12), 7)
    a, b = rng.normal(size=(2, 84)) + rng.normal(size=(2, 12))[:, labels]
    found = paired.over_rows(a, b, clusters=rng.permutation(12)[labels])
    theirs = stats.ttest_1samp((a - b).reshape(12, 7).mean(axis=1), 0)
    interval = theirs.confidence_interval()
    assert (found.p, found.low, found.high) == pytest.approx((theirs.pvalue, interval.low, interval.high))
    assert found.rows == "84 held-out rows in 12 groups"
    alone, plain = paired.over_rows(a, b, clusters=np.arange(84)), paired.over_rows(a, b)
    assert (alone.p, alone.low, alone.error) == pytest.approx((plain.p, plain.low, plain.error))
    weighted = paired.over_rows(a, b, weights=np.full(84, 3.0))
    assert (weighted.p, weighted.low, weighted.error) == pytest.approx((plain.p, plain.low, plain.error))


def test_weights_move_the_difference_to_the_rows_that_weigh() -> None:
    a, b = np.array([1.0, 2, 3, 4]), np.array([0.0, 0, 5, 5])
    assert paired.over_rows(a, b, weights=np.array([1.0, 1, 0, 0])).mean == pytest.approx(1.5)
    losses = np.column_stack([np.r_[np.zeros(50), np.full(50, 9.0)], np.r_[np.ones(50), np.zeros(50)]])
    losses += np.random.default_rng(0).normal(size=losses.shape)
    assert contention.contenders(losses, 1.5).tolist() == [False, True]
    assert contention.contenders(losses, 1.5, weights=np.r_[np.full(50, 1.0), np.full(50, 0.01)]).tolist() == [
        True,
        False,
    ]


def test_one_cluster_alone_shows_nothing() -> None:
    found = paired.over_rows(np.zeros(9), np.ones(9), clusters=np.full(9, "a"))
    assert (found.p, found.low, found.high) == (1, -np.inf, np.inf)
    losses = np.column_stack([np.zeros(9), np.ones(9)])
    assert contention.contenders(losses, 1.0, clusters=np.full(9, "a")).all()


@pytest.mark.parametrize("kind", ["clusters", "time"])
def test_equal_models_on_rows_that_depend_on_each_other_are_rarely_told_apart(kind: str) -> None:
    """docs/proofs/statistics.md has 1,000 tables of each; a test at 5 %, of 150 tables."""
    shares = simulations.share_told_apart(kind, 150)
    assert shares["compare"] < 0.11
    assert shares["leaderboard"] < 0.11
    assert shares["compare, rows"] > 0.3
    assert shares["leaderboard, rows"] > 0.15


def test_sums_of_many_rows_are_normal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing a thousand resamples of a million rows would take seconds and gigabytes."""
    losses = np.random.default_rng(5).gamma(2, size=(3000, 4)) + np.linspace(0, 0.1, 4)
    resampled = contention.p_values(losses, 1.0, 4000)
    monkeypatch.setattr(contention, "LARGE", 100)
    assert contention.p_values(losses, 1.0, 4000) == pytest.approx(resampled, abs=0.03)


def test_the_overlap_of_folds_is_the_recorded_one_where_there_is_one() -> None:
    """Folds forward in time are fitted on fewer rows than k - 1 of k folds; repeated ones on as many."""
    rng = np.random.default_rng(2)
    a, b = rng.normal(3.0, 0.3, 10), rng.normal(3.2, 0.3, 10)
    repeated = paired.over_folds(a, b, 1 / 4)
    assert repeated.error == pytest.approx(np.sqrt((1 / 10 + 1 / 4) * (a - b).var(ddof=1)))
    assert paired.over_folds(a[:5], b[:5], 1 / 4) == paired.over_folds(a[:5], b[:5])
    assert paired.probabilities(a, b, 10.0, 1.0)[1] < paired.probabilities(a, b, 10.0, 0.1)[1]
    assert contention.overlap_factor(5, 1 / 4) == contention.overlap_factor(5)
    assert contention.overlap_factor(5, 0.5) == pytest.approx(np.sqrt(3.5))


def test_equal_losses_differ_by_nothing() -> None:
    found = paired.over_rows(np.ones(5), np.ones(5))
    assert (found.mean, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert paired.probabilities(np.ones(5), np.ones(5), 0.1) == (0, 1, 0)


def test_holm_is_as_by_hand() -> None:
    assert paired.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert paired.holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])


@pytest.mark.slow
def test_an_equally_good_model_is_marked() -> None:
    """docs/proofs/statistics.md has 400 tables each; these are the first of them."""
    factor = contention.overlap_factor(simulations.N_FOLDS)
    for case, n_models, n_tables in ((RIDGE, 2, 100), (KNN, 2, 100), (KNN, 36, 30)):
        _, share = simulations.share_kept(case, n_models, n_tables, factor, jobs=1)
        assert share >= 0.95, (case.name, n_models)


@pytest.mark.slow
def test_equal_models_are_rarely_called_different_and_others_often_enough() -> None:
    for case in (RIDGE, KNN, LOGNORMAL):
        assert sum(simulations.share_different(case, 1.0, 300, jobs=1)) <= 0.07, case.name
    for case, weight in ((RIDGE, 1.41), (KNN, 1.96)):
        better, worse = simulations.share_different(case, weight, 200, jobs=1)
        assert better >= 0.22, case.name
        assert worse <= 0.01, case.name
