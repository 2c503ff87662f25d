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
    host, pid, started, world = liveness.tags()[liveness.PROCESS].rsplit(" ", 3)
    earlier = f"{host} {pid} {int(started) - 1} {world}"
    assert liveness.is_dead({liveness.PROCESS: earlier, liveness.HEARTBEAT: f"{time.time():.0f}"})


@pytest.mark.parametrize(
    ("silent_for", "dead"), [(5, False), (liveness.SILENCE - 5, False), (liveness.SILENCE + 5, True)]
)
@pytest.mark.parametrize("change", ["boot", "namespace"])
def test_a_process_that_cannot_be_looked_up_from_here_is_judged_by_its_heartbeat(
    change: str, silent_for: float, dead: bool
) -> None:
    """Of another machine, of an earlier boot, or in another container, even if its host has the same name."""
    host, _, started, world = liveness.tags()[liveness.PROCESS].rsplit(" ", 3)
    boot, _, namespace = world.partition("/")
    other = f"another/{namespace}" if change == "boot" else f"{boot}/pid:[1]"
    ended = 2**22  # above any pid
    process = f"{host} {ended} {started} {other}"
    assert liveness.is_dead({liveness.PROCESS: process, liveness.HEARTBEAT: f"{time.time() - silent_for:.0f}"}) == dead


@pytest.mark.parametrize("process", ["", "x", "host pid started world", "a b c d e", "host 1 2", "1 2 3 4 5", "é " * 9])
@pytest.mark.parametrize("heartbeat", ["", "soon", "0"])
def test_what_is_malformed_is_not_ours(process: str, heartbeat: str) -> None:
    dead = liveness.is_dead({liveness.PROCESS: process, liveness.HEARTBEAT: heartbeat})
    assert not dead or heartbeat == "0"


def test_a_process_of_another_user_that_proc_hides_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with hidepid: the kernel knows it (EPERM), /proc does not show it. Root, who runs this here, has neither."""

    def hidden(pid: int) -> str:
        raise FileNotFoundError

    def denied(pid: int, number: int) -> None:
        raise PermissionError

    tags = liveness.tags()
    monkeypatch.setattr(liveness.os, "kill", denied)
    monkeypatch.setattr(liveness, "_started", hidden)
    assert not liveness.is_dead(tags)
    assert liveness.is_dead({**tags, liveness.HEARTBEAT: "0"})


def test_setting_the_clock_kills_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    tags, real = liveness.tags(), time.time
    for step in (-120, 30, 300):
        monkeypatch.setattr(time, "time", lambda step=step: real() + step)
        assert not liveness.is_dead(tags)


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
