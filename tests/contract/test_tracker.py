"""Every tracker keeps the same promises, sweeps and lookups included: each backend that is registered, and MLflow's
both on a local store alone and with a real server that runs are published to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run
from sklearn.linear_model import Ridge

from boston_exp.errors import Pruned, StoreUnusable
from boston_exp.tracking import backends
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.protocol import Failure, Finished, Outcome, Plan, SweepPlan, Tracker

SERVER = "mlflow, published to a server"


@pytest.fixture(params=[*backends.names(), pytest.param(SERVER, marks=pytest.mark.slow)])
def destination(request: pytest.FixtureRequest, store: Path, tmp_path: Path) -> Destination:
    name = f"contract-{tmp_path.name}"
    url = request.getfixturevalue("server").url if request.param == SERVER else None
    if request.param in ("mlflow", SERVER):
        root = str(tmp_path / "mlartifacts")
        return Destination("mlflow", f"sqlite:///{store}", "from a test", root, name, server=url)
    return Destination(request.param, "", "", str(tmp_path / request.param), name)


@pytest.fixture
def tracker(destination: Destination) -> Tracker:
    return backends.open_tracker(destination)


TABLE = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "y": [2.0, 4.0, 6.0, 8.0, 10.0, 12.0]})
PLAN = Plan(
    name="a name",
    params={f"model.p{number}": str(number) for number in range(150)} | {"long": "x" * 9000},
    tags={"fingerprint": "f00"},
    overrides="- model=ridge\n",
    dataset_name="table",
    dataset_md5="3612cdb00d81977bf402e334f47be860",
    dataset_source="table.csv",
    selected_by="rmse",
    table=TABLE,
    target="y",
)


def outcome(folder: Path) -> Outcome:
    (folder / "files" / "config").mkdir(parents=True)
    (folder / "files" / "config" / "config.yaml").write_text("seed: 42\n")
    model = Ridge().fit(TABLE[["a"]], TABLE["y"])
    return Outcome({"rmse": 1.5}, folder / "files", model, TABLE[["a"]], ("mlflow",), ("sklearn",), True)


def recorded(destination: Destination) -> list[Run]:
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


def test_a_pruned_run_keeps_its_files_and_the_scores_of_its_folds(
    tracker: Tracker, destination: Destination, tmp_path: Path
) -> None:
    """So that it can be trained again, and compared. Under names of their own: they are no scores of all folds."""
    with pytest.raises(Pruned), tracker.start(PLAN) as recording:  # noqa: PT012
        recording.log_files(outcome(tmp_path).files)
        raise Pruned("worse than others", 2, {"cv_rmse": 7.5})
    if destination.backend == "dvclive":
        assert not Path(str(destination.artifact_root)).exists()
    for run in recorded(destination):
        assert (run.info.status, run.data.metrics) == ("KILLED", {"pruned_cv_rmse": 7.5})
        assert (run.data.tags["pruned"], run.data.tags["pruned.after"]) == ("true", "2")
        client = MlflowClient(destination.server or destination.uri)
        assert [item.path for item in client.list_artifacts(run.info.run_id, "config")] == ["config/config.yaml"]


def test_two_runs_do_not_mix(tracker: Tracker, destination: Destination, tmp_path: Path) -> None:
    ids = []
    for number in range(2):
        with tracker.start(PLAN) as recording:
            recording.log(outcome(tmp_path / str(number)))
            ids.append(recording.run_id)
    assert len(recorded(destination)) in (0, 2)
    assert ids == [None, None] or ids[0] != ids[1]


def test_no_outage_is_told_where_all_is_well(tracker: Tracker) -> None:
    assert tracker.outage is None


def remembers(destination: Destination) -> bool:
    """DVCLive's files are in the hands of git and DVC; nothing remembers nothing."""
    return destination.backend == "mlflow"


