"""Recorded models to predict with, and tables of new rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow.entities import Run

from tests.conftest import ROOT, Command, Result

COLUMNS = ["CRIM", "ZN", "INDUS", "CHAS", "NOX", "RM", "AGE", "DIS", "RAD", "TAX", "PTRATIO", "B", "LSTAT", "MEDV"]


@pytest.fixture
def ridge(runs: Callable[[str], list[Run]]) -> Run:
    return runs("tags.model_type = 'Ridge' and params.`evaluation.n_splits` = '5' and tags.dataset = 'boston'")[0]


@pytest.fixture
def model(ridge: Run) -> str:
    return f"from_model=runs:/{ridge.info.run_id}/model"


@pytest.fixture
def boston() -> pd.DataFrame:
    """The table of the built-in case, with its header."""
    return pd.read_csv(ROOT / "data" / "raw" / "housing.csv", sep=r"\s+", header=None, names=COLUMNS)


@pytest.fixture
def features(boston: pd.DataFrame, tmp_path: Path) -> Path:
    """A CSV file of twenty rows without the target."""
    file = tmp_path / "new.csv"
    boston.drop(columns="MEDV").head(20).to_csv(file, index=False)
    return file


@pytest.fixture
def predict(command: Command, tmp_path: Path) -> Callable[..., Result]:
    """The command; output goes to predictions.csv of the test's folder."""
    return lambda *overrides: command(*overrides, program="predict")


@pytest.fixture
def as_json(predict: Callable[..., Result]) -> Callable[..., dict[str, object]]:
    def call(*overrides: str) -> dict[str, object]:
        result = predict(*overrides, "format=json")
        assert result.code in (0, 1), result.err
        found: dict[str, object] = json.loads(result.out)
        return found

    return call


HOUSES = 300


@pytest.fixture
def houses(tmp_path: Path) -> Path:
    """A table with numbers, booleans, text and gaps."""
    rng = np.random.default_rng(3)
    area, garden = rng.uniform(30, 200, HOUSES), rng.random(HOUSES) < 0.4
    town = rng.choice(["Ulm", "Köln", "Bonn"], HOUSES)
    price = 3 * area + 40 * garden + 50 * (town == "Köln") + rng.normal(0, 20, HOUSES)
    table = pd.DataFrame({"id": range(HOUSES), "area": area.round(1), "garden": garden, "town": town, "price": price})
    table.loc[::17, "area"] = np.nan
    table.loc[::23, "town"] = None
    file = tmp_path / "houses.csv"
    table.to_csv(file, index=False)
    return file


@pytest.fixture
def house_model(houses: Path, command: Command) -> str:
    """The id of a run that was trained on it."""
    result = command(
        "model=ridge", "data=csv", f"data.path={houses}", "data.target=price", "data.drop=[id]", "preprocess=tabular",
        "evaluation=cv", "data.slices=[town]", "figures=none", "quiet=true",
    )  # fmt: skip
    assert result.code == 0, result.err
    return result.out.strip()
