"""A store of an older MLflow is upgraded whole or not at all, and is kept as it was.

The old store is a real one that MLflow's own last migration was taken back from: CI has one MLflow. With
3.17.2 and 3.18.0 in two environments the same was done by hand: docs/decisions/0016.
"""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

from boston_exp.errors import StoreUnusable
from boston_exp.tracking import liveness, schema, sqlite_store
from tests.conftest import ROOT, Command


def taken_back(path: Path) -> str:
    """Take the newest migration of a store back; gives the schema that it has then."""
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config

    before = schema.migrations()[schema.newest()]
    command.downgrade(_get_alembic_config(f"sqlite:///{path}"), before)
    return before


def content(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


@pytest.fixture
def old(store: Path) -> Path:
    client = MlflowClient(f"sqlite:///{store}")
    client.log_metric(client.create_run("0").info.run_id, "rmse", 3.0)
    taken_back(store)
    return store


def beside(path: Path) -> set[str]:
    """What lies beside a store that is not sqlite's or its lock."""
    own = {path.name, f"{path.name}-wal", f"{path.name}-shm", f".{path.name}.lock"}
    return {each.name for each in path.parent.iterdir()} - own


@pytest.mark.slow
def test_an_older_store_is_refused_and_the_doctor_upgrades_it_with_its_runs_and_models(
    command: Command, store: Path, tmp_path: Path
) -> None:
    """MLflow itself says `mlflow db upgrade`, and nothing of a backup that is one command."""
    import mlflow

    trains = ("model=ridge", "figures=none", f"tracking.artifact_root={tmp_path}/a")
    assert command(*trains).code == 0
    client = MlflowClient(f"sqlite:///{store}")
    (run,) = client.search_runs(["1"])
    mlflow.set_tracking_uri(f"sqlite:///{store}")
    mlflow.register_model(f"runs:/{run.info.run_id}/model", "houses")
    version = taken_back(store)
    before = content(store)

    refused = command(*trains)
    assert refused.code == 2
    assert f"has schema {version} of an older MLflow" in refused.err
    assert "of an older MLflow" in (ROOT / "docs" / "troubleshooting.md").read_text()
    assert re.search(rf"python -m boston_exp.doctor .*tracking.uri=sqlite:///{store} fix=true", refused.err)
    assert "fix=true" in command("format=json", program="doctor").out

    fixed = command("fix=true", program="doctor")
    assert fixed.code == 0, fixed.out + fixed.err
    backup = store.with_name(f"{store.name}.{version}.backup")
    assert f"fixed: store: from schema {version} to {schema.newest()}; as it was before: {backup}" in fixed.err
    assert content(backup) == before
    assert sqlite_store.faults(store) == []
    (again,) = MlflowClient(f"sqlite:///{store}").search_runs(["1"])
    assert again.to_dictionary() == run.to_dictionary()
    assert mlflow.sklearn.load_model("models:/houses/1").n_features_in_ == 13
    assert command(*trains).code == 0
    assert command(program="leaderboard").code == 0


@pytest.mark.slow
def test_a_store_whose_migrations_fail_stays_as_it_was(old: Path) -> None:
    """`mlflow db upgrade` on the file itself leaves half of a migration where it fails."""
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("CREATE TABLE job_locks (x)")
        connection.commit()
    before = content(old)
    with pytest.raises(StoreUnusable, match=r"is as it was: `mlflow db upgrade` says: .*job_locks.* already exists"):
        schema.upgrade(old)
    assert content(old) == before
    assert beside(old) == set()


@pytest.mark.slow
def test_a_store_that_is_written_to_meanwhile_loses_nothing_of_it(old: Path) -> None:
    """A program of the older MLflow may have it open, which knows nothing of our lock."""

    def write() -> None:
        until = time.monotonic() + 60
        while not list(old.parent.glob("*.upgrade")) and time.monotonic() < until:
            time.sleep(0.01)
        with closing(sqlite3.connect(old)) as connection:
            connection.execute("UPDATE runs SET name = 'meanwhile'")
            connection.commit()

    writer = threading.Thread(target=write)
    writer.start()
    with pytest.raises(StoreUnusable, match="it was written to meanwhile"):
        schema.upgrade(old)
    writer.join()
    assert any("meanwhile" in line for line in content(old))
    assert schema.upgrade(old).startswith("from schema")
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("SELECT name FROM runs").fetchall() == [("meanwhile",)]


def test_a_store_in_which_a_living_process_records_is_refused(old: Path) -> None:
    with closing(sqlite3.connect(old)) as connection:
        (run_id,) = connection.execute("SELECT run_uuid FROM runs").fetchone()
        tags = [(run_id, key, value) for key, value in liveness.tags().items()]
        connection.executemany("INSERT INTO tags (run_uuid, key, value) VALUES (?, ?, ?)", tags)
        connection.commit()
    with pytest.raises(StoreUnusable, match=f"records run {run_id} in it"):
        schema.upgrade(old)
    assert beside(old) == set()


def test_a_migration_that_takes_too_long_is_ended_and_changes_nothing(old: Path) -> None:
    before = content(old)
    with pytest.raises(StoreUnusable, match="takes longer than"):
        schema.upgrade(old, deadline=0.2)
    assert content(old) == before
    assert beside(old) == set()


@pytest.mark.slow
def test_a_killed_upgrade_leaves_the_store_as_it_was_and_no_backup_is_overwritten(old: Path) -> None:
    before = content(old)
    code = f"from pathlib import Path; from boston_exp.tracking import schema; schema.upgrade(Path({str(old)!r}))"
    killed = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    until = time.monotonic() + 60
    while not list(old.parent.glob("*.upgrade")) and time.monotonic() < until:
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)  # with the MLflow that it has started
    killed.wait()
    assert content(old) == before
    (first,) = old.parent.glob("*.backup")
    kept = first.read_bytes()
    assert schema.upgrade(old).endswith(".2.backup")
    assert first.read_bytes() == kept
    assert len(list(old.parent.glob(".*.upgrade*"))) == 0


def test_the_newest_schema_is_the_one_that_mlflow_creates(store: Path) -> None:
    with closing(sqlite3.connect(store)) as connection:
        assert schema.version_of(connection) == schema.newest()
