"""A crash is FAILED, a signal is KILLED, and kill -9 is closed by the next command; nothing is FINISHED by mistake."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.conftest import ROOT, Command

LONG = ("model.n_estimators=50000", "figures=none")


def runs_in(store: Path) -> list[Run]:
    client = MlflowClient(f"sqlite:///{store}")
    experiment = client.get_experiment_by_name("boston-housing")
    return [] if experiment is None else list(client.search_runs([experiment.experiment_id]))


def started(store: Path, folder: Path) -> subprocess.Popen[str]:
    """A long training in a process of its own, waited for until its run is open."""
    process = subprocess.Popen(
        [sys.executable, "-m", "boston_exp.run", *LONG, f"tracking.uri=sqlite:///{store}", f"hydra.run.dir={folder}/o"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 60
    while not any("seed" in run.data.params for run in runs_in(store)):
        assert time.monotonic() < until, "no run was opened"
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.2)
    return process


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_closes_the_run_as_killed(store: Path, tmp_path: Path, number: int, code: int) -> None:
    process = started(store, tmp_path)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in err
    assert [run.info.status for run in runs_in(store)] == ["KILLED"]


@pytest.mark.slow
def test_kill_9_is_closed_by_the_next_command(command: Command, store: Path, tmp_path: Path) -> None:
    """And only then: nobody is left to do it earlier."""
    process = started(store, tmp_path)
    process.kill()
    process.communicate()
    (left,) = runs_in(store)
    assert left.info.status == "RUNNING"
    result = command("experiment=quick_test", "figures=none")
    assert result.code == 0, result.err
    assert f"run {left.info.run_id} was left open by a process that is gone" in result.err
    statuses = {run.info.run_id: run.info.status for run in runs_in(store)}
    assert statuses.pop(left.info.run_id) == "KILLED"
    assert list(statuses.values()) == ["FINISHED"]


@pytest.mark.slow
def test_a_run_that_is_alive_is_left_alone(command: Command, store: Path, tmp_path: Path) -> None:
    process = started(store, tmp_path)
    try:
        assert command("experiment=quick_test", "figures=none").code == 0
        assert sorted(run.info.status for run in runs_in(store)) == ["FINISHED", "RUNNING"]
    finally:
        process.kill()
        process.communicate()


def test_a_crash_is_failed_with_its_message(command: Command, store: Path) -> None:
    """scikit-learn finds out only in fit that this solver cannot do what is asked of it."""
    result = command("model=ridge", "+model.solver=svd", "+model.positive=true", "figures=none")
    assert result.code == 2
    (run,) = runs_in(store)
    assert run.info.status == "FAILED"
    assert "ValueError" in run.data.tags["error"]
    assert "svd" in run.data.tags["error"]
    assert run.data.params["model.solver"] == "svd"
    assert f"run {run.info.run_id} is recorded as FAILED" in result.err


@pytest.mark.slow
def test_four_processes_on_a_fresh_clone_do_not_harm_each_other(clone: Path) -> None:
    """No data file, no store, no experiment: each of them would make all three."""
    command = [sys.executable, "-m", "boston_exp.run", "experiment=quick_test", "figures=none"]
    environment = {**os.environ, "PYTHONPATH": str(clone)}
    processes = [
        subprocess.Popen(
            [*command, f"seed={seed}"],
            cwd=clone,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for seed in range(4)
    ]
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert "recorded in sqlite:///mlflow.db" in out
    runs = runs_in(clone / "mlflow.db")
    assert [run.info.status for run in runs] == ["FINISHED"] * 4
    assert len(list((clone / "outputs").glob("*/*"))) == 4
    assert not list(clone.glob(".mlflow.db.new*"))
