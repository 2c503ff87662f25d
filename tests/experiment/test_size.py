"""What keeps the cost of a large table near that of its fit: bounds, samples, one thread where more would spin."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from sklearn.linear_model import LinearRegression
from threadpoolctl import threadpool_info

from boston_exp.experiment import importance as importances
from boston_exp.experiment import threads
from boston_exp.experiment.dataset import Dataset
from boston_exp.experiment.evaluation import evaluate
from boston_exp.experiment.split import Split
from boston_exp.reporting.figures import MANY, predictions
from tests.conftest import ROOT, Command

rng = np.random.default_rng(0)


def rows(n: int, columns: int) -> Split:
    X = pd.DataFrame(rng.normal(size=(2 * n, columns)), columns=[f"x{number}" for number in range(columns)])
    y = pd.Series(3 * X["x7"] + rng.normal(size=2 * n), name="y")
    return Split(X[:n], X[n:], y[:n], y[n:])


def test_importance_looks_at_two_hundred_columns_that_matter() -> None:
    found = evaluate(LinearRegression(), rows(1500, 400), 0, 0).importance
    assert len(found) == 400
    assert found["importance"].notna().sum() == importances.MOST_COLUMNS
    assert found["feature"][0] == "x7"
    assert found["importance"][:200].notna().all()  # those that were not looked at are last


def test_importance_tells_columns_of_one_name_but_for_their_case_apart() -> None:
    split = rows(200, 8)
    renamed = {"x0": "X7"}
    split = Split(
        split.X_train.rename(columns=renamed), split.X_test.rename(columns=renamed), split.y_train, split.y_test
    )
    found = evaluate(LinearRegression(), split, 0, 0).importance.set_index("feature")["importance"]
    assert found["x7"] > 10 * abs(found["X7"])


def test_a_figure_draws_a_density_and_not_every_row() -> None:
    split = rows(2 * MANY, 8)
    evaluated = evaluate(LinearRegression(), split, 0, 0)
    dataset = Dataset("t", split.X_test, split.X_test, split.y_test, "md5", "file", False, "y", "")
    figure = predictions("t", dataset, split, evaluated)
    drawn = [len(points.get_offsets()) for axes in figure.axes for points in axes.collections]
    assert max(drawn) <= MANY


def test_a_small_table_is_fitted_with_one_openmp_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    class Watched(LinearRegression):
        def fit(self, X: pd.DataFrame, y: pd.Series) -> Watched:
            pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "openmp"]
            seen.append(max(pools))
            super().fit(X, y)
            return self

    seen: list[int] = []
    before = max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "openmp")
    evaluate(Watched(), rows(50, 8), 0, 0)
    monkeypatch.setattr(threads, "CELLS", 10)
    evaluate(Watched(), rows(50, 8), 0, 0)
    assert seen == [1, before]


def test_a_wide_table_is_recorded_with_less_and_that_is_said(command: Command, store: Path, tmp_path: Path) -> None:
    """MLflow refuses a schema of more than a million characters."""
    split = rows(30, 1500)
    table = split.X_train.assign(y=split.y_train)
    table.loc[3, "x5"] = np.nan
    table.to_parquet(tmp_path / "wide.parquet")
    overrides = ("data=csv", "data.path=wide.parquet", "data.target=y", "model=ridge", "preprocess=tabular")
    result = command(*overrides, "quiet=true")
    assert result.code == 0, result.err
    assert "the data set's schema has the first 1,000 of 1,500 columns" in result.err
    run = MlflowClient(f"sqlite:///{store}").get_run(result.out.strip())
    dataset = run.inputs.dataset_inputs[0].dataset
    columns = json.loads(dataset.schema)["mlflow_colspec"]
    assert len(columns) == 1001
    assert {column["name"]: column["required"] for column in columns}["x5"] is False
    assert json.loads(dataset.profile) == {"num_rows": 30, "num_elements": 30 * 1501}


SLOW = """
import time
from boston_exp.reporting import progress
progress.PATIENCE = 0.1
with progress.shown() as doing:
    doing("fold 2 of 5")
    time.sleep(1)
print("done")
"""


def test_a_terminal_is_told_the_stage_and_a_pipe_nothing() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    piped = subprocess.run([sys.executable, "-c", SLOW], env=environment, capture_output=True, text=True, check=True)
    assert (piped.stdout, piped.stderr) == ("done\n", "")
    parent, child = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", SLOW], env=environment, stderr=child, stdout=subprocess.DEVNULL
    ) as run:
        assert run.wait(30) == 0
    os.close(child)
    assert b"fold 2 of 5" in os.read(parent, 100_000)
    os.close(parent)
