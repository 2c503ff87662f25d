"""Private names of libraries that this room uses, each with its reason; tests/sweep/test_compat.py watches them."""

from __future__ import annotations

import math

from hydra_plugins.hydra_optuna_sweeper._impl import create_params_from_overrides
from optuna.distributions import BaseDistribution, FloatDistribution


def distribution_of(override: str) -> dict[str, BaseDistribution]:
    """Optuna's distribution for a range in Hydra's grammar: `model.alpha=tag(log,interval(0.001,100))`.

    Private: hydra-optuna-sweeper's `_impl`, whose public class runs a whole sweep. Raises ValueError or AssertionError
    for what is no range, or has no end: it would be searched evenly.
    """
    distributions: dict[str, BaseDistribution] = create_params_from_overrides([override])[0]
    for each in distributions.values():
        if isinstance(each, FloatDistribution) and not math.isfinite(each.high - each.low):
            raise ValueError(f"its ends have to be finite, but are {each.low:g} and {each.high:g}.")
    return distributions
