"""A run to be trained again, and what a command has left behind."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from boston_exp.process import TEMPORARY
from tests.conftest import ROOT, Command, git

Record = Callable[..., Run]
RIDGE = ("model=ridge", "preprocess=standard", "figures=none", "quiet=true")


@pytest.fixture
def record(command: Command, store: Path) -> Record:
    """Trains something, and gives its run."""

    def call(*overrides: str) -> Run:
        result = command(*(overrides or RIDGE))
        assert result.code == 0, result.err
        return MlflowClient(f"sqlite:///{store}").get_run(result.out.split()[-1])

    return call


@pytest.fixture
def repetitions(store: Path) -> Callable[[], list[Run]]:
    """The runs of the store that repeat another one."""
    client = MlflowClient(f"sqlite:///{store}")
    return lambda: [run for run in client.search_runs(["1"]) if "reproduces" in run.data.tags]


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever becomes of a command: no work tree, no branch, no temporary folder stays."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    branches = git("branch", "--all", cwd=ROOT)
    yield
    assert list(folder.glob(f"{TEMPORARY}*")) == []
    assert str(folder) not in git("worktree", "list", cwd=ROOT)
    assert git("branch", "--all", cwd=ROOT) == branches
