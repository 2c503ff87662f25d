"""SIGTERM and Ctrl-C as exceptions, so that whatever is open is closed on the way out."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from boston_exp import process

DEADLINE = 4.5  # seconds from SIGTERM to the end; what is left open then is closed by the next command
AGAIN = 0.1  # seconds between two SIGINTs that are two: `timeout -s INT` sends one to the process, one to its group


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised where the program stands, so that an open run is closed as KILLED."""


_received: list[int] = []
process.on_reset(_received.clear)
_leaving: list[Callable[[], object]] = []  # called before the process ends at once
process.on_reset(_leaving.clear)


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
        elif _leaving and number in _received:
            return  # a second Ctrl-C ends the process, and no tidying before that
        _received.append(number)
        raise exception

    before = signal.signal(number, handle)
    try:
        yield
    finally:
        if not (once and number in _received):  # else it stays ignored until the process ends
            signal.signal(number, before)


@contextmanager
def twice_ends_at_once(leave: Callable[[], object]) -> Iterator[None]:
    """In here a second Ctrl-C calls `leave`, kills the processes that this one has started, and ends it with code 130.

    What is left open then is closed by the next command, as after kill -9. After a first Ctrl-C that lasts until the
    process ends: it is closing then what it had open. `leave` is called in a thread.
    """
    _leaving.append(leave)
    try:
        yield
    finally:
        if signal.SIGINT not in _received:
            _leaving.remove(leave)


def _end_at_once(number: int) -> None:
    import psutil

    for leave in _leaving:
        with suppress(Exception):
            leave()
    if number == signal.SIGINT:
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                child.kill()
    os._exit(128 + number)


@contextmanager
def _ended_in_time() -> Iterator[None]:
    """In here the process ends DEADLINE seconds after SIGTERM, and at once after a second Ctrl-C where that was asked
    for, whatever it does by then: wait for an answer, a lock, or compute in C, where no handler of Python's runs. The
    interpreter writes each signal to a pipe at once."""
    if sys.platform == "win32":
        yield
        return
    read, write = os.pipe()
    os.set_blocking(write, False)
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def watch() -> None:
        pressed = float("inf")
        while number := os.read(read, 1):
            if number[0] == signal.SIGTERM:
                time.sleep(DEADLINE)
                if not over:
                    _end_at_once(signal.SIGTERM)
            elif number[0] == signal.SIGINT and _leaving:
                if time.monotonic() - pressed > AGAIN:
                    _end_at_once(signal.SIGINT)
                pressed = min(pressed, time.monotonic())
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
    """In here Ctrl-C is ignored: what takes seconds and must not be left half. Main thread only.

    A second one still ends what `twice_ends_at_once`: the interpreter hears of a signal only if it has a handler.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    heard = _leaving and before is not signal.SIG_IGN
    signal.signal(signal.SIGINT, (lambda number, frame: None) if heard else signal.SIG_IGN)
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
