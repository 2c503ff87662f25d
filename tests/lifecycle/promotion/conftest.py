"""A project of the test's own: git, DVC, a local remote for models; promote works in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from boston_exp import promote as command_module
from boston_exp.storage.git import Git
from tests.conftest import Command, Result, git

NAME = "boston-housing"


@dataclass(frozen=True)
class Project:
    """The folder, its store, and the command that works on both."""

    folder: Path
    store: Path
    command: Command

    def promote(self, *overrides: str) -> Result:
        return self.command(*overrides, program="promote")

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(f"sqlite:///{self.store}")

    @property
    def git(self) -> Git:
        return Git(self.folder)

    @property
    def model(self) -> Path:
        return self.folder / "data" / "models" / NAME

    @property
    def aliases(self) -> dict[str, str]:
        return {alias: str(number) for alias, number in self.client.get_registered_model(NAME).aliases.items()}

    def state(self) -> dict[str, object]:
        """Everything that others see: registry, files, git, the user's index and work tree."""
        models = list(self.client.search_registered_models())
        places = [self.folder / "dvc.yaml", self.model.with_name(f"{NAME}.dvc")]
        places += sorted(self.model.glob("*")) if self.model.exists() else []
        return {
            "versions": sorted((each.name, each.version) for each in self.client.search_model_versions()),
            "aliases": {model.name: {k: str(v) for k, v in model.aliases.items()} for model in models},
            "files": {place.name: place.read_bytes() for place in places if place.is_file()},
            "head": self.git.head,
            "tags": sorted(self.git.tags()),
            "status": git("status", "--porcelain", cwd=self.folder),
            "staged": git("diff", "--cached", cwd=self.folder),
            "unstaged": git("diff", cwd=self.folder),
            "left": (self.folder / "data" / "models" / ".promotion").exists(),
        }


@pytest.fixture
def repository(pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project that promote takes for its own."""
    folder = tmp_path / "project"
    shutil.copytree(pristine, folder, ignore=shutil.ignore_patterns("docs", "tests"))
    git("config", "user.name", "Tester", cwd=folder)
    git("config", "user.email", "tester@localhost", cwd=folder)
    git("rm", "-r", "--quiet", "--cached", "docs", "tests", cwd=folder)
    git("commit", "--quiet", "--message", "without docs and tests", cwd=folder)
    monkeypatch.setattr(command_module, "PROJECT_ROOT", folder)
    return folder


@pytest.fixture
def project(repository: Path, afternoon: Path, command: Command) -> Project:
    """With the runs of an afternoon."""
    return Project(repository, afternoon, command)


@pytest.fixture
def named(runs: Callable[[str], list[Run]]) -> Callable[..., str]:
    """The id of the newest run of a model, with folds unless told otherwise."""

    def find(model: str, folds: int = 5) -> str:
        condition = (
            "tags.`sweep.key` IS NULL and "
            f"tags.model_type = '{model}' and params.`evaluation.n_splits` = '{folds}' and tags.dataset = 'boston'"
        )
        return str(runs(condition)[0].info.run_id)

    return find
