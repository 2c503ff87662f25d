"""Other machines, other versions, a server; and what is left when the command is ended in the middle."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient
from threadpoolctl import threadpool_info

from boston_exp.process import TEMPORARY
from boston_exp.training.provenance import machine
from tests.conftest import ROOT, Command, git, python
from tests.lifecycle.reproduction.conftest import RIDGE, Record
from tests.services import Service

KERNELS = {pool.get("architecture") for pool in threadpool_info() if pool["internal_api"] == "openblas"}
OTHER = "Nehalem"  # any x86-64 of this century has what it needs


def recorded_elsewhere(store: Path, *overrides: str, **environment: str) -> str:
    """The id of a run that was recorded as another machine would."""
    where = (f"tracking.uri=sqlite:///{store}", f"hydra.run.dir={store.parent}/o")
    recorded = python("-m", "boston_exp.run", *overrides, *where, cwd=ROOT, **environment)
    assert recorded.code == 0, recorded.err
    return recorded.out.split()[-1]


@pytest.mark.slow
@pytest.mark.skipif(not KERNELS or OTHER in KERNELS or "Prescott" in KERNELS, reason="no OpenBLAS with another kernel")
def test_another_kernel_of_blas_changes_last_bits_and_is_found_to_explain_them(command: Command, store: Path) -> None:
    """As a run is from another CPU: numpy's products are added up in another order."""
    run_id = recorded_elsewhere(store, *RIDGE, OPENBLAS_CORETYPE=OTHER)
    result = command(f"run_id={run_id}", "bisect=true", "record=false", "format=json", program="reproduce")
    assert result.code == 1
    found = json.loads(result.out)
    assert 0 < found["largest_relative"] < 1e-9
    assert found["cause"] == f"the BLAS kernel {OTHER}"
    assert found["tried"][0]["says"] == "identical to the last bit"
    assert {each["kind"] for each in found["differences"]} == {"machine"}
    tolerant = command(f"run_id={run_id}", "tolerance=1e-9", program="reproduce")
    assert tolerant.code == 0
    assert "bisect=true" not in tolerant.out


@pytest.mark.slow
@pytest.mark.skipif("X86_V3" not in machine()["numpy_simd"], reason="NumPy has no such instructions to do without")
def test_instructions_of_numpy_change_a_logarithm_and_are_found_to_explain_what_follows(
    command: Command, store: Path
) -> None:
    """A last bit of log(y) makes a tree split elsewhere: then it is no matter of last digits any more."""
    overrides = ("model=log_target", "evaluation=cv", "figures=none", "quiet=true")
    run_id = recorded_elsewhere(store, *overrides, NPY_DISABLE_CPU_FEATURES=machine()["numpy_simd"])
    result = command(f"run_id={run_id}", "bisect=true", "record=false", "format=json", program="reproduce")
    assert result.code == 1
    found = json.loads(result.out)
    assert [each["name"] for each in found["differences"]] == ["numpy_simd"]
    assert found["cause"] == "NumPy without " + " ".join(sorted(machine()["numpy_simd"].split()))


def test_an_environment_that_cannot_be_built_names_what_is_missing(
    command: Command, record: Record, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without a way to a package index, and with an installer that has kept nothing."""
    run = record()
    file = Path(run.info.artifact_uri.removeprefix("file://")) / "environment/requirements.txt"
    lines = [line if not line.startswith("numpy==") else "numpy==2.3.99" for line in file.read_text().splitlines()]
    file.write_text("\n".join(lines) + "\n")
    for name, value in {"UV_OFFLINE": "1", "UV_CACHE_DIR": str(tmp_path / "cache"), "PIP_NO_INDEX": "1"}.items():
        monkeypatch.setenv(name, value)
    result = command(f"run_id={run.info.run_id}", "environment=recorded", program="reproduce")
    assert result.code == 2
    assert "Of its versions are not installed: numpy==2.3.99." in result.err


@pytest.mark.slow
def test_a_run_on_a_server_is_trained_again_and_its_repetition_goes_there(
    command: Command, server: Service, tmp_path: Path
) -> None:
    """With the id that it has there, and with the one that it had here."""
    there = (f"tracking.uri={server.url}", f"tracking.local_uri=sqlite:///{tmp_path}/here.db")
    recorded = command("tracking=server", *there, *RIDGE, "tracking.experiment_name=again")
    assert recorded.code == 0, recorded.err
    local_id = recorded.out.split()[-1]
    (tmp_path / "here.db").unlink()
    result = command(
        "tracking=server", *there, "tracking.experiment_name=again", f"run_id={local_id}", program="reproduce"
    )
    assert result.code == 0, result.err
    client = MlflowClient(server.url)
    place = client.get_experiment_by_name("again").experiment_id
    again, original = client.search_runs([place])
    assert again.data.tags["reproduces"] == original.info.run_id
    assert again.info.status == "FINISHED"
    assert again.data.metrics["rmse"] == original.data.metrics["rmse"]
    assert not (tmp_path / "here.db").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_command_that_is_ended_trains_nothing_on(record: Record, store: Path, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM leave nothing at all; kill -9 leaves a folder, which clean removes, and no process."""
    run = record("model=random_forest", "model.n_estimators=5", "figures=none", "quiet=true")
    config = Path(run.info.artifact_uri.removeprefix("file://")) / "config/config.yaml"
    config.write_text(config.read_text().replace("n_estimators: 5", "n_estimators: 100000"))
    arguments = ["-m", "boston_exp.reproduce", f"run_id={run.info.run_id}", f"tracking.uri=sqlite:///{store}"]
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as started:
        training = _training(psutil.Process(started.pid))
        os.kill(started.pid, number)
        started.wait(20)
    training.wait(10)
    left = list(Path(os.environ["TMPDIR"]).glob(f"{TEMPORARY}{started.pid}-*"))
    if number == signal.SIGKILL:
        assert started.returncode == -number
        for place in left:
            if (place / place.name).exists():
                git("worktree", "remove", "--force", "--force", str(place / place.name), cwd=ROOT)
            shutil.rmtree(place)
    else:
        assert (started.returncode, left) == (128 + number, [])


def _training(command: psutil.Process) -> psutil.Process:
    """The process that trains, once it has opened its store."""
    until, seen = time.monotonic() + 120, dict[int, object]()
    while time.monotonic() < until:
        for child in command.children():
            try:
                seen[child.pid] = files = [each.path for each in child.open_files()]
                if "--config-name" in child.cmdline() and any("mlflow.db" in path for path in files):
                    return child
            except psutil.Error as error:  # it has ended this moment
                seen[child.pid] = error
        time.sleep(0.1)
    raise AssertionError(f"nothing is trained: {command.status()}, {seen}")
