"""What is narrowed down by a metric is what MLflow's own ranking gives; nothing is changed by reading."""

from __future__ import annotations

import math
import random
import sqlite3
import uuid
from pathlib import Path

import pytest
from mlflow import MlflowClient

from boston_exp.errors import InvalidConfig, StoreUnusable
from boston_exp.tracking import sqlite_store
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.mlflow.history import MlflowHistory
from boston_exp.tracking.mlflow.store import connect
from boston_exp.tracking.publishing.copy import copy_run


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
    ours = MlflowHistory(destination).best("rmse", direction, top)
    client = MlflowClient(destination.uri)
    order = [f"metrics.rmse {'DESC' if direction == 'maximize' else 'ASC'}", "start_time ASC"]
    experiment = client.get_experiment_by_name("ours").experiment_id
    theirs = client.search_runs([experiment], "attributes.status = 'FINISHED'", order_by=order, max_results=top)
    scored = [run for run in theirs if not math.isnan(run.data.metrics["rmse"])]
    assert [run.run_id for run in ours] == [run.info.run_id for run in scored]
    assert {run.name for run in ours} <= {f"run {number}" for number in (0, 1, 2, 6, 7)}
    assert ours[0].params == {"model.alpha": ours[0].name.removeprefix("run ")}
    assert ours[0].metrics == {"rmse": scored[0].data.metrics["rmse"], "mae": 1.0}
    assert ours[0].tags["dataset"] == "boston"


def test_a_store_that_is_not_there_is_not_created(tmp_path: Path) -> None:
    history = MlflowHistory(Destination("mlflow", f"sqlite:///{tmp_path}/absent.db", "", None, "ours"))
    assert history.best("rmse", "minimize", 5) == []
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
    (best,) = MlflowHistory(destination).best("rmse", "minimize", 1)
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
        assert MlflowHistory(where).best("rmse", "minimize", 5) == []
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


@pytest.mark.parametrize("on_server", [False, True])
@pytest.mark.parametrize("order", ["better", "worse", "shuffled", "alike"])
def test_many_runs_are_narrowed_down_to_the_same_best(store: Path, order: str, on_server: bool) -> None:
    """Pages of runs by their time, each bounding the next: whether scores get better, worse or stay alike.

    What is asked of a server is asked of a file here, which is answered in the same way and sooner.
    """
    client = MlflowClient(f"sqlite:///{store}")
    experiment = client.create_experiment("ours")
    numbers = list(range(300))
    if order == "shuffled":
        random.Random(0).shuffle(numbers)  # noqa: S311
    values = {"better": numbers[::-1], "alike": [1] * 300}.get(order, numbers)
    with sqlite3.connect(store) as connection:  # through the client it takes half a minute
        for time, value in enumerate(values):
            run_id = uuid.UUID(int=time).hex
            connection.execute(
                "INSERT INTO runs (run_uuid, name, source_type, status, start_time, lifecycle_stage, experiment_id,"
                " artifact_uri, user_id, source_name, entry_point_name, source_version)"
                " VALUES (?, 'x', 'LOCAL', 'FINISHED', ?, 'active', ?, '', '', '', '', '')",
                (run_id, time, experiment),
            )
            connection.execute(
                "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)"
                " VALUES ('rmse', ?, 0, 0, ?, ?)",
                (value, order == "shuffled" and value % 7 == 0, run_id),
            )
    connection.close()
    where = Destination("mlflow", f"sqlite:///{store}", "", None, "ours", server=f"sqlite:///{store}")
    history = MlflowHistory(where, on_server)
    for direction, sign in (("minimize", 1), ("maximize", -1)):
        scored = [(sign * value, time) for time, value in enumerate(values) if order != "shuffled" or value % 7]
        wanted = [uuid.UUID(int=time).hex for _, time in sorted(scored)[:8]]
        assert [run.run_id for run in history.best("rmse", direction, 8)] == wanted


@pytest.mark.parametrize("on_server", [False, True])
@pytest.mark.parametrize("number", [0, 1, 2, 3, 7, 20])
def test_runs_are_counted_without_reading_them_deleted_ones_too(store: Path, number: int, on_server: bool) -> None:
    client = MlflowClient(f"sqlite:///{store}")
    experiment = client.create_experiment("ours")
    for each in range(number):
        run_id = client.create_run(experiment, tags={"kind": str(each % 2)}).info.run_id
        if each == 1:
            client.delete_run(run_id)
    where = Destination("mlflow", f"sqlite:///{store}", "", None, "ours", server=f"sqlite:///{store}")
    history = MlflowHistory(where, on_server)
    assert history.count() == number
    assert history.count("tags.kind = '1'") == number // 2
    assert history.count("tags.kind = '1'", expected=number // 2) == number // 2
    assert history.count("tags.kind = '1'", expected=5) == number // 2


def test_a_run_is_found_by_the_beginning_of_its_id_and_of_its_id_elsewhere(
    destination: Destination,
) -> None:
    client = MlflowClient(destination.uri)
    run = client.search_runs([client.get_experiment_by_name("ours").experiment_id])[0]
    client.set_tag(run.info.run_id, "sync.source", "feedbeef" * 4)
    history = MlflowHistory(destination)
    assert history.named(run.info.run_id[:12]) == [run.info.run_id]
    assert history.named("feedbe") == [run.info.run_id]
    assert history.named("%") == []
    assert history.named("' or 1=1") == []


def test_a_condition_that_cannot_be_read_is_refused_and_so_is_an_unknown_experiment(destination: Destination) -> None:
    with pytest.raises(InvalidConfig, match="cannot read the condition metrics rmse < 3"):
        MlflowHistory(destination).newest("metrics rmse < 3")
    with pytest.raises(InvalidConfig, match=r"no experiment ourz\. Did you mean 'ours'"):
        MlflowHistory(destination, experiments=["ourz"]).newest()