@pytest.mark.parametrize("with_model", [False, True])
def test_a_finished_run_is_found_again_by_its_fingerprint(
    tracker: Tracker, destination: Destination, tmp_path: Path, with_model: bool
) -> None:
    assert tracker.find_finished("f00", with_model, ["rmse"]) is None
    with tracker.start(PLAN) as recording:
        recording.log(replace(outcome(tmp_path), store_model=with_model))
    expected = Finished(str(recording.run_id), {"rmse": 1.5}) if remembers(destination) else None
    assert tracker.find_finished("f00", with_model, ["rmse"]) == expected
    assert tracker.find_finished("f01", with_model, ["rmse"]) is None
    if not with_model:
        assert tracker.find_finished("f00", True, ["rmse"]) is None
    assert tracker.find_finished("f00", with_model, ["rmse", "mae"]) is None  # not a whole record


SWEEP = SweepPlan("key", "a sweep", {"model.alpha": "1,2"}, {"dataset": "table"}, ("rmse",))


def a_point(tracker: Tracker, parent_id: str | None, point: str, folder: Path, store_model: bool = False) -> str | None:
    plan = replace(PLAN, tags={"fingerprint": point, "sweep.point": point, "mlflow.parentRunId": parent_id or ""})
    with tracker.start(plan) as recording:
        recording.log(replace(outcome(folder), store_model=store_model))
    return recording.run_id


def test_a_sweep_has_a_parent_that_knows_its_points(tracker: Tracker, destination: Destination, tmp_path: Path) -> None:
    with tracker.sweep(SWEEP) as parent:
        assert parent.finished_points() == {}
        child = a_point(tracker, parent.run_id, "p1", tmp_path)
        parent.point_ended(child, reused=False)
        params, tags = {"model.alpha": "2"}, {"sweep.point": "p2"}
        failure = Failure(
            "a point", params, tags, "no room", "Traceback\nMemoryError", "- model.alpha=2\n", "it failed"
        )
        failed = parent.fail(None, failure)
        parent.point_ended(failed, reused=False)
        done = Finished(str(child), {"rmse": 1.5})
        assert parent.finished_points() == ({"p1": done} if remembers(destination) else {})
        assert parent.finished(str(child)) == (done if remembers(destination) else None)
        assert parent.finished(str(failed)) is None
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "results.csv").write_text("status,key,run_id\nfinished,p1,x\n")
        parent.log({"n_points": 2.0}, {"best.run_id": str(child)}, tmp_path / "out")
    assert parent.where
    runs = {run.info.run_name: run for run in recorded(destination)}
    assert remembers(destination) == bool(runs)
    if runs:
        assert {name: run.info.status for name, run in runs.items()} == {
            "a sweep": "FINISHED", "a name": "FINISHED", "a point": "FAILED",
        }  # fmt: skip
        top = runs.pop("a sweep")
        assert (top.data.params, top.data.metrics) == ({"model.alpha": "1,2"}, {"n_points": 2.0})
        assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {top.info.run_id}
        assert top.data.tags["best.run_id"] == runs["a name"].info.run_id
        tags = runs["a point"].data.tags
        assert (tags["error"], tags["mlflow.note.content"]) == ("no room", "it failed")
        client = MlflowClient(destination.server or destination.uri)
        kept = Path(client.download_artifacts(runs["a point"].info.run_id, ""))
        assert (kept / "error.txt").read_text() == "Traceback\nMemoryError"
        assert (kept / "config" / "overrides.yaml").read_text() == "- model.alpha=2\n"
        for run in (top, *runs.values()):  # which process had them is told of open runs
            assert not [tag for tag in run.data.tags if tag.startswith("boston_exp.")]


def test_the_same_sweep_again_has_the_same_parent(tracker: Tracker, destination: Destination) -> None:
    ids = []
    for _ in range(2):
        with tracker.sweep(SWEEP) as parent:
            ids.append(parent.run_id)
    assert ids[0] == ids[1]
    assert len(recorded(destination)) == remembers(destination)


def test_the_same_sweep_at_once_is_refused(tracker: Tracker, destination: Destination) -> None:
    with tracker.sweep(SWEEP):
        if remembers(destination):
            with pytest.raises(StoreUnusable, match="running already"), tracker.sweep(SWEEP):
                pass


