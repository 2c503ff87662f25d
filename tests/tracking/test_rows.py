"""What is written in three transactions is what MLflow's client writes in seven calls, row by row."""

from __future__ import annotations

import math
import shutil
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from boston_exp.tracking.mlflow import rows

TAGS = [RunTag("model_type", "Ridge"), RunTag("boston_exp.process", "here 1"), RunTag("empty", "")]
PARAMS = [Param("model.alpha", "0.1"), Param("data.drop", "[]")]
METRICS = {"rmse": 3.5, "r2_score": -math.inf, "cv_rmse": math.nan, "n": 404.0}
DATA = DatasetInput(Dataset("boston", "d" * 32, "local", '{"uri": "x"}', "{}", '{"num_rows": 506}'), [
    InputTag("mlflow.data.context", "training"),
])  # fmt: skip
OF_ITSELF = ("run_uuid", "destination_id", "input_uuid", "timestamp", "start_time", "end_time")


@pytest.fixture
def client(empty_store: Path, tmp_path: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{shutil.copy(empty_store, tmp_path / 'own.db')}")


@pytest.fixture
def experiment(client: MlflowClient) -> str:
    return str(client.create_experiment("rows"))


def written(client: MlflowClient, run_id: str) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table that names a run, or an input of it."""
    with closing(sqlite3.connect(client.tracking_uri.removeprefix("sqlite:///"))) as store:
        store.row_factory = sqlite3.Row
        tables = [row["name"] for row in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        everything = {table: [dict(row) for row in store.execute(f'SELECT * FROM "{table}"')] for table in tables}  # noqa: S608
    inputs = {row["input_uuid"] for row in everything["inputs"] if row["destination_id"] == run_id}
    found = {}
    for table, its in everything.items():
        own = [row for row in its if not {run_id, *inputs}.isdisjoint(map(str, row.values()))]
        plain = [{key: value for key, value in row.items() if key not in OF_ITSELF} for row in own]
        found[table] = sorted(plain, key=str)
    for run in found["runs"]:
        run["artifact_uri"] = run["artifact_uri"].replace(run_id, "<run>")
    return found


def by_the_client(client: MlflowClient, experiment: str) -> str:
    """What a run takes through MLflow's client."""
    run_id = str(client.create_run(experiment, run_name="ridge", tags={tag.key: tag.value for tag in TAGS}).info.run_id)
    client.log_batch(run_id, params=PARAMS)
    client.log_inputs(run_id, datasets=[DATA])
    client.log_batch(run_id, metrics=[Metric(*each, 1, 0) for each in METRICS.items()], tags=[RunTag("note", "good")])
    client.set_terminated(run_id, "FINISHED")
    client.delete_tag(run_id, "boston_exp.process")
    return run_id


def test_every_row_is_as_the_client_writes_it(client: MlflowClient, experiment: str) -> None:
    info = rows.begin(client, experiment, uuid.uuid4().hex, "ridge", TAGS, PARAMS, DATA)
    run = client.get_run(info.run_id)
    assert run.info.status == "RUNNING"
    assert dict(run.info) == dict(info)
    rows.log(client, info.run_id, METRICS, [RunTag("note", "good")])
    rows.finish(client, info.run_id, ("boston_exp.process", "never.there"))
    client_wrote = written(client, by_the_client(client, experiment))  # the data set is there already
    assert written(client, info.run_id) == client_wrote
    assert {table for table, its in client_wrote.items() if its} == {
        "runs", "tags", "params", "metrics", "latest_metrics", "inputs", "input_tags"
    }  # fmt: skip
    assert client.get_run(info.run_id).info.end_time >= info.start_time


def test_the_first_run_brings_its_data_set(client: MlflowClient, experiment: str) -> None:
    run_id = rows.begin(client, experiment, uuid.uuid4().hex, "ridge", TAGS, PARAMS, DATA).run_id
    (found,) = client.get_run(run_id).inputs.dataset_inputs
    assert found.to_dictionary() == DATA.to_dictionary()
    again = rows.begin(client, experiment, uuid.uuid4().hex, "ridge", TAGS, PARAMS, DATA).run_id
    assert client.get_run(again).inputs.to_dictionary() == client.get_run(run_id).inputs.to_dictionary()


def test_a_tag_takes_the_place_of_one_that_is_there(client: MlflowClient, experiment: str) -> None:
    run_id = rows.begin(client, experiment, uuid.uuid4().hex, "ridge", TAGS, PARAMS, DATA).run_id
    rows.log(client, run_id, {}, [RunTag("model_type", "Lasso")])
    assert client.get_run(run_id).data.tags["model_type"] == "Lasso"


@pytest.mark.parametrize("wrong", [Param("what?", "1"), Param("x" * 300, "1")])
def test_what_mlflow_refuses_is_refused_and_no_run_is_left(client: MlflowClient, experiment: str, wrong: Param) -> None:
    with pytest.raises(MlflowException):
        rows.begin(client, experiment, uuid.uuid4().hex, "ridge", TAGS, [*PARAMS, wrong], DATA)
    assert client.search_runs([experiment]) == []


def test_nothing_is_written_to_what_was_deleted_meanwhile(client: MlflowClient, experiment: str) -> None:
    run_id = rows.begin(client, experiment, uuid.uuid4().hex, "ridge", TAGS, PARAMS, DATA).run_id
    client.delete_run(run_id)
    for write in (lambda: rows.log(client, run_id, METRICS, TAGS), lambda: rows.finish(client, run_id, ())):
        with pytest.raises(MlflowException, match="active"):
            write()
    client.delete_experiment(experiment)
    with pytest.raises(MlflowException, match="active"):
        rows.begin(client, experiment, uuid.uuid4().hex, "ridge", TAGS, PARAMS, DATA)
    assert client.get_run(run_id).data.metrics == {}
