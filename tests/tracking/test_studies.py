"""What a study says of its parameters."""

from __future__ import annotations

import optuna
import pytest

from boston_exp.tracking.studies import ENOUGH, Study


@pytest.mark.parametrize(("trials", "told"), [(ENOUGH - 1, False), (ENOUGH, True)])
def test_few_trials_do_not_say_which_parameter_mattered(trials: int, told: bool) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(lambda trial: trial.suggest_float("a", 0, 1) + 0.1 * trial.suggest_float("b", 0, 1), trials)
    shares = Study(study, study._storage).importances()
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
    assert Study(study, study._storage).importances() == {}
