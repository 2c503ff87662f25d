"""At which numbers of trees trials are compared, and what is refused before anything is trained."""

from __future__ import annotations

from typing import Any

import optuna
import pytest

from boston_exp.sweep import fidelity
from boston_exp.sweep.plan import Aim
from tests.sweep.test_chains import config

HALVING = {"_target_": "optuna.pruners.SuccessiveHalvingPruner", "min_resource": 20, "reduction_factor": 3}
HYPERBAND = {**HALVING, "_target_": "optuna.pruners.HyperbandPruner", "max_resource": 200}
MEDIAN = {"_target_": "optuna.pruners.MedianPruner"}
RMSE = Aim(("cv_rmse",), ("minimize",))


@pytest.mark.parametrize(
    ("settings", "size", "expected"),
    [
        ({}, 200, (20, 60, 180)),
        ({}, 180, (20, 60)),  # its end is a rung, too, where it is scored anyhow
        ({}, 20, ()),
        ({"min_early_stopping_rate": 1}, 200, (60, 180)),
        ({"min_resource": 5, "reduction_factor": 2}, 41, (5, 10, 20, 40)),
    ],
)
def test_rungs_are_the_pruners(settings: dict[str, Any], size: int, expected: tuple[int, ...]) -> None:
    assert fidelity.rungs(HALVING | settings, size) == expected


def test_the_rungs_are_those_at_which_optuna_decides() -> None:
    """Scores at any other number of trees would cost time and end no trial."""
    study = optuna.create_study(pruner=optuna.pruners.SuccessiveHalvingPruner(5, reduction_factor=3))
    trial, decided, done = study.ask(), [], 0
    for step in range(1, 60):
        trial.report(0.0, step)
        trial.should_prune()
        rungs = sum("rung" in name for name in study.trials[0].system_attrs)
        if rungs > done:
            decided.append(step)
        done = rungs
    assert tuple(decided) == fidelity.rungs(HALVING | {"min_resource": 5}, 60)


def said(
    *overrides: str,
    pruner: Any = HALVING,
    resource: str = "trees",
    storage: str | None = "sqlite:///o.db",
    aim: Aim = RMSE,
) -> str:
    return " ".join(fault.says for fault in fidelity.faults(pruner, resource, storage, aim, config(*overrides)))


def test_what_can_be_compared_by_trees_is_not_refused() -> None:
    assert said() == said(pruner=HYPERBAND) == said("model=hist_gradient_boosting") == ""
    assert said(resource="folds", pruner=MEDIAN) == said(resource="folds", pruner=None, storage=None) == ""


@pytest.mark.parametrize(
    ("overrides", "given", "expected"),
    [
        ((), {"resource": "tree"}, "Did you mean 'trees'?"),
        ((), {"pruner": MEDIAN}, "rungs, which MedianPruner does not have"),
        ((), {"pruner": None}, "pruner=none does not have"),
        ((), {"pruner": HALVING | {"min_resource": "auto"}}, "needs a first rung"),
        ((), {"pruner": HYPERBAND | {"max_resource": None}}, "how many trees a trial has at its end"),
        ((), {"pruner": HYPERBAND | {"max_resource": "auto"}, "resource": "folds"}, "how many folds"),
        ((), {"storage": None}, "keeps it in memory"),
        ((), {"aim": Aim(("rmse",), ("minimize",))}, "one metric of the folds, and the objective is rmse"),
        (
            (),
            {"aim": Aim(("cv_rmse", "fit_seconds"), ("minimize",) * 2)},
            "the objective fit_seconds exclude each other",
        ),
        (("model=ridge",), {}, "Ridge, as it is set, does not"),
        (("model=hist_gradient_boosting", "+model.early_stopping=true"), {}, "without early stopping"),
        (("model=xgboost",), {}, "XGBRegressor, as it is set, does not"),
    ],
)
def test_what_cannot_be_compared_so_is_refused(overrides: tuple[str, ...], given: Any, expected: str) -> None:
    assert expected in said(*overrides, **given)
