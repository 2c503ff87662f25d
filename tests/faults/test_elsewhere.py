"""Machines that are not like the author's: users without a name, installations without the folder, shared disks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from hydra.conf import HydraConf
from omegaconf import OmegaConf

from boston_exp.sweep import jobs, mailbox
from boston_exp.sweep.mailbox import State, Task
from boston_exp.tracking import sqlite_store
from tests.conftest import ROOT, Command, python

# -- 13


def test_a_worker_of_another_machine_does_not_open_an_sqlite_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("boston_exp.tracking.studies.reporter", lambda *a: opened.append("opened"))
    task = Task("key", None, None, "the-main-one", ("study", 1, "cv_rmse"))
    hydra = OmegaConf.structured(HydraConf)
    hydra.sweeper = {"storage": f"sqlite:///{tmp_path}/optuna.db"}
    jobs._pruner(hydra, task)
    assert opened == []
    hydra.sweeper = {"storage": "postgresql://host/optuna"}
    jobs._pruner(hydra, task)
    assert opened == ["opened"]


@pytest.mark.parametrize(("kind", "told"), [("nfs4", "nfs4"), ("ext4", None), ("fuse.sshfs", "fuse.sshfs")])
def test_a_store_on_a_network_file_system_is_known(
    kind: str, told: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is mounted here, so the list of mounts is replaced."""
    mount = type("Mount", (), {"mountpoint": str(tmp_path), "fstype": kind})
    real = psutil.disk_partitions(all=True)
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: [*real, mount])  # noqa: A006
    assert sqlite_store.network_file_system(tmp_path / "mlflow.db") == told


# -- 15


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody without a name")
def test_a_user_without_a_name_can_run(tmp_path: Path, store: Path) -> None:
    """As `docker run --user 12345` does."""
    for path in (tmp_path, *tmp_path.rglob("*"), *tmp_path.parents[:3]):
        if path.is_relative_to("/tmp") and path != Path("/tmp"):  # noqa: S108
            path.chmod(0o777 if path.is_dir() else 0o666)
    call = [sys.executable, "-m", "boston_exp.run", "model=ridge", "figures=none", f"tracking.uri=sqlite:///{store}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        environment.pop(name, None)
    readable = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"]
    if subprocess.run([*readable, sys.executable, "-c", ""], check=False, capture_output=True).returncode != 0:
        pytest.skip("this Python is in a folder that others may not enter")
    done = subprocess.run(
        [*readable, *call, f"hydra.run.dir={tmp_path}/outputs"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("target", ["x", "a.b"])
def test_a_launcher_that_is_none_is_told(target: str, command: Command) -> None:
    result = command("-m", "model=ridge", "model.alpha=1,2", f"hydra.launcher._target_={target}")
    assert result.code == 2
    assert f"hydra.launcher._target_={target} is not the full name of a launcher" in result.err


@pytest.mark.slow
def test_an_installation_without_the_folder_works_inside_of_it_and_else_says_what_to_do(
    clone: Path, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    shutil.copytree(ROOT / "boston_exp", site / "boston_exp", ignore=shutil.ignore_patterns("__pycache__"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    lost = python("-m", "boston_exp.run", "model=ridge", cwd=elsewhere, project=site)
    assert lost.code == 2
    assert "without conf/" in lost.err
    assert "pip install -e ." in lost.err
    (clone / "notebooks").mkdir()
    sweep = ("-m", "model=ridge", "model.alpha=1,2", "hydra/launcher=joblib", "figures=none")
    for call in (("model=ridge", "figures=none"), sweep):
        done = python("-m", "boston_exp.run", *call, cwd=clone / "notebooks", project=site)
        assert done.code == 0, done.err
    assert (clone / "mlflow.db").exists()


# -- 16


def test_news_of_a_point_costs_the_same_however_many_there_are(tmp_path: Path) -> None:
    """Counted in files that are looked at, as a time would depend on the machine."""
    for number in range(2000):
        mailbox.write_state(tmp_path, number, State("running", 1, "here"))
    assert len(list(mailbox.new_states(tmp_path, range(2000)))) == 2000
    assert list(mailbox.new_states(tmp_path, range(2000))) == []
    assert list((tmp_path / mailbox.FOLDER / mailbox.NEWS).iterdir()) == []
    mailbox.write_state(tmp_path, 7, State("finished", 1, "here"))
    assert [(number, state.status) for number, state in mailbox.new_states(tmp_path, {7, 8})] == [(7, "finished")]
