"""The least that a tracked run can cost: a bare script with the same imports, fit, params, metrics and model.

    python tests/benchmarks/floor.py STORE.db [defaults]

With `defaults` the model is logged as every guide does it, requirements guessed by MLflow.
"""

import sys
from importlib.metadata import version

import hydra  # noqa: F401  (part of the floor: the run composes with it)
import mlflow
import pandas as pd
from mlflow.models import infer_signature
from sklearn.ensemble import RandomForestRegressor
from sklearn.metrics import (
    mean_absolute_error,
    mean_absolute_percentage_error,
    r2_score,
    root_mean_squared_error,
)
from sklearn.model_selection import train_test_split

from boston_exp.config.settings import PROJECT_ROOT

store, defaults = sys.argv[1], sys.argv[2:] == ["defaults"]
mlflow.set_tracking_uri(f"sqlite:///{store}")
mlflow.set_experiment("floor")
table = pd.read_csv(PROJECT_ROOT / "data/raw/housing.csv", sep=r"\s+", header=None, names=[*"abcdefghijklm", "y"])
X, X_test, y, y_test = train_test_split(
    table.drop(columns="y").astype(float), table["y"], test_size=0.2, random_state=42
)
model = RandomForestRegressor(100, max_depth=10, min_samples_split=5, min_samples_leaf=2, random_state=42)
with mlflow.start_run():
    mlflow.log_params({**model.get_params(), **{f"data.{number}": number for number in range(15)}})
    model.fit(X, y)
    for prefix, features, actual in (("", X_test, y_test), ("train_", X, y)):
        predicted = model.predict(features)
        mlflow.log_metrics(
            {
                f"{prefix}r2_score": r2_score(actual, predicted),
                f"{prefix}rmse": root_mean_squared_error(actual, predicted),
                f"{prefix}mae": mean_absolute_error(actual, predicted),
                f"{prefix}mape": 100 * mean_absolute_percentage_error(actual, predicted),
            }
        )
    pinned = [f"{name}=={version(name)}" for name in ("mlflow", "numpy", "pandas", "scikit-learn", "scipy", "skops")]
    mlflow.sklearn.log_model(
        model,
        name="model",
        signature=infer_signature(X, predicted),
        input_example=X.head(5),
        skops_trusted_types=["sklearn.tree._tree.Tree"],
        pip_requirements=None if defaults else pinned,
    )
