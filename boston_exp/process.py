"""What a process remembers, in one place, so that it can be forgotten: tests reset it, and start from a clean slate."""

from __future__ import annotations

import fcntl
import os
import sys
import threading
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import lru_cache
from tempfile import TemporaryDirectory
from typing import Any, Generic, TypeVar, cast

Result = TypeVar("Result")
Function = TypeVar("Function", bound=Callable[..., Any])
TEMPORARY = "boston_exp-"
_resets: list[Callable[[], object]] = []


def on_reset(forget: Callable[[], object]) -> None:
    """Have `forget` called by `reset`."""
    _resets.append(forget)


def remembered(maxsize: int | None = None) -> Callable[[Function], Function]:
    """`functools.lru_cache` that `reset` clears; the default keeps every answer for the life of the process."""

    def decorate(function: Function) -> Function:
        cached = lru_cache(maxsize=maxsize)(function)
        on_reset(cached.cache_clear)
        return cast(Function, cached)

    return decorate


class Latest(Generic[Result]):
    """The last that was made, for as long as the same is asked for: the points of a sweep share a table."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Result] = {}  # one entry
        on_reset(self._made.clear)

    def get(self, key: Hashable, make: Callable[[], Result]) -> Result:
        if key not in self._made:
            made = make()
            self._made.clear()
            self._made[key] = made
        return self._made[key]


@contextmanager
def temporary_folder() -> Iterator[str]:
    """A folder named after its process, `boston_exp-<pid>-…`: one that is killed leaves it, and `clean` finds it.

    It is locked while it is used: by that a process of another container is known to live, whose id says nothing here.
    """
    with TemporaryDirectory(prefix=f"{TEMPORARY}{os.getpid()}-") as folder:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield folder
        finally:
            os.close(descriptor)


def is_running(pid: int) -> bool:
    """Whether there is a process of this id, in this PID namespace."""
    try:
        os.kill(pid, 0)  # which knows of a process even where /proc hides it
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


_abandoned: list[bool] = []
on_reset(_abandoned.clear)


def abandon_threads() -> None:
    """Do not wait at exit for threads of this process: one of them hangs in a library, and nobody can stop it."""
    _abandoned.append(True)


def in_thread(call: Callable[[], Result]) -> Future[Result]:
    """The future of a call in a thread that nobody has to wait for."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="in-thread", daemon=True).start()
    return future


def within(seconds: float, call: Callable[[], Result]) -> Result:
    """The result of a call that may hang in a library whose time-outs are between bytes; raises TimeoutError."""
    try:
        return in_thread(call).result(seconds)
    except TimeoutError:
        abandon_threads()
        raise


def leave(code: int) -> None:
    """End at once, without waiting for threads, if some were abandoned; else return."""
    if _abandoned:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


_once: list[Callable[[], object]] = []


def on_next_reset(forget: Callable[[], object]) -> None:
    """Have `forget` called by the next `reset` alone."""
    _once.append(forget)


def reset() -> None:
    """Forget everything: caches, secrets to hide, who was typed."""
    for forget in [*_resets, *_once]:
        forget()
    _once.clear()
