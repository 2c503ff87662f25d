"""`clean`: a dry run first, then exactly what was said; what is registered, runs or belongs to others stays."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType

from boston_exp.lifecycle.cleaning import belongings
from tests.conftest import Command
from tests.services import Service

Json = Callable[..., dict[str, Any]]
DEAD = 2**22 + 1  # no process has this pid


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where output folders are looked for; the commands of these tests put them there."""
    monkeypatch.setattr(belongings, "PROJECT_ROOT", tmp_path)
    monkeypatch.setattr(belongings.outputs, "__defaults__", (tmp_path,))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "temporary").mkdir()
    return tmp_path


def trained(command: Command, project: Path, *overrides: str) -> str:
    """A run of its own, with its output folder in the project; returns its id."""
    number = len(list(project.glob("outputs/*/*")))
    result = command("model=ridge", "figures=none", f"hydra.run.dir={project}/outputs/day/{number}", *overrides)
    assert result.code == 0, result.err
    return result.out.split("run id      ")[1].split()[0]


def left(store: Path) -> set[str]:
    """Ids of all runs of the store, deleted ones included."""
    with sqlite3.connect(store) as connection:
        found = {row[0] for row in connection.execute("SELECT run_uuid FROM runs")}
    connection.close()
    return found


def test_nothing_is_removed_before_it_is_confirmed_and_then_all_of_it(
    command: Command, as_json: Json, store: Path, project: Path
) -> None:
    going, staying = trained(command, project), trained(command, project, "model.alpha=3")
    before = {path for path in project.rglob("*") if path.is_file()}
    planned = as_json("clean", f"run_id={going[:10]}")
    assert (planned["removed"], left(store)) == (False, {going, staying})
    assert {path for path in project.rglob("*") if path.is_file()} == before
    kinds = {item["kind"]: item for item in planned["items"]}
    assert kinds.keys() == {"run", "output folder"}
    assert (kinds["run"]["name"], kinds["run"]["models"]) == (going, 1)
    places = [project / "mlartifacts" / "boston-housing" / going, project / "outputs" / "day" / "0"]
    artifacts = [path for path in before if going in str(path) or "outputs/day/0" in str(path)]
    with sqlite3.connect(store) as connection:
        (model,) = connection.execute("SELECT model_id FROM logged_models WHERE source_run_id = ?", (going,)).fetchone()
    connection.close()
    artifacts += [path for path in before if model in str(path)]
    assert planned["bytes"] == sum(path.stat().st_size for path in artifacts)
    done = as_json("clean", f"run_id={going}", "confirm=true")
    assert (done["removed"], done["bytes"], left(store)) == (True, planned["bytes"], {staying})
    assert not [place for place in places if place.exists()]
    assert not [path for path in project.rglob("*") if going in str(path) or model in str(path)]
    assert (project / "outputs" / "day" / "1" / "run_id").read_text().split()[0] == staying
    again = command(f"run_id={going}", program="clean")
    assert (again.code, left(store)) == (2, {staying})
    assert "no run here has an id that begins so" in again.err


def test_a_sweep_goes_with_its_points_and_its_study(
    command: Command, as_json: Json, store: Path, project: Path
) -> None:
    storage = f"sqlite:///{project}/optuna.db"
    sweep = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=3", f"hydra.sweeper.storage={storage}", "model=ridge")
    result = command(
        "-m", *sweep, "model.alpha=interval(0.1,10)", "figures=none", f"hydra.sweep.dir={project}/multirun/day/0"
    )
    assert result.code == 0, result.err
    parent = result.out.split("run id      ")[-1].split()[0]
    assert len(left(store)) == 4
    done = as_json("clean", f"sweep={parent}", f"study_storage={storage}", "confirm=true")
    assert sorted(item["kind"] for item in done["items"]) == ["output folder", "run", "run", "run", "run", "study"]
    assert left(store) == set()
    assert not (project / "multirun" / "d").exists()
    with sqlite3.connect(project / "optuna.db") as connection:
        assert connection.execute("SELECT count(*) FROM studies").fetchone() == (0,)
    connection.close()


def test_every_condition_has_to_hold(command: Command, as_json: Json, store: Path) -> None:
    client = MlflowClient(f"sqlite:///{store}")
    experiment = client.create_experiment("boston-housing")
    now = int(time.time() * 1000)

    def ended(status: str, days: int, **tags: str) -> str:
        run_id = client.create_run(experiment, start_time=now - days * 86_400_000, tags=tags).info.run_id
        client.set_terminated(run_id, status, now - days * 86_400_000)
        return str(run_id)

    failed, old = ended("FAILED", 1), ended("FAILED", 40)
    killed, pruned = ended("KILLED", 40), ended("KILLED", 40, pruned="true")
    finished = ended("FINISHED", 40)

    def names(*overrides: str) -> set[str]:
        return {item["name"] for item in as_json("clean", *overrides)["items"]}

    assert names("what=[failed]") == {failed, old}
    assert names("what=[failed]", "older_than=30d") == {old}
    assert names("what=[failed,killed,pruned]", "older_than=30d") == {old, killed, pruned}
    assert names("what=[pruned]") == {pruned}
    assert names("older_than=30d") == {old, killed, pruned, finished}
    assert names(f"run_id={failed}", "older_than=30d") == set()
    assert names(f"run_id={finished}", "what=[failed]") == set()
    nothing = command(program="clean")
    assert nothing.code == 2
    assert "Nothing says what is to be removed" in nothing.err
    wrong = command("what=[faild]", "older_than=soon", program="clean")
    assert wrong.code == 2
    assert "Did you mean 'failed'?" in wrong.err
    assert "older_than=soon is not an age" in wrong.err
    assert left(store) == {failed, old, killed, pruned, finished}


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


