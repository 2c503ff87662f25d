"""Private names of libraries that this room uses, each with its reason; tests/sweep/test_compat.py watches them."""

from __future__ import annotations

from hydra_plugins.hydra_optuna_sweeper._impl import create_params_from_overrides
from optuna.distributions import BaseDistribution


def distribution_of(override: str) -> dict[str, BaseDistribution]:
    """Optuna's distribution for a range in Hydra's grammar: `model.alpha=tag(log,interval(0.001,100))`.

    Private: hydra-optuna-sweeper's `_impl`, whose public class runs a whole sweep. Raises ValueError or AssertionError
    for what is no range.
    """
    distributions: dict[str, BaseDistribution] = create_params_from_overrides([override])[0]
    return distributions
