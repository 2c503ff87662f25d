"""Ctrl-C on a sweep: once ends it tidily and says how to go on, twice ends it at once, and the next command closes
what is left open. Real signals; the sweeps are on a terminal of their own."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient

from tests.conftest import ROOT, python
from tests.faults.worker_kills import workers
from tests.terminal import CTRL_C, Terminal

SWEEP = (
    "model=ridge", "model._target_=slow.Slow", "trusted_packages=[sklearn,slow]", "model.alpha=range(1,13)",
    "evaluation=holdout", "figures=none", "tracking.log_model=none", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2",
)  # fmt: skip
SLOW = """
import time
from sklearn.linear_model import Ridge

class Slow(Ridge):
    def fit(self, X, y):
        time.sleep(0.5)
        return super().fit(X, y)
"""
IN_C = (  # ten seconds in libsvm, where no handler of Python's runs
    "model=svr", "model.C=1e7", "preprocess=none", "figures=none", "model.epsilon=0.001,0.002", "evaluation=holdout",
)  # fmt: skip


class Sweep:
    """A sweep on a terminal, in a folder of its own."""

    def __init__(self, folder: Path, store: Path, *overrides: str) -> None:
        (folder / "slow.py").write_text(SLOW)
        self.folder, self.store = folder, store
        self.overrides = (*overrides, f"tracking.uri=sqlite:///{store}", f"hydra.sweep.dir={folder}/sweep")
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{folder}"}
        command = [sys.executable, "-m", "boston_exp.run", "-m", *self.overrides]
        self.terminal = Terminal(command, folder, environment, 100, 30)

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.terminal.process.pid).children(recursive=True)

    def statuses(self) -> Counter[str]:
        """Of the points."""
        client = MlflowClient(f"sqlite:///{self.store}")
        runs = client.search_runs([each.experiment_id for each in client.search_experiments()])
        return Counter(run.info.status for run in runs if "mlflow.parentRunId" in run.data.tags)

    def again(self) -> str:
        """The same command, to its end."""
        shown = python(
            "-m", "boston_exp.run", "-m", *self.overrides, cwd=self.folder, PYTHONPATH=f"{ROOT}:{self.folder}"
        )
        assert shown.code == 0, shown.err
        return shown.out


@pytest.fixture
def sweep(tmp_path: Path, store: Path) -> Iterator[Sweep]:
    started = Sweep(tmp_path, store, *SWEEP)
    yield started
    started.terminal.close()


def gone(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=10)
    return not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.slow
def test_once_closes_what_runs_and_gives_the_command_that_goes_on(sweep: Sweep) -> None:
    sweep.terminal.wait_for(lambda text: "\n4/12" in f"\n{text}")
    family = sweep.family()
    sweep.terminal.press(CTRL_C)
    assert sweep.terminal.read_to_the_end() == 130
    assert gone(family)
    told = sweep.terminal.text.replace("\n", "")  # the terminal has folded the command
    _, _, command = told.partition("the same command goes on from here: ")
    assert command.startswith(shlex.join(["python", "-m", "boston_exp.run", "-m", *sweep.overrides]))
    assert "Traceback" not in told
    assert "best " not in told  # the block is gone
    assert sweep.terminal.cursor_is_shown
    statuses = sweep.statuses()
    assert statuses["RUNNING"] == 0
    assert statuses["FINISHED"] >= 4
    assert f"{statuses['FINISHED']} reused" in sweep.again()
    assert sweep.statuses()["FINISHED"] == 12


def suspend(found: list[psutil.Process], sweep: Sweep) -> None:
    """Stop workers while a point is open: they hear no SIGTERM then."""
    while True:
        for each in found:
            each.suspend()
        if sweep.statuses()["RUNNING"]:
            return
        for each in found:
            each.resume()
        time.sleep(0.1)


@pytest.mark.slow
def test_twice_ends_at_once_and_the_next_command_closes_what_was_open(sweep: Sweep) -> None:
    """As after kill -9: nothing is half-written, and no process is left."""
    sweep.terminal.wait_for(lambda text: "\n4/12" in f"\n{text}")
    family = sweep.family()
    suspend(workers(sweep.terminal.process.pid), sweep)
    sweep.terminal.press(CTRL_C)
    time.sleep(0.5)
    sweep.terminal.press(CTRL_C)
    assert sweep.terminal.read_to_the_end() == 130
    assert gone(family)
    told = sweep.terminal.text.replace("\n", "")
    assert "ended at once, after " in told
    assert "the same command goes on from here: python -m boston_exp.run -m model=ridge" in told
    assert "best " not in told
    assert "Traceback" not in told
    assert sweep.terminal.cursor_is_shown
    before = sweep.statuses()
    assert before["RUNNING"] > 0
    assert f"{before['FINISHED']} reused" in sweep.again()
    after = sweep.statuses()
    assert after["RUNNING"] == 0
    assert after["FINISHED"] == 12


@pytest.mark.slow
def test_twice_ends_a_fit_that_hears_of_no_signal(tmp_path: Path, store: Path) -> None:
    sweep = Sweep(tmp_path, store, *IN_C)
    try:
        sweep.terminal.wait_for(lambda text: "1 running" in text)
        time.sleep(2)
        sweep.terminal.press(CTRL_C)
        time.sleep(0.5)
        sweep.terminal.press(CTRL_C)
        assert sweep.terminal.read_to_the_end(8) == 130
        assert "ended at once" in sweep.terminal.text
    finally:
        sweep.terminal.close()


CLOSING = """
import os, signal, subprocess, sys, time
from boston_exp.signals import raising, terminable, twice_ends_at_once, undisturbed

with terminable(), raising(signal.SIGINT, KeyboardInterrupt, once=False):
    with twice_ends_at_once(lambda: os.write(1, b"leaving\\n")):
        child = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL, start_new_session=True)
        try:
            print(child.pid, flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            with undisturbed():
                print("closing", flush=True)
                time.sleep(float(sys.argv[1]))
            print("closed", flush=True)
        child.kill()
"""


def closing(seconds: float) -> subprocess.Popen[str]:
    """A process that closes for so long when it is interrupted."""
    return subprocess.Popen(
        [sys.executable, "-c", CLOSING, str(seconds)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_second_one_ends_what_must_not_be_disturbed_and_its_children() -> None:
    process = closing(60)
    assert process.stdout is not None
    child = psutil.Process(int(process.stdout.readline()))
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "closing\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "leaving\n")
    assert gone([child])


def test_one_that_arrives_twice_is_one() -> None:
    """`timeout -s INT` sends it to the process and to its group, and so to the process again."""
    process = closing(1)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "closing\nclosed\n")
