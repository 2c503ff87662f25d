"""`sync` between stores on this machine: whole, once, and nothing of the source is touched."""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Run
from mlflow.models import Model
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.store.tracking.file_store import FileStore

from tests.conftest import Command, Result
from tests.lifecycle.syncing.foreign import DATASET, EXPERIMENT, VALUES, history
from tests.tracking.test_schema import taken_back


@pytest.fixture
def other(tmp_path: Path, empty_store: Path) -> Path:
    """A store in a folder of its own."""
    (tmp_path / "laptop").mkdir()
    return Path(shutil.copy(empty_store, tmp_path / "laptop" / "other.db"))


@pytest.fixture
def sync(command: Command) -> Command:
    def call(*overrides: str) -> Result:
        return command(*overrides, program="sync")

    return call


def copies(store: Path, experiment: str = EXPERIMENT) -> dict[str, Run]:
    """By name."""
    client = MlflowClient(f"sqlite:///{store}")
    found = client.get_experiment_by_name(experiment)
    runs = client.search_runs([found.experiment_id]) if found else []
    assert len({run.info.run_name for run in runs}) == len(runs)
    return {run.info.run_name: run for run in runs}


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


def test_a_folder_of_files_is_read_by_mlflows_own_migration(
    sync: Command, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow 3.17 refuses such a folder as a store, and reads it into a database."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    files = FileStore(str(tmp_path / "old" / "mlruns"))
    place = files.create_experiment("years ago")
    run = files.create_run(place, "me", 1000, [], "first")
    for step in range(3):
        files.log_metric(run.info.run_id, Metric("loss", 1.0 - step / 4, 1100 + step, step))
    artifact = Path(run.info.artifact_uri.removeprefix("file://")) / "notes.txt"
    artifact.write_text("kept")
    files.update_run_info(run.info.run_id, "FINISHED", 2000, "first")
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE")
    (tmp_path / "old").rename(tmp_path / "moved")  # onto another machine, where no path is what it was
    result = sync("source=./moved/mlruns", "all=true")
    assert result.code == 0, result.err
    (copy,) = copies(store, "years ago").values()
    client = MlflowClient(f"sqlite:///{store}")
    assert [step for step, _, _ in values(client, copy.info.run_id, "loss")] == [0, 1, 2]
    assert Path(client.download_artifacts(copy.info.run_id, "notes.txt")).read_text() == "kept"
    assert copy.data.tags["sync.source"] == run.info.run_id


def test_artifacts_are_found_beside_a_store_that_was_moved(sync: Command, store: Path, other: Path) -> None:
    history(other)
    moved = other.parent.with_name("stick")
    other.parent.rename(moved)
    result = sync(f"source=sqlite:///{moved}/other.db", "all=true")
    assert result.code == 0, result.err
    client = MlflowClient(f"sqlite:///{store}")
    assert Path(client.download_artifacts(copies(store)["good"].info.run_id, "read me.txt")).read_text() == "notes"


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


def test_another_persons_store_cannot_have_files_of_ours_sent(sync: Command, store: Path, other: Path) -> None:
    """Where a run's artifacts are is what its store says: a record is data, and this machine has private files."""
    ids = history(other)
    private = other.parent.parent / "home" / "private"
    private.mkdir(parents=True)
    (private / "id_ed25519").write_text("key")
    with sqlite3.connect(other) as database:
        database.execute("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", (private.as_uri(), ids["bad"]))
    result = sync(f"source=sqlite:///{other}", "all=true", "format=json")
    assert result.code == 1
    (left,) = json.loads(result.out)["left"]
    assert left["what"] == ids["bad"]
    assert not list((store.parent / "mlartifacts").rglob("id_ed25519"))


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


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ((), "is no server, and no source was named to bring runs from"),
        (("source=sqlite:///nowhere.db",), "source=sqlite:///nowhere.db does not exist"),
        (("source=./nowhere",), "is neither a store's address nor a folder that exists"),
        (("source=.",), "is not a folder of MLflow's runs"),
        (("source=''",), "source='' is neither a store's address"),
        (("source=laptop/other.db",), "source=sqlite:///laptop/other.db"),
        (("source=s3://bucket/mlruns",), "is neither a store's address"),
        (("source=http://127.0.0.1:1",), "source: http://127.0.0.1:1 is not there: connection refused"),
        (("source=sqlite:///laptop/other.db", "experiments=[chrun]"), "has no experiment chrun. Did you mean 'churn'?"),
        (("source=sqlite:///laptop/other.db",), "has no experiment boston-housing"),
        (("source=sqlite:///mlflow.db",), "source=sqlite:///mlflow.db is where runs are brought to"),
        (
            ("source=sqlite:///laptop/other.db", "all=true", 'filter="nonsense"'),
            "filter=nonsense is no condition of MLflow's",
        ),
        (("source=sqlite:///laptop/other.db", "format=xml"), "format=xml is not possible"),
        (("tracking.uri=http://127.0.0.1:1",), "is not there: connection refused"),
    ],
)
def test_what_cannot_be_done_is_said_with_the_next_command(
    sync: Command, store: Path, other: Path, overrides: tuple[str, ...], says: str
) -> None:
    history(other)
    content = store.read_bytes()
    result = sync(*overrides)
    assert result.code == 2, result.out + result.err
    assert says in result.err
    assert "next: " in result.err
    assert "Traceback" not in result.err
    assert store.read_bytes() == content


