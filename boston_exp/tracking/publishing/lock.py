"""One process at a time publishes from a store; who does is known, and one that is stopped is not waited for.

The lock is held for one run. It is the operating system's, so that it goes with the process that had it.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

PATIENCE = 10.0  # seconds for another process to finish the run that it is publishing
LONG = 60.0  # seconds without a sign of it that one waits who has many runs to bring
LOOK = 0.5  # seconds between looks at who has it


class HeldError(Exception):
    """Another process has the lock, and will not give it up in time."""


class PublishLock:
    """Beside a store's sqlite file."""

    def __init__(self, store: Path) -> None:
        self._lock = FileLock(store.with_name(f".{store.name}.publish.lock"))
        self._holder = store.with_name(f".{store.name}.publish.holder")

    @contextmanager
    def held(self, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
        """In here this process alone publishes. Raises HeldError, which says who does.

        Who is told what is waited for, by `waiting`, waits for another process as long as that one gets on.
        """
        self._acquire(waiting)
        try:
            self.gets_on()
            yield
        finally:
            self._lock.release()

    def gets_on(self) -> None:
        """Tell others that this process, which holds the lock, is at work."""
        with suppress(OSError):  # a disk that is full is no reason not to publish
            self._holder.write_text(f"{os.getpid()} {socket.gethostname()}")

    def _acquire(self, waiting: Callable[[str], None] | None) -> None:
        patience = PATIENCE if waiting is None else LONG
        until, seen = time.monotonic() + patience, 0.0
        while True:
            try:
                self._lock.acquire(timeout=LOOK)
            except Timeout:
                who, stopped = self._who()
                if stopped:
                    raise HeldError(
                        f"{who}, which is stopped, holds the lock (fg or kill -CONT lets it go on)"
                    ) from None
                if waiting is not None and (written := self._written()) != seen:
                    until, seen = time.monotonic() + patience, written
                    waiting(who)
                if time.monotonic() > until:
                    raise HeldError(f"{who} is publishing at this moment") from None
            else:
                return

    def _written(self) -> float:
        try:
            return self._holder.stat().st_mtime
        except OSError:
            return 0.0

    def _who(self) -> tuple[str, bool]:
        """The process that has the lock, and whether it is stopped: Ctrl-Z, or a debugger."""
        try:
            pid, host = self._holder.read_text().split()
            if host != socket.gethostname():
                return f"process {pid} on {host}", False
            status = psutil.Process(int(pid)).status()
        except (OSError, ValueError, psutil.Error):
            return "another process", False
        return f"process {pid}", status in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
