"""The promoted model behind `mlflow models serve`, asked as README asks it: the numbers are those of predict."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import requests

from tests import services
from tests.conftest import Command

pytestmark = pytest.mark.slow


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    """Numbers, whole numbers, booleans, text and gaps."""
    rng = np.random.default_rng(5)
    area, rooms, garden = rng.uniform(30, 200, 300).round(1), rng.integers(1, 9, 300), rng.random(300) < 0.4
    town = rng.choice(["Ulm", "Köln", "Bonn"], 300)
    made = pd.DataFrame({"area": area, "rooms": rooms, "garden": garden, "town": town})
    made.loc[::17, "area"] = np.nan
    made.loc[::23, "town"] = None
    made["lift"] = rng.choice(np.array([True, False, None], dtype=object), 300)
    made["price"] = 3 * area + 10 * rooms + 40 * garden + 50 * (town == "Köln") + 30 * (made["lift"] == True)  # noqa: E712
    made.to_csv(tmp_path / "houses.csv", index=False)
    return made


@pytest.fixture
def served(table: pd.DataFrame, command: Command, store: Path, tmp_path: Path) -> Iterator[str]:
    result = command(
        "model=ridge", "data=csv", "data.path=houses.csv", "data.target=price", "preprocess=tabular", "evaluation=cv",
        "figures=none", "quiet=true",
    )  # fmt: skip
    assert result.code == 0, result.err
    here = "tracking.experiment_name=houses"
    promoted = command(f"run_id={result.out.strip()}", here, "dvc=none", program="promote")
    assert promoted.code == 0, promoted.err
    with services.model_server(tmp_path, "models:/houses@champion", store) as address:
        yield address


def test_the_server_gives_the_numbers_of_predict(
    served: str, table: pd.DataFrame, command: Command, tmp_path: Path
) -> None:
    rows = table.drop(columns="price").head(40)
    rows.to_csv(tmp_path / "new.csv", index=False)
    result = command("from_model=models:/houses@champion", "input=new.csv", program="predict")
    assert result.code == 0, result.err
    ours = pd.read_csv(tmp_path / "predictions.csv")["prediction"].tolist()
    split = json.loads(rows.to_json(orient="split", index=False))
    records = json.loads(rows.to_json(orient="records"))
    for body in ({"dataframe_split": split}, {"dataframe_records": records}):
        answer = requests.post(served, json=body, timeout=30)
        assert answer.status_code == 200, answer.text
        assert answer.json()["predictions"] == pytest.approx(ours, rel=1e-12)
    for number in (0, 17, 23):  # a gap alone in its request is the same gap
        answer = requests.post(served, json={"dataframe_records": records[number : number + 1]}, timeout=30)
        assert answer.json()["predictions"] == pytest.approx(ours[number : number + 1], rel=1e-12)


def test_pyfunc_takes_the_table_as_pandas_reads_it(
    served: str, table: pd.DataFrame, command: Command, tmp_path: Path, store: Path
) -> None:
    """With and without gaps in the boolean column."""
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{store}")
    try:
        model = mlflow.pyfunc.load_model("models:/houses@champion")
    finally:
        mlflow.set_tracking_uri(None)
    for rows in (table.head(40), table[table["lift"].notna()].head(20)):
        rows.drop(columns="price").to_csv(tmp_path / "new.csv", index=False)
        assert command("from_model=models:/houses@champion", "input=new.csv", program="predict").code == 0
        ours = pd.read_csv(tmp_path / "predictions.csv")["prediction"].to_numpy()
        assert model.predict(pd.read_csv(tmp_path / "new.csv")) == pytest.approx(ours, rel=1e-12)


def test_one_row_with_a_gap(served: str) -> None:
    one = {"area": 74.5, "rooms": 3, "garden": True, "town": None, "lift": None}
    answer = requests.post(served, json={"dataframe_records": [one]}, timeout=60)
    assert list(answer.json()) == ["predictions"]
