"""A stored model predicts on a file as pandas reads it: integers, booleans, text and gaps, in-process and served."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from tests import services
from tests.conftest import Command

TRAIN = (
    "data=csv",
    "data.path=my.csv",
    "data.target=price",
    "preprocess=tabular",
    "model.n_estimators=20",
    "figures=none",
)


def table(rows: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rooms, garden, size = rng.integers(1, 6, rows), rng.random(rows) < 0.5, rng.uniform(30, 200, rows).round(1)
    town = rng.choice(["Ulm", "Bonn", "Köln"], rows)
    price = 3 * size + 20 * rooms + 15 * garden + 10 * (town == "Ulm")
    return pd.DataFrame({"rooms": rooms, "garden": garden, "size": size, "town": town, "price": price})


def with_gaps(frame: pd.DataFrame) -> pd.DataFrame:
    frame = frame.astype({"rooms": "float64", "garden": "object"})
    for row, column in enumerate(("rooms", "garden", "size", "town")):
        frame.loc[row, column] = np.nan
    return frame


def as_read(frame: pd.DataFrame, folder: Path) -> pd.DataFrame:
    frame.to_csv(folder / "new.csv", index=False)
    return pd.read_csv(folder / "new.csv").drop(columns="price")


@pytest.fixture
def uri(command: Command, store: Path, tmp_path: Path) -> str:
    """A model that was trained on such a file."""
    table().to_csv(tmp_path / "my.csv", index=False)
    result = command(*TRAIN)
    assert result.code == 0, result.err
    mlflow.set_tracking_uri(f"sqlite:///{store}")
    client = MlflowClient(f"sqlite:///{store}")
    (run,) = client.search_runs([client.get_experiment_by_name("my").experiment_id])
    return f"runs:/{run.info.run_id}/model"


# What a new file can look like without being wrong: in a small one pandas may find integers where there were floats.
FILES = {
    "the file itself": table(),
    "with gaps": with_gaps(table()),
    "whole numbers only": table(5).assign(size=[50, 60, 70, 80, 90]),
}


@pytest.mark.parametrize("name", FILES)
def test_both_flavours_predict_on_the_file_as_read(uri: str, tmp_path: Path, name: str) -> None:
    asked = as_read(FILES[name], tmp_path)
    model, general = mlflow.sklearn.load_model(uri), mlflow.pyfunc.load_model(uri)
    predicted = model.predict(asked)
    assert predicted.shape == (len(asked),)
    assert np.isfinite(predicted).all()
    assert general.predict(asked) == pytest.approx(predicted)


def test_the_file_it_was_trained_on_gets_the_recorded_predictions(uri: str, tmp_path: Path, store: Path) -> None:
    run_id = uri.split("/")[1]
    recorded = pd.read_csv(store.parent / "mlartifacts" / "my" / run_id / "artifacts" / "predictions.csv")
    predicted = mlflow.pyfunc.load_model(uri).predict(as_read(table(), tmp_path))
    assert predicted[recorded.row] == pytest.approx(recorded.predicted, abs=1e-12)


def test_text_in_place_of_a_number_is_refused(uri: str, tmp_path: Path) -> None:
    asked = as_read(table(5), tmp_path).assign(size="large")
    with pytest.raises(Exception, match="large"):
        mlflow.pyfunc.load_model(uri).predict(asked)


@pytest.mark.slow
def test_a_served_model_predicts_on_the_file_as_read(uri: str, tmp_path: Path, store: Path) -> None:
    """`mlflow models serve`, its scoring server asked with the table as pandas writes it to JSON."""
    port = services.free_port()
    address = f"http://127.0.0.1:{port}"
    command = [str(services.BIN / "mlflow"), "models", "serve", "--model-uri", uri, "--env-manager", "local"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    environment = services.plain_environment(
        MLFLOW_TRACKING_URI=f"sqlite:///{store}", PYTHONPATH=os.pathsep.join(sys.path)
    )
    with services.process(command, tmp_path, environment) as serving:
        services.wait_for(f"{address}/ping", serving, tmp_path / "log")
        for frame in (FILES["the file itself"], FILES["with gaps"], FILES["whole numbers only"]):
            asked = as_read(frame, tmp_path)
            body = json.dumps({"dataframe_split": json.loads(asked.to_json(orient="split", index=False))})
            kind = {"Content-Type": "application/json"}
            request = urllib.request.Request(f"{address}/invocations", body.encode(), kind)  # noqa: S310 (our own)
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 (our own service)
                served = json.loads(answer.read())["predictions"]
            assert served == pytest.approx(mlflow.sklearn.load_model(uri).predict(asked))
