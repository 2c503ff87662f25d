"""SIGTERM and Ctrl-C as exceptions, so that whatever is open is closed on the way out."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from boston_exp import process

DEADLINE = 4.5  # seconds from SIGTERM to the end; what is left open then is closed by the next command


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised where the program stands, so that an open run is closed as KILLED."""


_received: list[int] = []
process.on_reset(_received.clear)


@contextmanager
def raising(number: int, exception: type[KeyboardInterrupt], once: bool) -> Iterator[None]:
    """In here the signal raises the exception, and `received` remembers it. Main thread only.

    With `once` the signal is ignored from then on: a second one must not interrupt the closing.
    """
    ignored = signal.getsignal(number) is signal.SIG_IGN
    if threading.current_thread() is not threading.main_thread() or ignored:
        yield
        return

    def handle(number: int, frame: object) -> None:
        if once:
            signal.signal(number, signal.SIG_IGN)
        _received.append(number)
        raise exception

    before = signal.signal(number, handle)
    try:
        yield
    finally:
        if not (once and number in _received):  # else it stays ignored until the process ends
            signal.signal(number, before)


@contextmanager
def _ended_in_time() -> Iterator[None]:
    """In here the process ends DEADLINE seconds after SIGTERM, whatever it does by then: wait for an answer, a lock, or
    compute in C, where no handler of Python's runs. The interpreter writes each signal to a pipe at once."""
    if sys.platform == "win32":
        yield
        return
    read, write = os.pipe()
    os.set_blocking(write, False)
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def watch() -> None:
        while number := os.read(read, 1):
            if number[0] == signal.SIGTERM:
                time.sleep(DEADLINE)
                if not over:
                    os._exit(128 + signal.SIGTERM)
        os.close(read)

    over: list[bool] = []
    process.on_next_reset(lambda: over.append(True))
    threading.Thread(target=watch, name="end-in-time", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(write)  # which ends the thread
        if signal.SIGTERM not in _received:
            over.append(True)


@contextmanager
def undisturbed() -> Iterator[None]:
    """In here Ctrl-C is ignored: what takes seconds and must not be left half. Main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def terminable() -> Iterator[None]:
    """In here SIGTERM raises Terminated, once, and ends the process in any case."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with _ended_in_time(), raising(signal.SIGTERM, Terminated, once=True):
        yield


def obey() -> None:
    """Raise once more what a signal that came has raised: an import or a callback may have swallowed it."""
    if _received:
        raise Terminated if _received[0] == signal.SIGTERM else KeyboardInterrupt


def received() -> int | None:
    """The signal that came, whatever became of its exception: raised inside an import it may turn into another one."""
    return _received[0] if _received else None
