"""`clean`: a dry run first, then exactly what was said."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType

from tests.conftest import Command
from tests.lifecycle.conftest import left, trained
from tests.services import Service

# what other tests have left in the shared temporary folder is none of these tests' business
pytestmark = pytest.mark.usefixtures("project")

Json = Callable[..., dict[str, Any]]
DEAD = 2**22 + 1  # no process has this pid


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
    tags = MlflowClient(f"sqlite:///{store}").get_experiment_by_name("boston-housing").tags
    assert not [name for name in tags if "sharedViewState.sweep-" in name]
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
