"""What a hostile review found in `sync`: a source is data, maybe another person's; nothing is doubled or forgotten."""

from __future__ import annotations

import json
import sqlite3
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from boston_exp.tracking.publishing.origins import place_of_lock
from tests.conftest import Command
from tests.lifecycle.syncing.foreign import EXPERIMENT, history


def names(store: Path, experiment: str = EXPERIMENT) -> list[str]:
    client = MlflowClient(f"sqlite:///{store}")
    found = client.get_experiment_by_name(experiment)
    return sorted(run.info.run_name for run in client.search_runs([found.experiment_id])) if found else []


def said_to_be_at(store: Path, run_id: str, place: str) -> None:
    with sqlite3.connect(store) as database:
        database.execute("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", (place, run_id))
    database.close()


def test_a_source_cannot_have_our_login_sent_to_an_address_that_it_names(
    sync: Command, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Listener(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

    listener = HTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    try:
        ids = history(other)
        url = f"http://127.0.0.1:{listener.server_port}/api/2.0/mlflow-artifacts/artifacts"
        said_to_be_at(other, ids["bad"], f"{url}/1/{ids['bad']}/artifacts")
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "alice")
        result = sync(f"source=sqlite:///{other}", "all=true", "format=json")
    finally:
        listener.shutdown()
    assert result.code == 1
    (left,) = json.loads(result.out)["left"]
    assert "nothing is read from there: which is no place that MLflow makes for it" in left["reason"]
    assert asked == []


@pytest.mark.parametrize("place", ["s3://private/finance", "ftp://127.0.0.1/{id}/artifacts", "/home/private/artifacts"])
def test_nothing_is_read_but_places_that_mlflow_makes(sync: Command, other: Path, place: str) -> None:
    ids = history(other)
    said_to_be_at(other, ids["bad"], place.format(id=ids["bad"]))
    result = sync(f"source=sqlite:///{other}", "all=true", "format=json")
    (left,) = json.loads(result.out)["left"]
    assert left["what"] == ids["bad"]
    assert "nothing is read from there" in left["reason"]


def test_an_id_that_is_none_makes_no_place_its_own(sync: Command, store: Path, other: Path, tmp_path: Path) -> None:
    ids = history(other)
    private = tmp_path / "secret" / "artifacts"
    private.mkdir(parents=True)
    (private / "private.txt").write_text("key")
    with sqlite3.connect(other) as database:
        for table, column in (("runs", "run_uuid"), ("metrics", "run_uuid"), ("latest_metrics", "run_uuid")):
            database.execute(f"UPDATE {table} SET {column} = 'secret' WHERE {column} = ?", (ids["bad"],))  # noqa: S608
    database.close()
    said_to_be_at(other, "secret", private.as_uri())
    assert sync(f"source=sqlite:///{other}", "all=true").code == 1
    assert not list((store.parent / "mlartifacts").rglob("private.txt"))


def test_a_backup_of_the_target_brings_nothing_twice(sync: Command, store: Path, other: Path) -> None:
    history(store)
    with sqlite3.connect(store) as ours, sqlite3.connect(other) as theirs:
        ours.backup(theirs)
    result = sync(f"source=sqlite:///{other}", "all=true")
    assert (result.code, "0 runs; 3 were there" in result.out) == (0, True), result.out + result.err
    assert names(store) == ["bad", "good", "open", "search"]


def test_no_experiment_is_one_too_many(sync: Command, store: Path, other: Path) -> None:
    """MLflow gives a thousand at a time."""
    history(other)
    with sqlite3.connect(other) as database:
        database.executemany(
            "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, workspace)"
            " SELECT ?, ?, 'nowhere', 'active', workspace FROM experiments LIMIT 1",
            [(1000 + number, f"e{number}") for number in range(1100)],
        )
    database.close()
    assert sync(f"source=sqlite:///{other}", f"experiments=[{EXPERIMENT}]", "dry_run=true").code == 0
    assert "3 runs" in sync(f"source=sqlite:///{other}", "all=true").out


def test_the_registry_brings_no_run_that_was_not_asked_for(sync: Command, store: Path, other: Path) -> None:
    for experiment in (EXPERIMENT, "secret"):
        ids = history(other, experiment)
    source = MlflowClient(f"sqlite:///{other}")
    mlflow.set_tracking_uri(f"sqlite:///{other}")
    source.create_registered_model("keeper")
    output = source.get_run(ids["good"]).outputs.model_outputs[0]
    uri = f"models:/{output.model_id}"
    source.create_model_version("keeper", uri, ids["good"], model_id=output.model_id)
    result = sync(f"source=sqlite:///{other}", f"experiments=[{EXPERIMENT}]", "registry=true")
    assert result.code == 0, result.err
    assert names(store, "secret") == []
    assert sync(f"source=sqlite:///{other}", "experiments=[secret]", "registry=true").code == 0
    target = MlflowClient(f"sqlite:///{store}")
    assert len(target.search_model_versions("name = 'keeper'")) == 1
    mlflow.set_tracking_uri(f"sqlite:///{store}")
    target.copy_model_version("models:/keeper/1", "keeper")  # somebody's own
    assert sync(f"source=sqlite:///{other}", "all=true", "registry=true").code == 0
    assert len(target.search_model_versions("name = 'keeper'")) == 2


def test_runs_that_are_their_own_parents_come_without_an_end(sync: Command, store: Path, other: Path) -> None:
    ids = history(other)
    client = MlflowClient(f"sqlite:///{other}")
    client.set_tag(ids["search"], "mlflow.parentRunId", ids["good"])
    client.set_tag(ids["bad"], "mlflow.parentRunId", ids["bad"])
    result = sync(f"source=sqlite:///{other}", "all=true")
    assert result.code == 0, result.out
    assert names(store) == ["bad", "good", "search"]


def test_an_experiment_that_there_is_not_is_said(sync: Command, store: Path, other: Path) -> None:
    history(other)
    result = sync(f"source=sqlite:///{other}", "experiments=[chrun]")
    assert (result.code, "Did you mean 'churn'?" in result.err) == (2, True)


def test_one_source_has_one_lock_however_it_is_written(tmp_path: Path) -> None:
    inside = tmp_path / "sub"
    inside.mkdir()
    same = {
        place_of_lock("sqlite:///m.db", tmp_path, "http://a"),
        place_of_lock("sqlite:///../m.db", inside, "http://a"),
        place_of_lock(f"sqlite:///{tmp_path}/m.db", inside, "http://a"),
    }
    assert len(same) == 1
    assert place_of_lock("sqlite:///m.db", inside, "http://a") not in same
    assert same.pop().parent.stat().st_mode & 0o077 == 0
