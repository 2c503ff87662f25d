"""Workers on this machine: from a fork server that has one thread, ended with the main process, and with Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT, python
from tests.faults.worker_kills import workers

pytestmark = pytest.mark.slow
SWEEP = (
    "-m", "model=ridge", "model._target_=slow.Slow", "trusted_packages=[sklearn,slow]", "model.alpha=range(1,30)",
    "evaluation=holdout", "figures=none", "tracking.log_model=none", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2",
)  # fmt: skip
SLOW = """
import time
from sklearn.linear_model import Ridge

class Slow(Ridge):
    def fit(self, X, y):
        time.sleep(0.4)
        return super().fit(X, y)
"""


@pytest.fixture
def sweep(tmp_path: Path, store: Path) -> subprocess.Popen[str]:
    """Two workers that train."""
    (tmp_path / "slow.py").write_text(SLOW)
    places = (f"tracking.uri=sqlite:///{store}", f"hydra.sweep.dir={tmp_path}/sweep")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}"}
    process = subprocess.Popen(
        [sys.executable, "-m", "boston_exp.run", *SWEEP, *places],
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until = time.monotonic() + 60
    while len(list((tmp_path / "sweep" / ".points").glob("*.state"))) < 3:
        assert time.monotonic() < until
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    return process


def gone(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=10)
    return not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def test_the_fork_server_has_one_thread_and_every_worker_is_its_fork(sweep: subprocess.Popen[str]) -> None:
    children = psutil.Process(sweep.pid).children()
    (server,) = [child for child in children if "forkserver" in " ".join(child.cmdline())]
    (tracker,) = [child for child in children if "resource_tracker" in " ".join(child.cmdline())]
    assert {server, tracker} == set(children)  # the main process forks nothing
    assert server.num_threads() == 1
    assert len(workers(sweep.pid)) == 2
    assert psutil.Process(sweep.pid).num_threads() > 1
    sweep.terminate()
    sweep.communicate(timeout=30)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_of_a_sweep_is_left_when_it_is_ended(sweep: subprocess.Popen[str], number: int) -> None:
    family = psutil.Process(sweep.pid).children(recursive=True)
    assert len(family) >= 4
    sweep.send_signal(number)
    _, err = sweep.communicate(timeout=30)
    assert gone(family)
    assert "Traceback" not in err
    assert sweep.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[number]


def test_ctrl_c_reaches_the_whole_group_and_only_the_main_process_speaks(tmp_path: Path, store: Path) -> None:
    """As a terminal sends it, while the fork server is still importing."""
    (tmp_path / "slow.py").write_text(SLOW)
    places = (f"tracking.uri=sqlite:///{store}", f"hydra.sweep.dir={tmp_path}/sweep")
    process = subprocess.Popen(
        [sys.executable, "-m", "boston_exp.run", *SWEEP, *places],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    until = time.monotonic() + 60
    while not any("forkserver" in " ".join(child.cmdline()) for child in psutil.Process(process.pid).children()):
        assert time.monotonic() < until
        time.sleep(0.02)
    time.sleep(0.3)
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert gone(family)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_importing_the_plugins_changes_nothing_in_the_process(tmp_path: Path) -> None:
    """Every Hydra application in this environment imports them."""
    script = (
        "import os, signal, sys\n"
        "import hydra.core.plugins\n"
        "from hydra.core.config_store import ConfigStore\n"
        "from omegaconf import OmegaConf\n"
        "def state():\n"
        "    handlers = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)}\n"
        "    return dict(os.environ), handlers, sys.excepthook, list(ConfigStore.instance().repo), "
        "OmegaConf.has_resolver('port')\n"
        "before = state()\n"
        "import boston_exp.sweep.plugins\n"
        "assert state() == before\n"
        "heavy = {'mlflow', 'sklearn', 'pandas', 'numpy', 'optuna', 'boston_exp.config.schema'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    os._exit(0 if signal.getsignal(signal.SIGTERM) == before[1][signal.SIGTERM] else 1)\n"
        "print('same', os.waitpid(pid, 0)[1])\n"
    )
    shown = python("-W", "ignore", "-c", script, cwd=tmp_path)
    assert shown.out == "same 0\n", shown.err
