"""`clean`: what is registered, runs, or belongs to others stays, whatever a store says."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.conftest import Command
from tests.lifecycle.conftest import left, trained

# what other tests have left in the shared temporary folder is none of these tests' business
pytestmark = pytest.mark.usefixtures("project")

Json = Callable[..., dict[str, Any]]


def test_what_is_registered_or_running_stays(command: Command, store: Path, project: Path) -> None:
    registered, by_model = trained(command, project), trained(command, project, "model.alpha=3")
    client = MlflowClient(f"sqlite:///{store}")
    experiment = client.get_run(by_model).info.experiment_id
    (model,) = client.search_logged_models([experiment], f"source_run_id = '{by_model}'")
    client.create_registered_model("boston")
    client.create_model_version("boston", f"runs:/{registered}/model", run_id=registered)
    client.create_model_version("boston", model.artifact_location)  # of a models:/ URI MLflow asks its global store
    running = client.create_run(experiment, run_name="now").info.run_id
    for run_id, reason in (
        (registered, "a registered model comes from it"),
        (by_model, "a registered model comes from it"),
        (running, "it is running"),
    ):
        result = command(f"run_id={run_id}", "confirm=true", program="clean")
        assert result.code == 0, result.err
        assert f"stays: {run_id}" in result.out
        assert reason in result.out
        assert "There is nothing to remove." in result.out
    client.delete_run(registered)  # somebody deleted it by hand: its files are still what a version points at
    assert "There is nothing to remove." in command("what=[orphans]", "confirm=true", program="clean").out
    assert left(store) == {registered, by_model, running}


def test_a_store_that_names_another_folder_gets_nothing_removed_there(
    command: Command, store: Path, project: Path
) -> None:
    run_id = trained(command, project)
    precious = project / "precious"
    (precious / run_id / "artifacts").mkdir(parents=True)
    (precious / "letters.txt").write_text("dear")
    for uri in (precious.as_uri(), f"{precious.as_uri()}/{run_id}/artifacts/..", "file:///"):
        with sqlite3.connect(store) as connection:
            connection.execute("UPDATE runs SET artifact_uri = ?", (uri,))
            connection.execute("UPDATE logged_models SET artifact_location = ?", (precious.as_uri(),))
        connection.close()
        assert command(f"run_id={run_id}", program="clean").code == 0
    assert command(f"run_id={run_id}", "confirm=true", program="clean").code == 0
    assert (precious / "letters.txt").read_text() == "dear"
    assert left(store) == set()


def test_another_store_in_the_same_folder_and_the_original_of_a_copy_keep_their_files(
    command: Command, as_json: Json, store: Path, project: Path, tmp_path: Path
) -> None:
    run_id = trained(command, project)
    other = Path(
        shutil.copy(store.parent / "mlflow.db", tmp_path / "other.db")
    )  # beside it, and for its artifacts, too
    with sqlite3.connect(other) as connection:
        connection.execute("DELETE FROM runs")
        connection.execute("DELETE FROM logged_models")
    connection.close()
    at_other = f"tracking.uri=sqlite:///{other}"
    files = {path for path in (project / "mlartifacts").rglob("*") if path.is_file()}
    assert files
    assert as_json("clean", "what=[orphans]", "confirm=true", at_other)["items"] == []
    elsewhere = tmp_path / "backup"
    elsewhere.mkdir()
    with sqlite3.connect(store) as source, sqlite3.connect(elsewhere / "mlflow.db") as target:
        source.backup(target)
    source.close()
    target.close()
    done = as_json("clean", f"run_id={run_id}", "confirm=true", f"tracking.uri=sqlite:///{elsewhere}/mlflow.db")
    assert done["bytes"] == 0
    assert left(elsewhere / "mlflow.db") == set()
    assert {path for path in (project / "mlartifacts").rglob("*") if path.is_file()} == files


def test_an_id_that_is_none_of_mlflows_names_no_folder(command: Command, store: Path, project: Path) -> None:
    run_id = trained(command, project)
    victim = project / "mlartifacts" / "victim"
    (victim / "artifacts").mkdir(parents=True)
    (victim / "thesis.txt").write_text("years")
    with sqlite3.connect(store) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("UPDATE runs SET run_uuid = 'victim', artifact_uri = ?", (f"{victim}/artifacts",))
    connection.close()
    assert run_id not in left(store)
    command("older_than=0m", "confirm=true", program="clean")
    assert (victim / "thesis.txt").read_text() == "years"


def test_points_that_were_not_asked_for_keep_their_sweep(command: Command, as_json: Json, store: Path) -> None:
    client = MlflowClient(f"sqlite:///{store}")
    experiment, other = client.create_experiment("boston-housing"), client.create_experiment("other")

    def ended(place: str, status: str, **tags: str) -> str:
        run_id = client.create_run(place, tags={key.replace("__", "."): text for key, text in tags.items()}).info.run_id
        client.set_terminated(run_id, status)
        return str(run_id)

    killed = ended(experiment, "KILLED", sweep__key="k")
    ended(experiment, "FINISHED", mlflow__parentRunId=killed)
    found = as_json("clean", "what=[killed]")
    assert found["items"] == []
    assert found["kept"] == [
        {"run_id": killed, "name": found["kept"][0]["name"], "reason": "points of it are not among them"}
    ]
    parent = ended(other, "FINISHED", sweep__key="k2")  # of an experiment that is not the configured one
    point = ended(other, "FINISHED", mlflow__parentRunId=parent)
    assert {item["name"] for item in as_json("clean", f"sweep={parent}")["items"]} == {parent, point}


def test_what_cannot_be_removed_keeps_its_run(
    command: Command, store: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may remove anything, so the refusal of the file system is replaced."""
    from boston_exp.tracking.mlflow import removal

    run_id = trained(command, project)

    def refuse(folder: Path) -> None:
        raise PermissionError(1, "Operation not permitted", f"{folder}/artifacts/predictions.csv")

    monkeypatch.setattr(removal.shutil, "rmtree", refuse)
    result = command(f"run_id={run_id}", "confirm=true", program="clean")
    assert result.code == 2
    assert "predictions.csv" in result.err
    assert left(store) == {run_id}


def test_a_store_that_is_not_there_is_not_created(command: Command, tmp_path: Path) -> None:
    result = command("what=[orphans,failed]", f"tracking.uri=sqlite:///{tmp_path}/absent.db", program="clean")
    assert result.code == 0
    assert "There is nothing to remove." in result.out
    assert not (tmp_path / "absent.db").exists()


def test_a_store_that_keeps_nothing_has_nothing_to_clean(command: Command) -> None:
    result = command("tracking=none", "what=[failed]", program="clean")
    assert result.code == 2
    assert "keeps no runs that could be removed" in result.err


def test_a_store_beside_it_that_cannot_be_read_is_not_taken_for_an_empty_one(
    command: Command, store: Path, project: Path
) -> None:
    """Its runs' files lie in the same place: not to know them is no reason to remove them."""
    run_id = trained(command, project)
    damaged = bytearray(store.read_bytes())
    damaged[100:] = b"\xff" * (len(damaged) - 100)
    (store.parent / "other.db").write_bytes(damaged)
    lost = project / "mlartifacts" / "boston-housing" / ("0" * 32)
    lost.mkdir()
    for overrides in ("what=[orphans]", f"run_id={run_id}"):
        assert command(overrides, "confirm=true", program="clean").code == 2
    assert lost.exists()
    assert left(store) == {run_id}
    (store.parent / "other.db").write_bytes(b"no database at all")  # another program's
    assert command("what=[orphans]", "confirm=true", program="clean").code == 0
    assert not lost.exists()
