"""What a study says of its parameters, and of those that only some trials have."""

from __future__ import annotations

import optuna
import pytest

from boston_exp.sweep.importances import ENOUGH, importances


@pytest.mark.parametrize(("trials", "told"), [(ENOUGH - 1, False), (ENOUGH, True)])
def test_few_trials_do_not_say_which_parameter_mattered(trials: int, told: bool) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(lambda trial: trial.suggest_float("a", 0, 1) + 0.1 * trial.suggest_float("b", 0, 1), trials)
    shares = importances(study)
    assert bool(shares) == told
    if told:
        assert shares["a"] > shares["b"]


def test_a_pruned_trial_is_not_counted() -> None:
    def objective(trial: optuna.Trial) -> float:
        value = trial.suggest_float("a", 0, 1)
        if trial.number == 0:
            raise optuna.TrialPruned
        return value

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, ENOUGH)
    assert importances(study) == {}


def test_parameters_that_some_trials_have_are_told_of_by_those_trials() -> None:
    """The families of search=automl: of the others' parameters the best trial has no value."""

    def objective(trial: optuna.Trial) -> float:
        if trial.suggest_categorical("model", ["a", "b"]) == "b":
            return 5 + trial.suggest_float("b.x", 0, 1)
        return trial.suggest_float("a.x", 0, 1) + 0.1 * trial.suggest_float("a.y", 0, 1)

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, 3 * ENOUGH)
    shares = importances(study, lambda best: [name for name in best if "." in name])
    assert shares.keys() == {"a.x", "a.y"}
    assert shares["a.x"] > shares["a.y"]
    assert importances(study, lambda best: []) == {}
