"""Tables made for the checks, and a Context of a model that was evaluated on one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression

from boston_exp.config.schema import Config, Data, Evaluation
from boston_exp.experiment.checks.context import Context
from boston_exp.experiment.dataset import Dataset
from boston_exp.experiment.evaluation import evaluate
from boston_exp.experiment.split import Split, split_rows


def dataset_of(table: pd.DataFrame, drop: tuple[str, ...] = ()) -> Dataset:
    """The target is `y`; numbers are float64 and the rest is object, as `load` gives them."""
    X = table.drop(columns=["y", *drop])
    numeric = X.select_dtypes(include=["number", "bool"]).columns
    X = X.astype({name: "float64" if name in numeric else "object" for name in X.columns})
    digest = str(pd.util.hash_pandas_object(table.astype(str)).sum())
    return Dataset("made", table, X.where(X.notna(), np.nan), table["y"].astype("float64"), digest, "", False, "y", "")


def context_of(
    table: pd.DataFrame,
    estimator: BaseEstimator | None = None,
    roles: Mapping[str, str] | None = None,
    folds: int = 0,
    seed: int = 42,
    drop: tuple[str, ...] = (),
    rows: Split | None = None,
    **data: Any,
) -> Context:
    """Of a linear regression, unless told otherwise; `rows` is a split other than the random one."""
    dataset = dataset_of(table, drop)
    config = Config(
        model={"_target_": "m"},
        data=Data(target="y", split_seed=seed, drop=list(drop)),
        evaluation=Evaluation(n_splits=folds),
    )
    for name, value in data.items():
        setattr(config.data, name, value)
    rows = rows or split_rows(dataset, config)
    estimator = LinearRegression() if estimator is None else estimator
    return Context(dataset, rows, evaluate(estimator, rows, seed, 0), estimator, config, roles or {})


def linear(n: int = 500, seed: int = 0, noise: float = 1.0, columns: int = 5) -> pd.DataFrame:
    """y is the sum of normal columns and normal noise."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, columns)), columns=[f"x{place}" for place in range(columns)])
    return X.assign(y=X.sum(axis=1) + noise * rng.normal(size=n))


def swept(context: Context) -> Context:
    """The same as a point of a sweep."""
    return replace(context, swept=True)
