"""An afternoon of runs, recorded once: two sweeps, single runs with and without folds, another table."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Run

from boston_exp.lifecycle.cleaning import belongings
from tests.conftest import Command, python

AFTERNOON = (
    ("-m", "model.n_estimators=5,10", "model.max_depth=2,null", "evaluation=cv"),
    ("-m", "model=extra_trees", "model.n_estimators=5", "seed=1,2,3", "evaluation=cv"),
    ("-m", "model.n_estimators=5,10", "model.max_depth=null", "evaluation=cv"),  # reused
    ("model=ridge", "evaluation=cv", "data.slices=[CHAS,RM]"),
    ("model=knn", "evaluation=cv", "data.slices=[CHAS,RM]"),
    ("model=ridge",),
    ("model=ridge", "evaluation=cv", "data=diabetes"),
)


# One process for all of them: each would import for three seconds.
COMMANDS = """
import json, sys
from boston_exp import process, run
for overrides in json.loads(sys.argv[1]):
    process.reset()
    sys.argv = ["run", *overrides]
    run.main()
"""


@pytest.fixture(scope="session")
def _recorded(shared: Path, empty_store: Path) -> Path:
    """Recorded by the first worker that needs it, for all of them."""
    folder = shared / "afternoon"
    with FileLock(shared / "afternoon.lock"):
        if not (folder / "whole").exists():
            _record(folder, empty_store)
            (folder / "whole").touch()
    return folder / "mlflow.db"


def _record(folder: Path, empty_store: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    store = Path(shutil.copy(empty_store, folder / "mlflow.db"))
    own = (
        f"tracking.uri=sqlite:///{store}",
        "figures=none",
        f"hydra.run.dir={folder}/o",
        f"hydra.sweep.dir={folder}/m",
    )
    result = python("-c", COMMANDS, json.dumps([(*overrides, *own) for overrides in AFTERNOON]), cwd=folder)
    assert result.code == 0, result.err
    client = MlflowClient(f"sqlite:///{store}")
    experiment = client.get_experiment_by_name("boston-housing").experiment_id
    client.set_terminated(client.create_run(experiment, run_name="crashed").info.run_id, "FAILED")


@pytest.fixture
def afternoon(_recorded: Path, store: Path) -> Path:
    """A store of the test's own with those runs; their artifacts are shared, and only read."""
    with sqlite3.connect(_recorded) as source, sqlite3.connect(store) as target:
        source.backup(target)  # what is still in the write-ahead log included
    source.close()
    target.close()
    return store


@pytest.fixture
def runs(afternoon: Path) -> Callable[[str], list[Run]]:
    """Those that meet a condition, the newest first."""
    client = MlflowClient(f"sqlite:///{afternoon}")
    experiment = client.get_experiment_by_name("boston-housing").experiment_id
    return lambda condition: list(client.search_runs([experiment], condition))


@pytest.fixture
def as_json(command: Command) -> Callable[..., dict[str, Any]]:
    """What a command prints with format=json."""

    def call(program: str, *overrides: str) -> dict[str, Any]:
        result = command(*overrides, "format=json", program=program)
        assert result.code == 0, result.err
        found: dict[str, Any] = json.loads(result.out)
        return found

    return call


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where output folders are looked for; the commands of these tests put them there."""
    monkeypatch.setattr(belongings, "PROJECT_ROOT", tmp_path)
    monkeypatch.setattr(belongings.outputs, "__defaults__", (tmp_path,))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "temporary").mkdir()
    return tmp_path


def trained(command: Command, project: Path, *overrides: str) -> str:
    """A run of its own, with its output folder in the project; returns its id."""
    number = len(list(project.glob("outputs/*/*")))
    result = command("model=ridge", "figures=none", f"hydra.run.dir={project}/outputs/day/{number}", *overrides)
    assert result.code == 0, result.err
    return result.out.split("run id      ")[1].split()[0]


def left(store: Path) -> set[str]:
    """Ids of all runs of the store, deleted ones included."""
    with sqlite3.connect(store) as connection:
        found = {row[0] for row in connection.execute("SELECT run_uuid FROM runs")}
    connection.close()
    return found
