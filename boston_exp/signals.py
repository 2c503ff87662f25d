"""SIGTERM as an exception, so that whatever is open is closed on the way out."""

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


def was_terminated() -> bool:
    """Whether SIGTERM came, whatever became of the exception: raised inside an import it may turn into another one."""
    return bool(_received)
