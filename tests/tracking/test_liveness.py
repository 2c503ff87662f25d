"""Only the dead are called dead."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from boston_exp.tracking import liveness


def test_this_process_is_alive() -> None:
    assert not liveness.is_dead(liveness.tags())


def test_a_process_that_ended_is_dead() -> None:
    code = "from boston_exp.tracking.liveness import tags; print(tags()['boston_exp.process'])"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert liveness.is_dead({liveness.PROCESS: process.stdout.strip(), liveness.HEARTBEAT: f"{time.time():.0f}"})


def test_a_pid_that_was_given_to_another_process_does_not_count_as_alive() -> None:
    host, pid, started = liveness.tags()[liveness.PROCESS].rsplit(" ", 2)
    earlier = f"{host} {pid} {float(started) - 60:.2f}"
    assert liveness.is_dead({liveness.PROCESS: earlier, liveness.HEARTBEAT: f"{time.time():.0f}"})


@pytest.mark.parametrize(
    ("silent_for", "dead"), [(5, False), (liveness.SILENCE - 5, False), (liveness.SILENCE + 5, True)]
)
def test_a_run_of_another_host_is_judged_by_its_heartbeat(silent_for: float, dead: bool) -> None:
    tags = {liveness.PROCESS: "elsewhere 1 1.00", liveness.HEARTBEAT: f"{time.time() - silent_for:.0f}"}
    assert liveness.is_dead(tags) == dead


def test_a_run_that_is_not_ours_is_never_called_dead() -> None:
    assert not liveness.is_dead({"mlflow.user": "somebody"})


def test_the_heart_beats_and_survives_a_store_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    beats: list[str] = []

    def beat(key: str, value: str) -> None:
        beats.append(key)
        if len(beats) == 1:
            raise ConnectionError

    monkeypatch.setattr(liveness, "INTERVAL", 0.01)
    with liveness.Heartbeat(beat):
        until = time.monotonic() + 10
        while len(beats) < 3 and time.monotonic() < until:
            time.sleep(0.01)
    assert len(beats) >= 3
    assert set(beats) == {liveness.HEARTBEAT}
