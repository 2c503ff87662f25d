"""Canaries: an upgrade that moves what compat.py uses has to be looked at."""

from __future__ import annotations

import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge

from boston_exp.experiment.compat import validate_parameters


def test_scikit_learns_own_check_runs_before_the_fit() -> None:
    validate_parameters(RandomForestRegressor(criterion="absolute_error"))
    with pytest.raises(ValueError, match="The 'criterion' parameter of RandomForestRegressor must be"):
        validate_parameters(RandomForestRegressor(criterion="nonsense"))
    with pytest.raises(ValueError, match="The 'alpha' parameter of Ridge must be"):
        validate_parameters(Ridge(alpha=-1.0))


def test_an_estimator_without_one_is_left_to_its_fit() -> None:
    validate_parameters(object())
