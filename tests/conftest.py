"""A clean slate for every test: its own folder, its own store, nothing of the user's environment."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

from boston_exp import process
from boston_exp.config import settings
from boston_exp.config.schema import Storage
from boston_exp.tracking import sqlite_store
from boston_exp.tracking.mlflow import ENVIRONMENT
from tests import services
from tests.services import Service

ROOT = Path(__file__).resolve().parent.parent


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The documents first: each takes a minute or more, and begun at the end, the other worker would wait for it."""
    items.sort(key=lambda item: "test_every_command_of_a_document" not in item.nodeid)


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Command = Callable[..., Result]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "AWS_", "MINIO_", "DVC_", "HYDRA_", "BOSTON_EXP_")):
            monkeypatch.delenv(name)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "true")
    process.reset()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this session that all of xdist's workers share; what is in it is made by the first that needs it.

    See https://pytest-xdist.readthedocs.io/en/stable/how-to.html#making-session-scoped-fixtures-execute-only-once
    """
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _own_state(shared: Path) -> Iterator[None]:
    """Nothing of a test gets into the user's state folder (training/seal.py); commands that it starts inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(shared / "state"))
        yield


@pytest.fixture(scope="session")
def empty_store(shared: Path) -> Path:
    """An MLflow store with nothing in it, made once for all workers: its migrations take two seconds."""
    path = shared / "empty-store.db"
    sqlite_store.create(path, "unused")
    return path


@pytest.fixture
def store(tmp_path: Path, empty_store: Path) -> Path:
    """A store of the test's own; its artifacts go beside it."""
    return Path(shutil.copy(empty_store, tmp_path / "mlflow.db"))


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A real S3 gateway, with buckets, users and the data."""
    with services.gateway(tmp_path_factory.mktemp("gateway")) as service:
        yield service


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, gateway: Service) -> Iterator[Service]:
    """A real MLflow server that hands artifacts through to the gateway."""
    with services.mlflow_server(tmp_path_factory.mktemp("server"), gateway.url) as service:
        yield service


@pytest.fixture(scope="session")
def second_server(tmp_path_factory: pytest.TempPathFactory, gateway: Service) -> Iterator[Service]:
    """Another one, for those who change it; each test has an experiment of its own."""
    with services.mlflow_server(tmp_path_factory.mktemp("second-server"), gateway.url) as service:
        yield service


@pytest.fixture
def command(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """`python -m boston_exp.<program> …`, in this process (a new one imports for three seconds), on `store`."""
    monkeypatch.chdir(tmp_path)
    hook, terminate, root = sys.excepthook, signal.getsignal(signal.SIGTERM), logging.getLogger()
    handlers, level = list(root.handlers), root.level

    def call(*overrides: str, program: str = "run") -> Result:
        own = [] if any(each.startswith("tracking.uri=") for each in overrides) else [f"tracking.uri=sqlite:///{store}"]
        folders = [f"hydra.run.dir={tmp_path}/outputs", f"hydra.sweep.dir={tmp_path}/multirun"]
        typed = {each.partition("=")[0] for each in overrides}
        own += [each for each in folders if program == "run" and each.partition("=")[0] not in typed]
        monkeypatch.setattr(sys, "argv", [program, *overrides, *own])
        capfd.readouterr()
        try:
            import_module(f"boston_exp.{program}").main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        out, err = capfd.readouterr()
        return Result(code, out, err)

    yield call
    sys.excepthook = hook
    signal.signal(signal.SIGTERM, terminate)
    root.handlers[:], root.level = handlers, level


def python(*arguments: str, cwd: Path, project: Path = ROOT, **environment: str) -> Result:
    """A command in a process of its own, with the package taken from `project`."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(project), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def git(*arguments: str, cwd: Path) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *identity, *arguments], cwd=cwd, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, committed in a repository of its own."""
    return committed_copy(tmp_path_factory.mktemp("pristine") / "project")


def committed_copy(folder: Path) -> Path:
    """The project as it is in this work tree, uncommitted changes included, committed in a new repository."""
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    git("init", "--quiet", "--initial-branch=main", cwd=folder)
    git("add", "--all", cwd=folder)
    git("commit", "--quiet", "--message", "as it is", cwd=folder)
    return folder


@pytest.fixture
def clone(pristine: Path, tmp_path: Path) -> Path:
    """A fresh clone: no data file, no store."""
    folder = tmp_path / "clone"
    git("clone", "--quiet", str(pristine), str(folder), cwd=tmp_path)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _data_is_there() -> None:
    """The embedded remote has it; a checkout that was never run does not."""
    from boston_exp.storage import dvc_remote

    dvc_remote.fetch_if_missing(
        settings.PROJECT_ROOT / "data" / "raw" / "housing.csv", Storage("embedded"), settings.Typed()
    )