def test_orphans_are_what_no_run_has(command: Command, as_json: Json, store: Path, project: Path) -> None:
    deleted, kept = trained(command, project), trained(command, project, "model.alpha=3")
    MlflowClient(f"sqlite:///{store}").delete_run(deleted)
    artifacts = project / "mlartifacts" / "boston-housing"
    lost_run, lost_model = artifacts / ("0" * 32), artifacts / "models" / f"m-{'0' * 32}"
    others = artifacts / "notes"
    for folder in (lost_run, lost_model, others):
        folder.mkdir(parents=True)
        (folder / "file").write_text("x" * 10)
    gone, elsewhere = project / "outputs" / "day" / "8", project / "outputs" / "day" / "9"
    for folder, place in ((gone, f"sqlite:///{store}"), (elsewhere, "sqlite:////another.db")):
        folder.mkdir(parents=True)
        (folder / "run_id").write_text(f"{'1' * 32}\n{place}\n")
    temporary = project / "temporary"
    dead, alive = temporary / f"boston_exp-{DEAD}-abcd_123", temporary / f"boston_exp-{os.getpid()}-abcd_123"
    new, mine = temporary / f"boston_exp-{DEAD}-abcd_124", temporary / "boston_exp-mybackup"
    for folder in (dead, alive, new, mine):
        folder.mkdir()
    for folder in (dead, alive, mine):
        os.utime(folder, (time.time() - 2 * 86400,) * 2)
    assert as_json("clean", "what=[orphans]", "older_than=3d")["items"] == []
    running = MlflowClient(f"sqlite:///{store}").create_run(
        MlflowClient(f"sqlite:///{store}").get_run(kept).info.experiment_id
    )
    MlflowClient(f"sqlite:///{store}").delete_run(running.info.run_id)
    found = as_json("clean", "what=[orphans]", "confirm=true")
    names = {item["name"] for item in found["items"]}
    assert names == {deleted, *map(str, (lost_run, lost_model, gone, dead))}
    assert not [path for path in (lost_run, lost_model, gone, dead) if path.exists()]
    assert all(path.exists() for path in (others, elsewhere, alive, new, mine))
    assert left(store) == {kept, running.info.run_id}


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


def test_an_interrupted_removal_is_finished_by_the_same_or_the_next_one(
    command: Command, store: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between any two steps; replaced by an exception, since the steps are calls in this process."""
    from boston_exp.tracking.mlflow import compat

    run_id = trained(command, project)
    for name in ("remove_model", "remove_run"):
        with monkeypatch.context() as patched:
            patched.setattr(compat, name, lambda *arguments: (_ for _ in ()).throw(OSError("killed")))
            assert command(f"run_id={run_id}", "confirm=true", program="clean").code == 2
        assert left(store) == {run_id}
    client = MlflowClient(f"sqlite:///{store}")
    assert client.get_run(run_id).info.lifecycle_stage == "deleted"
    assert command("what=[orphans]", "confirm=true", program="clean").code == 0
    assert left(store) == set()


@pytest.mark.slow
def test_on_a_server_runs_and_models_are_marked_as_deleted(
    command: Command, as_json: Json, server: Service, project: Path
) -> None:
    own = (f"tracking.uri={server.url}", "tracking.experiment_name=cleaning")
    result = command("model=ridge", "figures=none", *own)
    assert result.code == 0, result.err
    client = MlflowClient(server.url)
    experiment = client.get_experiment_by_name("cleaning").experiment_id
    (run,) = client.search_runs([experiment])
    rows = as_json("leaderboard", *own)["runs"]
    assert [row["run_id"] for row in rows] == [run.info.run_id]
    planned = command(f"run_id={run.info.run_id}", *own, program="clean")
    assert "A server keeps deleted runs" in planned.out
    as_json("clean", f"run_id={run.info.run_id}", "confirm=true", *own)
    assert client.search_runs([experiment]) == []
    assert client.search_logged_models([experiment]) == []
    (deleted,) = client.search_runs([experiment], run_view_type=ViewType.DELETED_ONLY)
    assert deleted.info.run_id == run.info.run_id


def test_a_store_that_keeps_nothing_has_nothing_to_clean(command: Command) -> None:
    result = command("tracking=none", "what=[failed]", program="clean")
    assert result.code == 2
    assert "keeps no runs that could be removed" in result.err
