"""A model whose run was killed before all of its files were there: the run goes to a server, and holds nothing up."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput

from boston_exp.tracking.publishing.copy import copy_run
from tests.faults.balance import Balance, check_runs, models_of, runs_of


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