def test_registered_models_come_with_versions_and_aliases(sync: Command, store: Path, other: Path) -> None:
    ids = history(other)
    source, target = MlflowClient(f"sqlite:///{other}"), MlflowClient(f"sqlite:///{store}")
    source.create_registered_model("keeper", {"owner": "growth"}, "who stays")
    for output in sorted(source.get_run(ids["good"]).outputs.model_outputs, key=lambda each: each.step):
        mlflow.set_tracking_uri(f"sqlite:///{other}")
        source.create_model_version(
            "keeper",
            f"models:/{output.model_id}",
            ids["good"],
            {"gate": "passed"},
            description="card",
            model_id=output.model_id,
        )
    source.set_registered_model_alias("keeper", "champion", "2")
    bring = (f"source=sqlite:///{other}", "all=true", "registry=true")
    result = sync(*bring)
    assert result.code == 0, result.err
    assert "2 registered versions" in result.out
    there = target.get_registered_model("keeper")
    assert (there.description, there.tags["owner"]) == ("who stays", "growth")
    champion = target.get_model_version_by_alias("keeper", "champion")
    assert (str(champion.version), champion.tags["gate"], champion.description) == ("2", "passed", "card")
    assert champion.run_id == copies(store)["good"].info.run_id
    mlflow.set_tracking_uri(f"sqlite:///{store}")
    assert mlflow.pyfunc.load_model("models:/keeper@champion").metadata.run_id == champion.run_id
    assert "version" not in sync(*bring).out
    assert len(target.search_model_versions("name = 'keeper'")) == 2
    source.set_registered_model_alias("keeper", "champion", "1")  # promoted here again: it follows
    assert sync(*bring).code == 0
    assert str(target.get_model_version_by_alias("keeper", "champion").version) == "1"
    target.set_registered_model_alias("keeper", "champion", "2")  # somebody has moved it there
    left = sync(*bring)
    assert left.code == 1
    assert "it names version 2 there, which was not set from here" in left.out
    assert str(target.get_model_version_by_alias("keeper", "champion").version) == "2"


@pytest.mark.slow
def test_a_store_of_an_older_mlflow_is_read_and_stays_as_it_is(sync: Command, store: Path, other: Path) -> None:
    """MLflow refuses it until it is upgraded, which is for whoever owns it to do."""
    history(other)
    taken_back(other)
    content = other.read_bytes()
    result = sync(f"source=sqlite:///{other}", "all=true")
    assert result.code == 0, result.err
    assert set(copies(store)) == {"search", "good", "bad"}
    assert other.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"no database at all", None])
def test_what_is_no_store_is_no_source(sync: Command, store: Path, other: Path, content: bytes | None) -> None:
    if content is None:
        with sqlite3.connect(other.with_name("shop.db")) as database:
            database.execute("CREATE TABLE orders (id INTEGER)")
    else:
        other.with_name("shop.db").write_bytes(content)
    result = sync("source=sqlite:///laptop/shop.db", "all=true")
    assert result.code == 2
    assert "shop.db" in result.err
    assert "Traceback" not in result.err
