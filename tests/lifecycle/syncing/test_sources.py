"""Where `sync` brings runs from: stores that were moved, of an older MLflow, of another person; and what is none."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.store.tracking.file_store import FileStore

from tests.conftest import Command
from tests.lifecycle.syncing.foreign import copies, history
from tests.tracking.test_schema import taken_back


def values(client: MlflowClient, run_id: str, name: str) -> list[tuple[int, int, str]]:
    return sorted((each.step, each.timestamp, str(each.value)) for each in client.get_metric_history(run_id, name))


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
