"""`sync` between stores on this machine: whole, once, and nothing of the source is touched."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.models import Model
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from tests.conftest import Command
from tests.lifecycle.syncing.foreign import DATASET, EXPERIMENT, VALUES, copies, history


def content_of(folder: Path) -> dict[Path, bytes]:
    """Without sqlite's notes of who reads at this moment."""
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file() and not file.name.endswith("-shm")}


def values(client: MlflowClient, run_id: str, name: str) -> list[tuple[int, int, str]]:
    return sorted((each.step, each.timestamp, str(each.value)) for each in client.get_metric_history(run_id, name))


def test_a_history_that_others_made_comes_whole_and_once(sync: Command, store: Path, other: Path) -> None:
    ids = history(other)
    before = content_of(other.parent)
    result = sync(f"source=sqlite:///{other}", f"experiments=[{EXPERIMENT}]")
    assert result.code == 0, result.err
    assert "3 runs" in result.out
    assert "1 still run" in result.out
    source, target = MlflowClient(f"sqlite:///{other}"), MlflowClient(f"sqlite:///{store}")
    found = copies(store)
    assert set(found) == {"search", "good", "bad"}
    for name, copy in found.items():
        run = source.get_run(ids[name])
        for what in ("status", "run_name", "start_time", "end_time"):
            assert getattr(copy.info, what) == getattr(run.info, what)
        assert copy.data.params == run.data.params
        kept = {**run.data.tags}
        if kept.pop("mlflow.parentRunId", None):
            assert copy.data.tags["mlflow.parentRunId"] == found["search"].info.run_id
        assert kept.items() <= copy.data.tags.items()
        assert copy.data.tags["sync.source"] == ids[name]
    copy_id = found["good"].info.run_id
    for name in ("loss", "accuracy"):
        assert values(target, copy_id, name) == values(source, ids["good"], name)
    assert len(values(target, copy_id, "loss")) == len(VALUES)
    (described,) = found["good"].inputs.dataset_inputs
    assert (described.dataset.name, described.dataset.digest) == (DATASET.name, DATASET.digest)
    assert {tag.key: tag.value for tag in described.tags} == {"mlflow.data.context": "training"}
    assert Path(target.download_artifacts(copy_id, "read me.txt")).read_text() == "notes"
    assert Path(target.download_artifacts(copy_id, "tables/loss.csv")).read_text() == "epoch,loss\n"
    experiment = target.get_experiment(found["good"].info.experiment_id)
    assert experiment.tags["mlflow.note.content"] == "what keeps customers"
    assert content_of(other.parent) == before
    again = sync(f"source=sqlite:///{other}", f"experiments=[{EXPERIMENT}]")
    assert (again.code, "0 runs; 3 were there" in again.out) == (0, True)
    assert set(copies(store)) == {"search", "good", "bad"}


def test_every_model_comes_with_its_step_signature_and_scores(sync: Command, store: Path, other: Path) -> None:
    ids = history(other)
    assert sync(f"source=sqlite:///{other}", "all=true").code == 0
    source, target = MlflowClient(f"sqlite:///{other}"), MlflowClient(f"sqlite:///{store}")
    good = copies(store)["good"]
    outputs = sorted(good.outputs.model_outputs, key=lambda output: output.step)
    theirs = sorted(source.get_run(ids["good"]).outputs.model_outputs, key=lambda output: output.step)
    assert [output.step for output in outputs] == [0, 1]
    mlflow.set_tracking_uri(f"sqlite:///{store}")
    for output, their in zip(outputs, theirs, strict=True):
        model, original = target.get_logged_model(output.model_id), source.get_logged_model(their.model_id)
        assert (model.name, model.params, str(model.status)) == (original.name, original.params, "READY")
        assert {(each.key, each.value, each.step, each.dataset_name) for each in model.metrics} == {
            (each.key, each.value, each.step, each.dataset_name) for each in original.metrics
        }
        loaded = mlflow.pyfunc.load_model(f"models:/{output.model_id}")
        assert loaded.metadata.run_id == good.info.run_id
        assert np.isfinite(loaded.predict(np.ones((1, 2)))).all()
        assert loaded.metadata.signature == Model.load(original.artifact_location.removeprefix("file://")).signature


def test_what_is_not_a_number_comes_as_it_was(sync: Command, store: Path, other: Path) -> None:
    history(other)
    assert sync(f"source=sqlite:///{other}", "all=true").code == 0
    client = MlflowClient(f"sqlite:///{store}")
    logged = [each.value for each in client.get_metric_history(copies(store)["good"].info.run_id, "loss")]
    assert sum(map(math.isnan, logged)) == 1


