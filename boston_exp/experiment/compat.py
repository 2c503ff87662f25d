"""Private names of libraries that this room uses, with their reasons; tests/experiment/test_compat.py watches them."""

from __future__ import annotations

from typing import Any


def validate_parameters(estimator: Any) -> None:
    """scikit-learn's own check of parameters, which otherwise runs at `fit`, after the run was opened.

    Private: `_validate_params`, `_parameter_constraints`. There is no public way to have it before `fit`; an estimator
    without it is checked by its `fit`. Raises ValueError (sklearn.utils.InvalidParameterError).
    """
    if hasattr(estimator, "_parameter_constraints"):
        estimator._validate_params()
