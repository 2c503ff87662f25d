"""From the model and preprocess nodes to one scikit-learn estimator, or to everything that is wrong with them."""

from __future__ import annotations

import inspect
import shlex
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
from hydra.errors import HydraException
from sklearn.base import BaseEstimator, clone, is_classifier, is_clusterer, is_outlier_detector
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter

from boston_exp.config.invocation import again, quoted_list, was_typed
from boston_exp.config.schema import Config
from boston_exp.errors import Fault, InvalidConfig, InvalidData, did_you_mean
from boston_exp.experiment.compat import validate_parameters
from boston_exp.experiment.dataset import Dataset
from boston_exp.experiment.roles import Role, resolved
from boston_exp.experiment.targets import instantiated, named

PROBE = 1000  # rows that the preprocess is tried on
EXTRAS = {"lightgbm": "lightgbm", "xgboost": "boosting", "catboost": "boosting", "quantile_forest": "quantile"}


def build(config: Config, roles: Mapping[str, Role] | None = None) -> BaseEstimator:
    """The estimator, not fitted: a Pipeline (preprocess, model) where there is a preprocess, else the model alone.

    `roles` are those of the table's columns, where the preprocess names columns by them.

    Raises InvalidConfig for a `_target_` that cannot be imported or does not take these parameters.
    """
    whitelist = [f"{package}.*" for package in config.trusted_packages]
    model, faults = _instantiate("model", config.model, whitelist)
    preprocess = None
    if config.preprocess:
        preprocess, more = _preprocess(config, roles or {}, whitelist)
        faults += more
    if faults:
        raise InvalidConfig(*faults)
    estimator = model if preprocess is None else Pipeline([("preprocess", preprocess), ("model", model)])
    return _seeded(estimator, config.seed)


def _preprocess(config: Config, roles: Mapping[str, Role], whitelist: list[str]) -> tuple[Any, list[Fault]]:
    """Columns are named once it is made: instantiating would take a name such as ${oc.env:HOME} for an interpolation,
    and put a secret in its place."""
    names = {f"column:{place}": name for place, name in enumerate(roles)}
    known = dict(zip(names, roles.values(), strict=True))
    preprocess, faults = _instantiate("preprocess", resolved(config.preprocess, known), whitelist)
    for part in () if faults else (preprocess, *_parts(preprocess)):
        if isinstance(getattr(part, "transformers", None), list):
            part.transformers = [
                (*step, [names.get(each, each) for each in columns] if isinstance(columns, list) else columns)
                for *step, columns in part.transformers
            ]
    return preprocess, faults


def _seeded(estimator: BaseEstimator, seed: int) -> BaseEstimator:
    """Give every open random_state the seed: the same fingerprint means the same result."""
    if hasattr(estimator, "get_params"):
        params = estimator.get_params(deep=True)
        unset = [name for name, value in params.items() if name.endswith("random_state") and value is None]
        if unset:
            estimator.set_params(**dict.fromkeys(unset, seed))
    return estimator


def check_suits(estimator: BaseEstimator, dataset: Dataset) -> None:
    """Raise InvalidData if text, dates, gaps, weights or a target would reach a model that cannot take them.

    Only a table that has text or gaps is tried on the preprocess, a part of its rows; any other costs nothing here.
    """
    faults = list(_target_faults(final_step(estimator), dataset.y))
    if dataset.text_columns or dataset.columns_with_gaps:
        preprocess = estimator[:-1] if isinstance(estimator, Pipeline) else None
        faults += _table_faults(final_step(estimator), preprocess, dataset)
    if dataset.weights is not None and not has_fit_parameter(_learner(final_step(estimator)), "sample_weight"):
        says = (
            f"{type(final_step(estimator)).__name__} takes no weights, and data.weight={dataset.weights.name} has some."
        )
        faults.append(Fault(says, again("model=random_forest", without=["model"]) + "   (or leave data.weight out)"))
    if faults:
        raise InvalidData(*faults)


def _learner(model: BaseEstimator) -> BaseEstimator:
    """What is given the table and its weights: of a model with a transformed target the regressor inside."""
    inside = getattr(model, "regressor", None)
    return model if inside is None else inside


def _takes_gaps(learner: BaseEstimator) -> bool:
    """What its tags say; quantile-forest's are those of scikit-learn's forests, and its `predict` refuses gaps."""
    package = type(learner).__module__.partition(".")[0]
    tags = get_tags(learner)
    return bool(tags.input_tags.allow_nan or tags.no_validation) and package != "quantile_forest"


def _target_faults(model: BaseEstimator, y: pd.Series) -> Iterator[Fault]:
    """A transformed target has to be numbers again: there is no logarithm of a loss."""
    function = getattr(model, "func", None)
    if not isinstance(function, np.ufunc):
        return
    with np.errstate(all="ignore"):
        refused = y[~np.isfinite(function(y.to_numpy()))]
    if len(refused):
        yield Fault(
            f"The target {y.name} has {len(refused):,} values whose {function.__name__} is no number, "
            f"such as {refused.iloc[0]:g}.",
            again("model.func._target_=numpy.arcsinh", "model.inverse_func._target_=numpy.sinh")
            + "   (like a logarithm on both sides of zero; or model=random_forest)",
        )


