"""Which runs that say RUNNING belong to dead processes: after kill -9 or a power cut nobody is left to close them.

A process is known by its pid and start only where both can be looked up: in the same boot of the same machine, in the
same PID namespace. Containers can share a host name, clocks are set, /proc can be hidden; else the heartbeat tells.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from boston_exp.process import is_running, remembered

PROCESS, HEARTBEAT = "boston_exp.process", "boston_exp.heartbeat"
ELSEWHERE = "boston_exp.elsewhere"  # tag of a sweep that has points on a cluster: what takes to find them there
INTERVAL = 30.0  # seconds between heartbeats
SILENCE = 20 * INTERVAL  # after which a run counts as dead whose process cannot be looked up from here


def tags() -> dict[str, str]:
    """What an open run carries: host, pid, start of the process (pids are reused), where that pid is valid, and the
    time now."""
    pid = os.getpid()
    return {PROCESS: f"{socket.gethostname()} {pid} {_started(pid)} {_world()}", HEARTBEAT: f"{time.time():.0f}"}


def is_dead(run_tags: dict[str, str]) -> bool:
    """Whether the process that opened a run is gone; a run without our tags, or with others', is never called dead."""
    try:
        silent = time.time() - int(run_tags[HEARTBEAT]) > SILENCE
        _, pid, started, world = f"{run_tags[PROCESS]} -".split(" ")[:4]  # "-" where an earlier version wrote three
        number = int(pid)
    except (KeyError, ValueError):
        return False
    if world != _world():
        return silent
    if not is_running(number):
        return True
    try:
        return _started(number) != started or psutil.Process(number).status() == psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError, ValueError):
        return silent


def is_of_here(process: str) -> bool:
    """Whether the process of a tag can be looked up by this one."""
    return process.rpartition(" ")[2] == _world()


@remembered()
def _world() -> str:
    """Where pids mean the same: this boot of this machine and this PID namespace; without /proc, this host."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        return f"host:{socket.gethostname()}"
    return f"{boot}/{namespace}"


def _started(pid: int) -> str:
    """When the process began, in clock ticks since the boot, which setting the clock does not move; in seconds since
    1970 where there is no /proc. Raises OSError or psutil.Error where that cannot be seen."""
    stat = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self/stat").exists():
        return f"{psutil.Process(pid).create_time():.0f}"
    return stat.read_text().rpartition(")")[2].split()[19]  # field 22; the second, in parentheses, may hold anything


class Heartbeat:
    """Calls `beat` with a fresh tag value every INTERVAL seconds, in a thread, while it is entered.

    A beat that fails is retried by the next one: a store that is away for a moment is no reason to end a training.
    """

    def __init__(self, beat: Callable[[str, str], object]) -> None:
        self._beat = beat
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL):
            with suppress(Exception):
                self._beat(HEARTBEAT, f"{time.time():.0f}")
