"""The ranking that is read from sqlite directly is the one that MLflow's own search gives."""

from __future__ import annotations

import math
import sqlite3
from pathlib import Path

import pytest
from mlflow import MlflowClient

from boston_exp.errors import StoreUnusable
from boston_exp.tracking import sqlite_store
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.mlflow import compat
from boston_exp.tracking.mlflow.history import MlflowHistory
from boston_exp.tracking.mlflow.store import connect
from boston_exp.tracking.protocol import Columns
from boston_exp.tracking.publishing.copy import copy_run

COLUMNS = Columns(params=("model.alpha", "absent"), metrics=("rmse", "mae"), tags=("dataset",))


@pytest.fixture
def destination(store: Path) -> Destination:
    """Eight runs, of which one failed, one was deleted, one has no score, and two others are not in the experiment."""
    client = MlflowClient(f"sqlite:///{store}")
    ids = [client.create_experiment(name) for name in ("ours", "another")]
    for number in range(10):
        experiment = ids[number > 7]
        run_id = client.create_run(experiment, run_name=f"run {number}", start_time=number).info.run_id
        client.log_param(run_id, "model.alpha", number)
        client.set_tag(run_id, "dataset", "boston")
        client.log_metric(run_id, "mae", 1.0)
        for step, value in enumerate((99.0, math.nan if number == 3 else (number - 4.5) ** 2)):  # the latest counts
            client.log_metric(run_id, "rmse", value, step=step)
        client.set_terminated(run_id, "FAILED" if number == 5 else "FINISHED")
        if number == 4:
            client.delete_run(run_id)
    return Destination("mlflow", f"sqlite:///{store}", "", None, "ours")


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
@pytest.mark.parametrize("top", [1, 3, 100])
def test_the_best_are_those_of_mlflows_search(destination: Destination, direction: str, top: int) -> None:
    ours = MlflowHistory(destination).best("rmse", direction, top, COLUMNS)
    client = MlflowClient(destination.uri)
    order = [f"metrics.rmse {'DESC' if direction == 'maximize' else 'ASC'}", "start_time ASC"]
    experiment = client.get_experiment_by_name("ours").experiment_id
    theirs = client.search_runs([experiment], "attributes.status = 'FINISHED'", order_by=order, max_results=top)
    scored = [run for run in theirs if not math.isnan(run.data.metrics["rmse"])]
    assert [run.run_id for run in ours] == [run.info.run_id for run in scored]
    assert {run.name for run in ours} <= {f"run {number}" for number in (0, 1, 2, 6, 7)}
    assert ours[0].params == {"model.alpha": ours[0].name.removeprefix("run ")}
    assert ours[0].metrics == {"rmse": scored[0].data.metrics["rmse"], "mae": 1.0}
    assert ours[0].tags == {"dataset": "boston"}


def test_a_store_that_is_not_there_is_not_created(tmp_path: Path) -> None:
    history = MlflowHistory(Destination("mlflow", f"sqlite:///{tmp_path}/absent.db", "", None, "ours"))
    assert history.best("rmse", "minimize", 5, COLUMNS) == []
    assert history.run("x") is None
    assert history.children("x") == []
    assert list(tmp_path.iterdir()) == []


def test_reading_does_not_close_a_run_that_a_dead_process_left_open(store: Path) -> None:
    client = MlflowClient(f"sqlite:///{store}")
    tags = {"boston_exp.process": "nowhere 1 0.00", "boston_exp.heartbeat": "0"}
    run_id = client.create_run(client.create_experiment("ours"), tags=tags).info.run_id
    history = MlflowHistory(Destination("mlflow", f"sqlite:///{store}", "", None, "ours"))
    run = history.run(run_id)
    assert run is not None
    assert run.status == "RUNNING"