def final_step(estimator: BaseEstimator) -> BaseEstimator:
    """The model itself, without the preprocess in front of it."""
    return estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator


def _instantiate(group: str, node: dict[str, Any], whitelist: list[str]) -> tuple[Any, list[Fault]]:
    target = str(node.get("_target_"))
    show = f"{again(multirun=False)} --cfg job --package {group}   (shows what {target} is given)"
    try:
        kind = named(target, whitelist)
    except (HydraException, ImportError, ValueError) as error:
        mend = _pip(target) or show
        return None, [Fault(f"{group}._target_={target} cannot be used: {_cause(error)}", mend)]
    unknown = list(_unknown_parameters(group, target, kind, node))
    if unknown:
        return None, unknown
    try:
        made = instantiated(node, whitelist)
        for part in (made, *_parts(made)):
            validate_parameters(part)
    except (HydraException, TypeError, ValueError) as error:
        return None, [Fault(f"{group}: {_cause(error)}", show)]
    needs = ("fit", "predict") if group == "model" else ("fit", "transform")
    if isinstance(made, type) or not all(hasattr(made, name) for name in needs):
        return None, [Fault(f"{group}._target_={target} has no {' and '.join(needs)}.", show)]
    if is_classifier(made) or is_clusterer(made) or is_outlier_detector(made):
        return None, [
            Fault(
                f"{group}._target_={target} is not a regressor; this runner does regression.",
                again("model=random_forest", without=["model"]),
            )
        ]
    return made, []


def _unknown_parameters(group: str, target: str, kind: object, node: dict[str, Any]) -> Iterator[Fault]:
    if not isinstance(kind, type):
        return
    parameters = inspect.signature(kind).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for name in node:
        if name not in parameters and not name.startswith("_"):
            yield Fault(
                f"{group}.{name}: {target} has no such parameter.{did_you_mean(name, parameters)} "
                f"It takes: {', '.join(parameters)}.",
                again(f"~{group}.{name}") + "   (removes one that the YAML sets)"
                if not was_typed(f"{group}.{name}")
                else again(without=[f"{group}.{name}"]),
            )


def _pip(target: str) -> str | None:
    """How to install the package of a target, if it is not installed."""
    package = target.partition(".")[0]
    try:
        if find_spec(package):
            return None
    except (ImportError, ValueError):
        return None
    if package in EXTRAS:
        return f"{sys.executable} -m pip install -e '.[{EXTRAS[package]}]'   (in the project's folder)"
    return f"{sys.executable} -m pip install {package}"


def _parts(made: Any) -> Iterator[Any]:
    if hasattr(made, "get_params"):
        yield from (value for value in made.get_params(deep=True).values() if hasattr(value, "get_params"))


def _cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).partition("\nfull_key:")[0].rstrip(". \n") + "."


def _probe(dataset: Dataset) -> pd.DataFrame:
    """The first rows, and of each column with gaps the first that has one."""
    first = min(PROBE, len(dataset.X))
    gaps = [int(np.argmax(dataset.X[name].isna().to_numpy())) for name in dataset.columns_with_gaps]
    return dataset.X.iloc[np.union1d(np.arange(first), np.array(gaps, dtype=np.int64))]


def _table_faults(model: BaseEstimator, preprocess: Any, dataset: Dataset) -> Iterator[Fault]:
    text, gaps = dataset.text_columns, dataset.columns_with_gaps
    tabular = again("preprocess=tabular")
    X = _probe(dataset)
    if preprocess is not None:
        try:
            X = clone(preprocess).set_output(transform="pandas").fit_transform(X, dataset.y.loc[X.index])
        except (TypeError, ValueError) as error:
            columns = f"text columns: {', '.join(text)}" if text else f"gaps in: {', '.join(gaps)}"
            yield Fault(f"preprocess cannot take this table ({columns}): {_cause(error)}", tabular)
            return
    text = [str(name) for name, dtype in X.dtypes.items() if dtype.kind not in "fiub"]
    gaps = [str(name) for name in X.columns[X.isna().any()] if name not in text]
    if text:
        yield Fault(
            f"Text columns, which {type(model).__name__} cannot take: {', '.join(text)}.",
            f"{tabular}   (or leave them out: {shlex.quote(f'data.drop={quoted_list(text)}')})",
        )
    if gaps and not _takes_gaps(_learner(model)):
        yield Fault(
            f"Gaps, which {type(model).__name__} cannot take, in: {', '.join(gaps)}.",
            f"{tabular}   (fills them with the median of the training rows)",
        )
