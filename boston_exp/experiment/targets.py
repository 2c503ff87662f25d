"""What a `_target_` may be: a class that is an estimator or a part of one, or a ufunc; nothing else is called.

A package that is trusted holds more than estimators: scikit-learn has functions that run scripts, remove folders, load
pickles. docs/security.md says what is trusted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hydra.utils import instantiate

from boston_exp.config.parsing import literal
from boston_exp.config.targets import SCORES, UFUNCS

KINDS = (
    "sklearn.base.BaseEstimator",
    "sklearn.gaussian_process.kernels.Kernel",
    "sklearn.compose._column_transformer.make_column_selector",
)
OWN = (f"{__name__}.ufunc", f"{__name__}.score")  # what takes the place of a function's name
METHODS = (("fit", "predict"), ("fit", "transform"), ("split", "get_n_splits"))  # of foreign estimators, and splitters


def instantiated(node: Any, whitelist: list[str]) -> Any:
    """The object that a node describes, its parts included.

    Raises what Hydra does for a target outside of the whitelist or one that cannot be made, and TypeError for one that
    is none of the things that a target may be.
    """
    return instantiate(checked(node, whitelist), _execution_whitelist_=[*whitelist, *UFUNCS, *OWN], _convert_="all")


def checked(node: Any, whitelist: list[str]) -> Any:
    """The node, its text as it stands, and what names a ufunc replaced by what gives it: calling it is not meant.

    Imports what is named, and constructs nothing. Raises like `instantiated`.
    """
    if isinstance(node, list):
        return [checked(item, whitelist) for item in node]
    if not isinstance(node, dict):
        return literal(node)  # instantiating resolves: `${oc.create:…}` would be a target that nobody has checked
    target = node.get("_target_")
    if target in UFUNCS:
        return {"_target_": f"{__name__}.ufunc", "name": target.partition(".")[2]}
    if target in SCORES and "sklearn.*" in whitelist:
        return {"_target_": f"{__name__}.score", "name": str(target).rpartition(".")[2]}
    if target is not None and not _is_part(named(str(target), whitelist)):
        raise TypeError(f"{target} is not an estimator, a transformer, a kernel, a splitter or a selector")
    return {name: checked(value, whitelist) for name, value in node.items()}


def named(target: str, whitelist: list[str]) -> Any:
    """What a target names, imported but not called."""
    return instantiate({"_target_": target, "_partial_": True}, _execution_whitelist_=whitelist).func


def ufunc(name: str) -> Any:
    """One of NumPy's, itself."""
    return getattr(np, name)


def score(name: str) -> Any:
    """One of scikit-learn's for selecting features, itself."""
    import sklearn.feature_selection

    return getattr(sklearn.feature_selection, name)


def _is_part(kind: object) -> bool:
    if not isinstance(kind, type):
        return False
    names = {f"{each.__module__}.{each.__qualname__}" for each in kind.__mro__}
    return bool(names & set(KINDS)) or any(all(hasattr(kind, name) for name in methods) for methods in METHODS)