@pytest.mark.parametrize("stored", [True, False], ids=["copied from the best run", "fitted again"])
def test_the_best_points_model_is_stored_on_the_parent_once(
    tracker: Tracker, destination: Destination, tmp_path: Path, stored: bool
) -> None:
    fits: list[int] = []

    @contextmanager
    def refit() -> Iterator[Outcome]:
        fits.append(1)
        yield outcome(tmp_path / "refit")

    best: str | None = None
    for turn in range(2):
        with tracker.sweep(SWEEP) as parent:
            best = best or a_point(tracker, parent.run_id, "p1", tmp_path / str(turn), stored)
            parent.store_model(Finished(str(best), {"rmse": 1.5}), refit)
    parents = [run for run in recorded(destination) if run.info.run_name == "a sweep"]
    assert len(fits) == (remembers(destination) and not stored)
    for run in parents:
        client = MlflowClient(destination.server or destination.uri)
        (model,) = run.outputs.model_outputs
        kept = client.get_logged_model(model.model_id)
        assert (kept.status, kept.source_run_id) == ("READY", run.info.run_id)
        assert [(each.key, each.value, each.dataset_name) for each in kept.metrics] == [("rmse", 1.5, "table")]
        assert kept.params["model.p1"] == "1"  # the point's, not the sweep's ranges
        assert [each.dataset.digest for each in run.inputs.dataset_inputs] == [PLAN.dataset_md5]


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_a_sweep_that_is_left_by_an_exception_is_not_finished(
    tracker: Tracker, destination: Destination, error: type[BaseException]
) -> None:
    with pytest.raises(error), tracker.sweep(SWEEP):
        raise error
    statuses = {run.info.status for run in recorded(destination)}
    assert statuses <= ({"FAILED"} if error is ZeroDivisionError else {"KILLED", "RUNNING"})


def test_the_history_has_what_was_recorded_and_opening_it_changes_nothing(
    tracker: Tracker, destination: Destination, tmp_path: Path
) -> None:
    with tracker.sweep(SWEEP) as parent:
        child = a_point(tracker, parent.run_id, "p1", tmp_path, store_model=True)
        parent.point_ended(child, reused=False)
    before = [(run.info.run_id, run.info.status, run.data.tags) for run in recorded(destination)]
    history = backends.open_history(destination)
    best = history.best("rmse", "minimize", 5)
    assert len(best) == remembers(destination)
    for run in best:
        assert (run.name, run.status) == ("a name", "FINISHED")
        assert (run.params["model.p7"], run.metrics["rmse"], run.tags["sweep.point"]) == ("7", 1.5, "p1")
        assert len(run.params) == 151
        assert history.run(run.run_id) == run
        assert history.children(run.tags["mlflow.parentRunId"]) == [run]
        assert history.newest("tags.`sweep.point` = 'p1'") == [run]
        assert history.named(run.run_id[:10]) == [run.run_id]
        (model,) = history.models(run.run_id)
        assert model.startswith("models:/m-")
        file = history.artifact(run.run_id, "config/config.yaml", tmp_path / "down")
        assert file is not None
        assert file.read_text() == "seed: 42\n"
        assert history.artifact(run.run_id, "config/absent.yaml", tmp_path / "down") is None
    assert history.count("tags.`sweep.point` = 'p1'") == remembers(destination)
    assert history.registered("models:/absent@champion") is None
    assert history.registered("models:/absent/1") is None
    assert history.run("0" * 32) is None
    assert history.best("absent", "minimize", 5) == []
    assert [(run.info.run_id, run.info.status, run.data.tags) for run in recorded(destination)] == before


def test_an_unknown_backend_is_refused_with_the_ones_there_are(tmp_path: Path) -> None:
    (fault,) = backends.faults(Destination("mlflw", "", "", None, "x"))
    assert f"choose one of {', '.join(backends.names())}. Did you mean 'mlflow'?" in fault.says
