"""Ray and Slurm's launcher for real: a Ray cluster of its own, one of two nodes, and submitit's local executor."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_detached import collected
from tests.integration.test_sweeps import GRID, History, ran

pytestmark = pytest.mark.slow
RAY = Path(sys.executable).with_name("ray")


@pytest.mark.skipif(not RAY.exists(), reason="the ray extra is not installed")
class TestRay:
    def test_a_cluster_of_its_own(self, tmp_path: Path, store: Path) -> None:
        code, out, err = ran(tmp_path, store, *GRID, "hydra/launcher=ray")
        assert code == 0, err
        assert "grid of 4 points: 4 done" in out
        assert History(store).statuses == {"FINISHED": 4}

    @pytest.fixture
    def cluster(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
        """Two nodes on this machine, started separately.

        Without tokens: `ray start` asks for one as soon as any earlier Ray has left ~/.ray/auth_token there.
        """
        monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        quiet = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
        head = ["--head", f"--port={port}", "--node-ip-address=127.0.0.1", "--include-dashboard=false", "--num-cpus=1"]
        worker = [f"--address=127.0.0.1:{port}", "--num-cpus=1"]
        processes = []
        for options in (head, worker):
            command = [str(RAY), "start", *options, "--block", "--disable-usage-stats"]
            log = (tmp_path / f"ray-{len(processes)}.log").open("w")
            processes.append(subprocess.Popen(command, env=quiet, stdout=log, stderr=log))
            _wait_for(port)
        try:
            yield f"127.0.0.1:{port}"
        finally:
            for process in reversed(processes):
                process.terminate()
            for process in processes:
                process.wait(30)

    def test_a_cluster_of_two_nodes_that_was_there_before(self, tmp_path: Path, store: Path, cluster: str) -> None:
        code, out, err = ran(tmp_path, store, *GRID, "hydra/launcher=ray", f"hydra.launcher.ray.init.address={cluster}")
        assert code == 0, err
        assert "grid of 4 points: 4 done" in out
        history = History(store)
        assert history.statuses == {"FINISHED": 4}
        assert history.parent.info.status == "FINISHED"

    def test_a_sweep_is_left_on_a_cluster_and_collected(self, tmp_path: Path, store: Path, cluster: str) -> None:
        """What it has noted, and where its points are, is an actor's that no command has to wait for."""
        address = f"hydra.launcher.ray.init.address={cluster}"
        *_, (code, out, err) = collected(tmp_path, store, *GRID, "hydra/launcher=ray", address, "detach=true")
        assert code == 0, err
        assert "grid of 4 points: 4 done" in out
        assert History(store).statuses == {"FINISHED": 4}


def _wait_for(port: int) -> None:
    import time

    until = time.monotonic() + 60
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                time.sleep(3)  # the node joins a moment after the port answers
                return
        time.sleep(0.2)
    raise AssertionError("the Ray cluster did not start")


def test_submitits_local_executor(tmp_path: Path, store: Path) -> None:
    """What submitit_slurm does, without Slurm."""
    pytest.importorskip("submitit")
    code, out, err = ran(tmp_path, store, *GRID, "hydra/launcher=submitit_local")
    assert code == 0, err
    assert "grid of 4 points: 4 done" in out
    assert History(store).statuses == {"FINISHED": 4}
