"""Which runs that say RUNNING belong to dead processes: after kill -9 or a power cut nobody is left to close them."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

PROCESS, HEARTBEAT = "boston_exp.process", "boston_exp.heartbeat"
INTERVAL = 30.0  # seconds between heartbeats
CLOCK = 30.0  # seconds: setting the clock moves the start time of every process a little
SILENCE = 20 * INTERVAL  # after which a run of another host counts as dead; its pid cannot be looked up from here


def tags() -> dict[str, str]:
    """What an open run carries: host, pid, start of the process (pids are reused), and the time now."""
    process = f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time():.2f}"
    return {PROCESS: process, HEARTBEAT: f"{time.time():.0f}"}


def is_dead(run_tags: dict[str, str]) -> bool:
    """Whether the process that opened a run is gone; a run without our tags is never called dead."""
    process, heartbeat = run_tags.get(PROCESS), run_tags.get(HEARTBEAT)
    if process is None or heartbeat is None:
        return False
    host, pid, started = process.rsplit(" ", 2)
    if host != socket.gethostname():
        return time.time() - float(heartbeat) > SILENCE
    try:
        return abs(psutil.Process(int(pid)).create_time() - float(started)) > CLOCK
    except psutil.NoSuchProcess:
        return True


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
