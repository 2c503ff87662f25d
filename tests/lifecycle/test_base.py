"""`base=`: what an earlier run was typed with, then what is typed now; a record is another person's data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

from boston_exp.lifecycle import base
from boston_exp.tracking.recorded import RecordedRun
from tests.conftest import Command

Runs = Callable[[str], list[Run]]


def a_run(tags: dict[str, str] | None = None, **params: str) -> RecordedRun:
    return RecordedRun("a" * 32, "x", "FINISHED", 0, 1, params, {}, tags or {})


def newest(store: Path) -> Run:
    client = MlflowClient(f"sqlite:///{store}")
    return client.search_runs([client.get_experiment_by_name("boston-housing").experiment_id], max_results=1)[0]


@pytest.mark.parametrize(
    ("recorded", "typed", "taken"),
    [
        (["model.max_depth=15", "evaluation=cv"], ["model.max_depth=20"], ["evaluation=cv"]),
        (["model=knn", "model.n_neighbors=3", "seed=1"], ["model=ridge"], ["seed=1"]),
        (["+model.max_features=0.5"], ["model.max_features=0.3"], ["+model.max_features=0.5"]),
        (["+model.max_features=0.5"], ["+model.max_features=0.3"], []),
        (["~model.max_depth"], ["model.max_depth=3"], []),
        (["experiment=deep_forest"], ["model.max_depth=3"], ["experiment=deep_forest"]),
        (["tracking.uri=http://elsewhere", "env=compose", "storage=minio", "seed=2"], [], ["seed=2"]),
        (["trusted_packages=[os]", "hydra/launcher=joblib", "hydra.job.env_set.A=1", "skip_finished=true"], [], []),
        (["+hydra.callbacks.x._target_=os.system", "++trusted_packages=[os]", "base=x"], [], []),
        (["--config-dir=/evil", "-m", "--cfg=job", "--experimental-rerun=/evil/x.pkl", " -m"], [], []),
        (["data.target_unit=${oc.env:MY_PAT}", "seed=${port:A_PORT,1}", "seed=3"], [], ["seed=3"]),
    ],
)
def test_what_is_typed_wins_and_what_runs_or_trusts_code_is_left_out(
    recorded: list[str], typed: list[str], taken: list[str]
) -> None:
    assert list(base._taken(recorded, a_run(), typed)) == taken


def test_a_relative_path_starts_where_it_started_then() -> None:
    run = a_run(**{"data.path": "/home/me/t a b.csv"})
    assert list(base._taken(["data=csv", "data.path=t.csv"], run, [])) == ["data=csv", 'data.path="/home/me/t a b.csv"']
    assert list(base._taken(["data=csv", "data.path=t.csv"], run, ["data.path=b.csv"])) == ["data=csv"]


def test_a_point_of_a_sweep_is_taken_and_changed(command: Command, afternoon: Path, runs: Runs) -> None:
    (point,) = runs("params.`model.n_estimators` = '5' and params.`model.max_depth` = '2'")
    result = command(f"base={point.info.run_id[:9]}", "model.max_depth=3", "figures=none")
    assert result.code == 0, result.err
    assert f"base        {point.info.run_id} (n_estimators=5 max_depth=2 random_forest): " in result.err
    run = newest(afternoon)
    assert (run.data.params["model.n_estimators"], run.data.params["model.max_depth"]) == ("5", "3")
    assert run.data.params["evaluation.n_splits"] == "5"
    client = MlflowClient(f"sqlite:///{afternoon}")
    overrides = yaml.safe_load(Path(client.download_artifacts(run.info.run_id, "config/overrides.yaml")).read_text())
    assert "model.n_estimators=5" in overrides  # whole, so that the new run can be a base itself
    assert not [each for each in overrides if each.startswith("base=")]


def test_a_sweep_goes_out_from_a_run(command: Command, afternoon: Path, runs: Runs) -> None:
    (point,) = runs("params.`model.n_estimators` = '5' and params.`model.max_depth` = '2'")
    result = command("-m", f"base={point.info.run_id}", "model.max_depth=3,4", "figures=none")
    assert result.code == 0, result.err
    assert "grid of 2 points: 2 done" in result.out
    assert "base=" not in result.out  # the next command is whole


def test_the_best_and_a_registered_model_are_bases(command: Command, afternoon: Path, runs: Runs) -> None:
    ridge = runs("params.`data.target` = 'MEDV' and tags.model_type = 'Ridge'")[0]
    client = MlflowClient(f"sqlite:///{afternoon}")
    client.create_registered_model("boston-housing")
    version = client.create_model_version("boston-housing", "x", run_id=ridge.info.run_id)
    client.set_registered_model_alias("boston-housing", "champion", version.version)
    for name in ("base=best", "'base=models:/boston-housing@champion'", "base=models:/boston-housing@champion"):
        result = command(name.strip("'"), "figures=none", "--cfg", "job")
        assert result.code == 0, result.err
        assert "_target_: sklearn.linear_model.Ridge" in result.out


def test_what_cannot_be_a_base_is_refused(command: Command, afternoon: Path, runs: Runs) -> None:
    parent = runs("tags.`sweep.key` IS NOT NULL")[0]
    failed = runs("attributes.status = 'FAILED'")[0]
    for name, says in (
        (parent.info.run_id, "is a sweep's run, which has ranges, not values: its best point is"),
        (failed.info.run_id, "has no config/overrides.yaml that can be read"),
        ("898e12", "no run here has an id that begins so"),
        ("models:/absent@champion", "names no registered model"),
    ):
        result = command(f"base={name}")
        assert result.code == 2
        assert says in result.err
        assert "Traceback" not in result.err
    refused = command("base=best", "tracking=nowhere")
    assert refused.code == 1
    assert "Could not find 'tracking/nowhere'" in refused.err


def test_a_record_with_a_secret_or_foreign_code_is_checked_as_if_it_was_typed(
    command: Command, afternoon: Path, tmp_path: Path
) -> None:
    client = MlflowClient(f"sqlite:///{afternoon}")
    experiment = client.create_experiment("crafted", artifact_location=f"{tmp_path}/crafted")
    cases = {
        "model.password=hunter2hunter2": "is a secret",
        "model._target_=os.system": "outside of trusted_packages",
        "trusted_packages=[os]": "",
        "model.alpha=${oc.env:AWS_SECRET_ACCESS_KEY}": "",
        "--config-dir=/evil": "",
    }
    for override, says in cases.items():
        run_id = client.create_run(experiment, run_name="crafted").info.run_id
        client.log_text(run_id, yaml.safe_dump(["model=ridge", override]), "config/overrides.yaml")
        client.set_terminated(run_id)
        result = command(f"base={run_id}", "figures=none", *([] if says else ["--cfg", "job"]))
        assert result.code == (2 if says else 0), override
        if says:
            assert says in result.err
        else:
            assert f"left out    {override}" in result.err
            assert "trusted_packages:\n- sklearn\n- skrub\n" in result.out
            assert "alpha: 1.0" in result.out