def test_a_run_whose_files_are_gone_is_left_with_the_reason(sync: Command, store: Path, other: Path) -> None:
    ids = history(other)
    shutil.rmtree(other.parent / "artifacts")
    result = sync(f"source=sqlite:///{other}", "all=true", "format=json")
    assert result.code == 1
    (left,) = json.loads(result.out)["left"]
    assert left["what"] == ids["good"]
    assert "are not at" in left["reason"]
    assert copies(store)["bad"].info.status == "FAILED"
    good = copies(store)["good"]
    assert (good.info.status, "sync.complete" in good.data.tags) == ("FAILED", False)  # visibly not whole


def test_bytes_that_are_lost_on_the_way_are_noticed(
    sync: Command, store: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What writes into the target is replaced: no store loses bytes when it is asked to."""
    history(other)
    real = LocalArtifactRepository.log_artifact

    def losing(self: LocalArtifactRepository, local_file: str, artifact_path: str | None = None) -> None:
        real(self, local_file, artifact_path)
        if Path(local_file).name == "loss.csv":
            written = Path(self.artifact_dir) / (artifact_path or "") / "loss.csv"
            written.write_text(written.read_text().upper())

    with monkeypatch.context() as patched:
        patched.setattr(LocalArtifactRepository, "log_artifact", losing)
        result = sync(f"source=sqlite:///{other}", "all=true", "format=json")
    assert result.code == 1
    (left,) = json.loads(result.out)["left"]
    assert "after the upload tables/loss.csv is not there as it is here" in left["reason"]
    assert sync(f"source=sqlite:///{other}", "all=true").code == 0
    assert copies(store)["good"].info.status == "FINISHED"


def test_ids_of_every_store_on_the_way_stay_valid(
    command: Command, sync: Command, store: Path, other: Path, tmp_path: Path, empty_store: Path
) -> None:
    """From a laptop to a group's store, from there to the company's: three ids, each of them in somebody's notes."""
    for alpha in (1, 2):
        assert (
            command("model=ridge", f"model.alpha={alpha}", "figures=none", f"tracking.uri=sqlite:///{other}").code == 0
        )
    group = Path(shutil.copy(empty_store, tmp_path / "group.db"))
    assert sync(f"source=sqlite:///{other}", f"tracking.uri=sqlite:///{group}").code == 0
    assert sync(f"source=sqlite:///{group}").code == 0
    assert "0 runs; 2 were there" in sync(f"source=sqlite:///{other}").out  # by another way: the same two runs
    stores = [list(copies(each, "boston-housing").values()) for each in (other, group, store)]
    assert [len(found) for found in stores] == [2, 2, 2]
    own, _, third = [sorted(run.info.run_id for run in found) for found in stores]
    middle = {run.data.tags["sync.source"]: run.info.run_id for run in stores[1]}
    final = {run.data.tags["sync.source"]: run.info.run_id for run in stores[2]}
    assert set(own) == set(middle) == set(final)
    result = command(f"runs=[{own[0][:12]},{middle[own[1]]}]", "format=json", program="compare")
    assert result.code == 0, result.err
    pair = json.loads(result.out)["pairs"][0]
    assert [pair["a"], pair["b"]] == [final[own[0]], final[own[1]]]
    assert set(third) == {pair["a"], pair["b"]}
    assert (
        "0 runs; 2 were there" in sync(f"source=sqlite:///{store}", f"tracking.uri=sqlite:///{other}").out
    )  # back home


def test_this_projects_runs_are_as_good_there_as_here(
    command: Command, sync: Command, store: Path, other: Path
) -> None:
    first = command("-m", "model=ridge", "model.alpha=1,2", "figures=none", f"tracking.uri=sqlite:///{other}")
    assert first.code == 0, first.err
    assert sync(f"source=sqlite:///{other}").code == 0
    found = copies(store, "boston-housing").values()
    (parent,) = [run for run in found if "sweep.key" in run.data.tags]
    assert parent.data.tags["best.run_id"] in {run.info.run_id for run in found}
    mlflow.set_tracking_uri(f"sqlite:///{store}")
    assert mlflow.pyfunc.load_model(f"runs:/{parent.info.run_id}/model").metadata.run_id == parent.info.run_id
    board = command("format=json", program="leaderboard")
    assert board.code == 0, board.err
    again = command("-m", "model=ridge", "model.alpha=1,2", "figures=none")
    assert "2 reused" in again.out, again.out + again.err


def test_a_choice_of_runs_brings_their_parents_along(sync: Command, store: Path, other: Path) -> None:
    history(other)
    history(other, "another")
    choice = (f"source=sqlite:///{other}", f"experiments=[{EXPERIMENT}]", 'filter="metrics.loss < 1"')
    dry = sync(*choice, "dry_run=true", "format=json")
    assert dry.code == 0, dry.err
    assert [(each["experiment"], each["runs"]) for each in json.loads(dry.out)["planned"]] == [(EXPERIMENT, 1)]
    assert copies(store) == {}
    assert sync(*choice).code == 0
    assert set(copies(store)) == {"good", "search"}
    assert copies(store, "another") == {}
