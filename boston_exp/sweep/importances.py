"""Which parameters of a study mattered, where that can be told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.trial import TrialState

ENOUGH = 20  # complete trials, below which the importance of parameters is guessed


def importances(
    study: optuna.Study, among: Callable[[Mapping[str, Any]], list[str] | None] = lambda best: None
) -> dict[str, float]:
    """Shares of the objective's variance that the parameters explain (fANOVA); nothing where that cannot be told.

    `among` says of which parameters, by those of the best trial, and with that of which trials: those that have all of
    them. None: of all.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(study.directions) > 1 or not complete:
        return {}
    params = among(study.best_params)
    complete = [trial for trial in complete if set(params or ()) <= trial.params.keys()]
    if len(complete) < ENOUGH or params == []:
        return {}
    try:
        return optuna.importance.get_param_importances(study, params=params)
    except (RuntimeError, ValueError):  # all scores alike, or only one parameter: nothing to explain
        return {}
