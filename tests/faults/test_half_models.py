"""Runs that were killed before all of their files were there: they go to a server, and hold nothing up."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput

from boston_exp.tracking.publishing.copy import copy_run
from tests.faults.balance import Balance, check_runs, models_of, runs_of
from tests.services import Service


@pytest.mark.parametrize("files", [(), ("MLmodel",), ("model.skops",)])
def test_a_killed_run_is_published_with_half_a_model(tmp_path: Path, store: Path, files: tuple[str, ...]) -> None:
    """Found by kills at random moments: it stayed RUNNING on the server, and pending here, for ever."""
    source, target = MlflowClient(f"sqlite:///{store}"), MlflowClient(f"sqlite:///{tmp_path}/other.db")
    for client, name in ((source, "here"), (target, "there")):
        client.create_experiment("x", artifact_location=(tmp_path / name).as_uri())
    experiment = source.get_experiment_by_name("x").experiment_id
    run = source.create_run(experiment).info
    model = source.create_logged_model(experiment, name="model", source_run_id=run.run_id)
    source.log_outputs(run.run_id, [LoggedModelOutput(model.model_id, step=0)])
    for name in files:
        (tmp_path / name).write_text("half")
        source.log_model_artifact(model.model_id, str(tmp_path / name))
    source.finalize_logged_model(model.model_id, "FAILED")
    source.set_terminated(run.run_id, "KILLED")

    copy_run(source.get_run(run.run_id), source, target, "other.db")

    (copy,) = runs_of(target, "x")
    assert copy.info.status == "KILLED"
    assert "sync.complete" in copy.data.tags
    found = Balance()
    check_runs(found, "in other.db", [copy], models_of(target, "x"), load=True)
    assert found.wrong == []


def test_an_empty_file_arrives(tmp_path: Path, store: Path, server: Service) -> None:
    """A kill between the creation of a file and its first byte leaves one; its run stayed RUNNING on the server."""
    source, target, name = MlflowClient(f"sqlite:///{store}"), MlflowClient(server.url), tmp_path.name
    experiment = source.create_experiment(name, artifact_location=(tmp_path / "here").as_uri())
    run_id = source.create_run(experiment).info.run_id
    (tmp_path / "empty.csv").touch()
    source.log_artifact(run_id, str(tmp_path / "empty.csv"))
    source.set_terminated(run_id, "KILLED")

    copy_run(source.get_run(run_id), source, target, server.url)

    (copy,) = runs_of(target, name)
    assert copy.info.status == "KILLED"
    assert [item.path for item in target.list_artifacts(copy.info.run_id)] == ["empty.csv"]
