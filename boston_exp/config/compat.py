"""What this room takes from inside of Hydra, with the reason; tests/config/test_compat.py watches it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hydra._internal import utils


@contextmanager
def around_hydra(guard: Callable[[Callable[[], Any]], Any]) -> Iterator[None]:
    """Have `guard` call what Hydra does, inside of its own handler of errors.

    Hydra makes a job's folder and writes the configuration into it before there is a job. What goes wrong there, a full
    disk for instance, it prints with its traceback and exits 1, and neither a callback nor `sys.excepthook` is asked.
    """
    report = utils.run_and_report
    utils.run_and_report = lambda call: report(lambda: guard(call))
    try:
        yield
    finally:
        utils.run_and_report = report
