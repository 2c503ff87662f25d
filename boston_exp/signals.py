"""SIGTERM and Ctrl-C as exceptions, so that whatever is open is closed on the way out."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from boston_exp import process


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised where the program stands, so that an open run is closed as KILLED."""


_received: list[int] = []
process.on_reset(_received.clear)


@contextmanager
def terminable() -> Iterator[None]:
    """In here SIGTERM raises Terminated, once: a second one must not interrupt the closing. Main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _received.append(number)
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def interruptible() -> Iterator[None]:
    """In here Ctrl-C is remembered as well as raised. Main thread only."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        _received.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def received() -> int | None:
    """The signal that came, whatever became of its exception: raised inside an import it may turn into another one."""
    return _received[0] if _received else None
