"""Every tracker keeps the same promises: on sqlite, on a real MLflow server, with DVCLive, and on nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient
from sklearn.linear_model import Ridge

from boston_exp.tracking import backends
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.protocol import Outcome, Plan, Tracker


@pytest.fixture(params=["none", "dvclive", "sqlite", pytest.param("server", marks=pytest.mark.slow)])
def destination(request: pytest.FixtureRequest, store: Path, tmp_path: Path) -> Destination:
    name = f"contract-{tmp_path.name}"
    if request.param == "none":
        return Destination("none", "", "", None, name)
    if request.param == "dvclive":
        return Destination("dvclive", "", "", str(tmp_path / "dvclive"), name)
    if request.param == "sqlite":
        return Destination("mlflow", f"sqlite:///{store}", "from a test", str(tmp_path / "mlartifacts"), name)
    url = request.getfixturevalue("server").url
    return Destination("mlflow", f"sqlite:///{store}", "from a test", str(tmp_path / "mlartifacts"), name, server=url)


@pytest.fixture
def tracker(destination: Destination) -> Tracker:
    return backends.open_tracker(destination)


TABLE = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "y": [2.0, 4.0, 6.0, 8.0, 10.0, 12.0]})
PLAN = Plan(
    name="a name",
    params={f"model.p{number}": str(number) for number in range(150)} | {"long": "x" * 9000},
    tags={"fingerprint": "f00"},
    dataset_name="table",
    dataset_md5="3612cdb00d81977bf402e334f47be860",
    dataset_source="table.csv",
    table=TABLE,
    target="y",
)


def outcome(folder: Path) -> Outcome:
    (folder / "files" / "config").mkdir(parents=True)
    (folder / "files" / "config" / "config.yaml").write_text("seed: 42\n")
    model = Ridge().fit(TABLE[["a"]], TABLE["y"])
    return Outcome({"rmse": 1.5}, folder / "files", model, TABLE[["a"]], ("mlflow",), ("sklearn",), True)


def recorded(destination: Destination) -> list:
    if destination.backend != "mlflow":
        return []
    client = MlflowClient(destination.server or destination.uri)
    experiment = client.get_experiment_by_name(destination.experiment_name)
    return [] if experiment is None else list(client.search_runs([experiment.experiment_id]))


def test_a_finished_run_holds_all_it_was_given(tracker: Tracker, destination: Destination, tmp_path: Path) -> None:
    with tracker.start(PLAN) as recording:
        assert [run.info.status for run in recorded(destination)] in ([], ["RUNNING"])  # not yet on a server
        recording.log(outcome(tmp_path))
    assert recording.where
    if destination.backend == "dvclive":
        folder = Path(str(destination.artifact_root))
        assert json.loads((folder / "metrics.json").read_text()) == {"rmse": 1.5}
        assert yaml.safe_load((folder / "params.yaml").read_text())["model"]["p7"] == 7
        assert (folder / "model.skops").stat().st_size > 0
    for run in recorded(destination):
        assert recording.run_id in (run.info.run_id, run.data.tags.get("sync.source"))
        assert (run.info.status, run.info.run_name) == ("FINISHED", "a name")
        assert run.data.params == {name: value[:6000] for name, value in PLAN.params.items()}
        assert run.data.metrics == {"rmse": 1.5}
        assert run.data.tags["fingerprint"] == "f00"
        assert run.inputs.dataset_inputs[0].dataset.digest == PLAN.dataset_md5
        client = MlflowClient(destination.server or destination.uri)
        assert [item.path for item in client.list_artifacts(run.info.run_id, "config")] == ["config/config.yaml"]
        (model,) = run.outputs.model_outputs
        assert client.get_logged_model(model.model_id).status == "READY"
        assert recording.next_command


def test_an_exception_leaves_a_failed_run_and_is_passed_on(tracker: Tracker, destination: Destination) -> None:
    with pytest.raises(ZeroDivisionError), tracker.start(PLAN):
        raise ZeroDivisionError("no rows left")
    if destination.backend == "dvclive":
        assert not Path(str(destination.artifact_root)).exists()  # nothing that looks like a result
    for run in recorded(destination):
        assert run.info.status == "FAILED"
        assert run.data.tags["error"] == "ZeroDivisionError: no rows left"
        assert run.data.params["model.p7"] == "7"


def test_an_interruption_leaves_a_killed_run_and_is_passed_on(tracker: Tracker, destination: Destination) -> None:
    with pytest.raises(KeyboardInterrupt), tracker.start(PLAN):
        raise KeyboardInterrupt
    # who presses Ctrl-C wants to leave: a server gets it from the next command
    assert [run.info.status for run in recorded(destination)] in ([], ["KILLED"])


def test_two_runs_do_not_mix(tracker: Tracker, destination: Destination, tmp_path: Path) -> None:
    ids = []
    for number in range(2):
        with tracker.start(PLAN) as recording:
            recording.log(outcome(tmp_path / str(number)))
            ids.append(recording.run_id)
    assert len(recorded(destination)) in (0, 2)
    assert ids == [None, None] or ids[0] != ids[1]