def test_a_worker_leaves_dead_runs_to_the_main_process(store: Path, tmp_path: Path) -> None:
    """The main process marks the run of a killed worker FAILED; another worker that starts at that moment must not
    overwrite it with KILLED."""
    client = MlflowClient(f"sqlite:///{store}")
    tags = {"boston_exp.process": "nowhere 1 0.00", "boston_exp.heartbeat": "0"}
    run_id = client.create_run(client.create_experiment("ours"), tags=tags).info.run_id
    main = Destination("mlflow", f"sqlite:///{store}", "", str(tmp_path), "another")
    connect(main.for_worker(asks=False))
    assert client.get_run(run_id).info.status == "RUNNING"
    connect(main)
    assert client.get_run(run_id).info.status == "KILLED"


def test_a_metric_that_is_not_a_number_comes_back_as_one_that_is_not(destination: Destination) -> None:
    client = MlflowClient(destination.uri)
    runs = client.search_runs([client.get_experiment_by_name("ours").experiment_id], "attributes.run_name = 'run 6'")
    client.log_metric(runs[0].info.run_id, "cv_r2_score", math.nan)
    (best,) = MlflowHistory(destination).best("rmse", "minimize", 1, Columns(metrics=("cv_r2_score",)))
    assert math.isnan(best.metrics["cv_r2_score"])


@pytest.mark.parametrize("content", [b"", b"this is no database, but a text of some length " * 40])
def test_reading_a_file_that_is_no_store_changes_nothing_and_says_so(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "other.db"
    file.write_bytes(content)
    where = Destination("mlflow", f"sqlite:///{file}", "", None, "ours")
    if content:
        with pytest.raises(StoreUnusable, match="is not an intact sqlite database"):
            MlflowHistory(where)
    else:
        assert MlflowHistory(where).best("rmse", "minimize", 5, COLUMNS) == []
    assert file.read_bytes() == content


def test_one_run_is_copied_whole_and_once(store: Path, tmp_path: Path) -> None:
    """`copy_run` between two stores: what the queue does in the background, and `sync` will."""
    source = MlflowClient(f"sqlite:///{store}")
    experiment = source.create_experiment("ours", artifact_location=f"{tmp_path}/artifacts")
    run_id = source.create_run(experiment, run_name="a run").info.run_id
    source.log_param(run_id, "model.alpha", 1)
    source.log_metric(run_id, "rmse", 2.0)
    source.log_text(run_id, "hello", "notes/a.txt")
    source.set_terminated(run_id)
    other = tmp_path / "other.db"
    sqlite_store.create(other, f"{tmp_path}/others")
    target = MlflowClient(f"sqlite:///{other}")
    target.create_experiment("ours", artifact_location=f"{tmp_path}/others")  # MLflow's default is ./mlruns
    for _ in range(2):
        copy_run(source.get_run(run_id), source, target, str(other))
    (copy,) = target.search_runs([target.get_experiment_by_name("ours").experiment_id])
    assert (copy.data.params, copy.data.metrics) == ({"model.alpha": "1"}, {"rmse": 2.0})
    assert (copy.info.status, copy.info.run_name) == ("FINISHED", "a run")
    assert [item.path for item in target.list_artifacts(copy.info.run_id, "notes")] == ["notes/a.txt"]


def test_the_tables_that_the_query_reads_are_as_it_expects(store: Path) -> None:
    """A canary: an MLflow with another schema has to be looked at before compat.py reads it."""
    with sqlite3.connect(store) as connection:
        (version,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        tables = {
            name: {column[1] for column in connection.execute(f"PRAGMA table_info({name})")}
            for name in ("runs", "latest_metrics", "params", "tags", "experiments")
        }
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT run_uuid FROM latest_metrics WHERE key = 'rmse'"
        ).fetchall()
    connection.close()
    assert version in sqlite_store.known_schemas()
    assert {"run_uuid", "name", "status", "start_time", "end_time", "lifecycle_stage", "experiment_id"} <= tables[
        "runs"
    ]
    assert {"key", "value", "is_nan", "run_uuid"} <= tables["latest_metrics"]
    assert {"key", "value", "run_uuid"} <= tables["params"] & tables["tags"]
    assert {"experiment_id", "name"} <= tables["experiments"]
    assert "USING" in str(plan)  # an index
    assert compat.best_runs(store, "ours", "rmse", descending=False, top=5) == []
