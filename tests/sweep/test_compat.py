"""Canaries: an upgrade that moves what compat.py uses has to be looked at."""

from __future__ import annotations

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from boston_exp.sweep.compat import distribution_of


def test_hydras_ranges_become_optunas_distributions() -> None:
    assert distribution_of("a=tag(log,interval(0.001,100))") == {"a": FloatDistribution(0.001, 100.0, log=True)}
    assert distribution_of("a=int(interval(2,9))") == {"a": IntDistribution(2, 9)}
    assert distribution_of("a=range(2,9)") == {"a": IntDistribution(2, 8)}
    assert distribution_of("a=1,2,null") == {"a": CategoricalDistribution((1, 2, "null"))}


def test_what_is_no_range_is_refused() -> None:
    with pytest.raises((ValueError, AssertionError)):
        distribution_of("a=interval(9,2)")
