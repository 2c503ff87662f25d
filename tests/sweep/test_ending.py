"""When a search ends early: on functions whose best value is known, and what it says."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import optuna
import pytest
from optuna.trial import BaseTrial, FrozenTrial

from boston_exp.sweep.ending import Ending, Gain, gain_faults
from boston_exp.sweep.improvement import candidates, expected
from boston_exp.sweep.plan import BEGINS_ANEW, Aim, Point, Result

AIM = Aim(("cv_rmse",), ("minimize",))
Function = Callable[[BaseTrial], float]


def families(trial: BaseTrial) -> float:
    """Two models, each with parameters of its own; the best that there is has 3.3."""
    if trial.suggest_categorical("model", ["ridge", "forest", None]) == "forest":
        depth, leaf = trial.suggest_int("depth", 2, 30), trial.suggest_int("leaf", 1, 10)
        return 3.3 + 0.002 * (depth - 18) ** 2 + 0.05 * (leaf - 1)
    return 4.9 + 0.1 * (math.log10(trial.suggest_float("alpha", 1e-3, 100, log=True)) - 1) ** 2


def rugged(trial: BaseTrial) -> float:
    """What was found says nothing of what is beside it; the best that there is has 0."""
    x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
    return 2 + math.sin(37 * x + 11 * y) + math.cos(41 * y - 7 * x)


def searched(function: Function, n_trials: int, seed: int = 0, sign: int = 1) -> list[FrozenTrial]:
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=seed), direction="minimize" if sign > 0 else "maximize"
    )
    study.optimize(lambda trial: sign * function(trial), n_trials)
    return study.trials


def ended(function: Function, trials: list[FrozenTrial], gain: float) -> tuple[int, float]:
    """After how many trials a search ends, and its best score then."""
    space = candidates(function)
    ending = Ending(AIM, gain=Gain(gain, math.nan, lambda scored: expected(trials[:scored], space, maximize=False)))
    for number, trial in enumerate(trials):
        if ending.reason:
            return number, min(each.value or math.inf for each in trials[:number])
        ending.take(result(trial.value))
    return len(trials), min(each.value or math.inf for each in trials)


def result(score: float | None, **more: float) -> Result:
    metrics = {} if score is None else {"cv_rmse": score, **more}
    return Result(Point((), ()), "", "finished" if metrics else "failed", "r", metrics)


@pytest.mark.parametrize("seed", range(2))
def test_a_search_that_has_found_the_best_ends_well_before_its_last_trial(seed: int) -> None:
    """Regret after the stop: of 1.6 that a bad trial costs, less than a twentieth."""
    number, best = ended(families, searched(families, 100, seed), gain=0.05)
    assert number <= 60
    assert best < 3.3 + 0.08


def test_a_search_that_still_improves_goes_on() -> None:
    number, _ = ended(rugged, searched(rugged, 60), gain=0.05)
    assert number == 60


def test_a_smaller_gain_ends_later() -> None:
    trials = searched(families, 50)
    assert ended(families, trials, 0.5)[0] < ended(families, trials, 0.0005)[0]


def test_the_same_trials_let_expect_the_same_also_where_more_is_better() -> None:
    space = candidates(families)
    trials, mirrored = searched(families, 30), searched(families, 30, sign=-1)
    assert [trial.params for trial in trials] == [trial.params for trial in mirrored]
    once = expected(trials, space, maximize=False)
    assert once == expected(trials, candidates(families), maximize=False) == expected(mirrored, space, maximize=True)


def test_few_trials_let_expect_anything() -> None:
    """Ten a parameter: 20 random ones of six parameters make a model that is sure of what it has not seen."""

    def six(trial: BaseTrial) -> float:
        return sum(trial.suggest_float(name, 0, 1) for name in "abcdef")

    trials = searched(six, 60)
    assert expected(trials[:59], candidates(six), maximize=False) == math.inf
    assert expected(trials, candidates(six), maximize=False) < math.inf


def test_scores_that_are_all_alike_let_expect_nothing() -> None:
    def flat(trial: BaseTrial) -> float:
        return 3 + 0 * trial.suggest_float("x", 0, 1)

    assert expected(searched(flat, 20), candidates(flat), maximize=False) == 0


def test_candidates_are_points_of_the_space() -> None:
    """Steps are kept, ends belong to it, and a conditional parameter is there where its condition holds."""
    seen: list[tuple[object, ...]] = []

    def function(trial: BaseTrial) -> None:
        step, whole = trial.suggest_float("step", 0.1, 0.9, step=0.2), trial.suggest_int("whole", 2, 20, step=6)
        low = trial.suggest_int("log", 1, 1000, log=True)
        seen.append((round(step, 9), whole, low))
        if trial.suggest_categorical("more", [True, None]):
            trial.suggest_float("depends", 1e-6, 1, log=True)

    found = candidates(function)
    steps, wholes, logs = (set(column) for column in zip(*seen, strict=True))
    assert steps == {0.1, 0.3, 0.5, 0.7, 0.9}
    assert wholes == {2, 8, 14, 20}
    assert np.median([low for *_, low in seen]) == pytest.approx(math.sqrt(1000), rel=0.3)  # type: ignore[arg-type]
    assert {1, 1000} & logs
    assert found.conditional == {"depends"}
    assert found.places.min() == 0
    assert found.places.max() == 1
    missing = found.places[:, -1] == 1
    assert 0.4 < missing.mean() < 0.6
    assert (found.places[missing, -2] == 0.5).all()


def looking(lefts: dict[int, float]) -> tuple[Ending, list[int]]:
    asked: list[int] = []

    def left(scored: int) -> float:
        asked.append(scored)
        return lefts[scored]

    return Ending(AIM, gain=Gain(0.05, math.nan, left)), asked


def test_two_looks_in_a_row_end_a_search_and_each_is_taken_once() -> None:
    ending, asked = looking({20: 0.01, 30: 0.9, 40: 0.04, 50: 0.012})
    for number in range(50):
        assert (number, ending.reason) == (number, "")
        ending.take(result(3.0))
    assert ending.reason == ending.reason
    assert ending.reason == "the expected improvement left is 0.012, less than search.gain=0.05; a smaller one goes on"
    assert sorted(asked) == [20, 30, 40, 50]


def test_no_look_is_taken_before_there_are_twenty_scores() -> None:
    """Points that failed have none."""
    ending, asked = looking({})
    for _ in range(19):
        ending.take(result(3.0))
        ending.take(result(None))
        assert ending.reason == ""
    assert asked == []


def test_a_search_that_goes_on_says_what_it_said() -> None:
    """All results of an earlier part are there at once; none of them is run for nothing."""
    first, _ = looking({20: 0.9, 30: 0.04, 40: 0.012})
    again, asked = looking({30: 0.04, 40: 0.012})
    for number in range(43):
        assert bool(first.reason) == (number >= 40)
        for each in (first, again):
            each.take(result(3.0))
    assert again.reason == first.reason
    assert asked == [40, 30]


def test_noise_is_the_corrected_standard_error_of_the_best_score() -> None:
    """sqrt(1/5 + 1/4) of the spread over five folds: 0.0671 where that is 0.1."""
    correction = math.sqrt(1 / 5 + 1 / 4)
    for left, ends in ((0.066, True), (0.068, False)):
        ending = Ending(AIM, gain=Gain(None, correction, lambda scored, left=left: left))  # type: ignore[misc]
        for number in range(30):
            ending.take(result(4.0 - (number == 7), cv_rmse_std=0.1 if number == 7 else 5.0))
        assert bool(ending.reason) == ends
        assert not ends or "less than the best score's standard error, 0.067 (search.gain=noise)" in ending.reason


@pytest.mark.parametrize(
    ("gain", "kind", "aim", "n_splits", "says"),
    [
        (0.1, "grid", AIM, 5, "a grid tries every combination"),
        (0.1, "optuna", Aim(("cv_rmse", "fit_seconds"), ("minimize", "minimize")), 5, "there are 2 objectives"),
        ("noise", "optuna", Aim(("rmse",), ("minimize",)), 0, "rmse is no mean over folds"),
        ("noise", "optuna", Aim(("fit_seconds",), ("minimize",)), 5, "fit_seconds is no mean over folds"),
    ],
)
def test_a_gain_that_cannot_be_told_is_refused(
    gain: float | str, kind: str, aim: Aim, n_splits: int, says: str
) -> None:
    (fault,) = gain_faults(gain, kind, aim, n_splits)
    assert says in fault.says


@pytest.mark.parametrize("gain", [None, 0.1, "noise"])
def test_a_gain_that_can_be_told_is_not_refused(gain: float | str | None) -> None:
    assert list(gain_faults(gain, "optuna", AIM, 5)) == []


def test_the_defaults_of_all_options_are_tried_however_small_patience_is() -> None:
    """The first family was the best so far; two worse ones after it ended the search before the others were tried."""
    ending = Ending(AIM, patience=2, first=4)
    for score in (1.0, 2.0, 2.0, 2.0):
        ending.take(result(score))
        assert not ending.reason
    ending.take(result(None))
    assert not ending.reason
    ending.take(result(2.0))
    assert ending.reason.startswith("the last 2 points have not improved on the best")


def test_a_search_that_keeps_no_study_does_not_say_that_it_goes_on() -> None:
    assert Ending(AIM, timeout=0, then=BEGINS_ANEW).reason == f"timeout=0 seconds are over; {BEGINS_ANEW}"
