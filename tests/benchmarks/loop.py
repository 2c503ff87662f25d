"""The hand-rolled grid that a sweep replaces: an itertools loop with MLflow's defaults, on sqlite.

    python tests/benchmarks/loop.py STORE.db POINTS

Prints the seconds until the first point and the median seconds of a point; the grid has 36 of them.
"""

import itertools
import statistics
import sys
import time

start = time.perf_counter()

import mlflow  # noqa: E402
import pandas as pd  # noqa: E402
from mlflow.models import infer_signature  # noqa: E402
from sklearn.ensemble import RandomForestRegressor  # noqa: E402
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error  # noqa: E402
from sklearn.model_selection import train_test_split  # noqa: E402

from boston_exp.config.settings import PROJECT_ROOT  # noqa: E402

store, wanted = sys.argv[1], int(sys.argv[2])
mlflow.set_tracking_uri(f"sqlite:///{store}")
mlflow.set_experiment("loop")
table = pd.read_csv(PROJECT_ROOT / "data/raw/housing.csv", sep=r"\s+", header=None, names=[*"abcdefghijklm", "y"])
X, X_test, y, y_test = train_test_split(
    table.drop(columns="y").astype(float), table["y"], test_size=0.2, random_state=42
)
grid = list(itertools.product((50, 100, 200), (5, 10, 15, None), (2, 5, 10)))
before, seconds = time.perf_counter() - start, []
for n_estimators, max_depth, min_samples_split in grid[:: len(grid) // wanted][:wanted]:
    begun = time.perf_counter()
    model = RandomForestRegressor(
        n_estimators, max_depth=max_depth, min_samples_split=min_samples_split, min_samples_leaf=2, random_state=42
    )
    with mlflow.start_run():
        mlflow.log_params(model.get_params())
        predicted = model.fit(X, y).predict(X_test)
        mlflow.log_metric("r2_score", r2_score(y_test, predicted))
        mlflow.log_metric("rmse", root_mean_squared_error(y_test, predicted))
        mlflow.log_metric("mae", mean_absolute_error(y_test, predicted))
        mlflow.sklearn.log_model(
            model,
            name="model",
            signature=infer_signature(X, predicted),
            input_example=X.head(5),
            skops_trusted_types=["sklearn.tree._tree.Tree"],
        )
    seconds.append(time.perf_counter() - begun)
print(before, statistics.mean(seconds))
