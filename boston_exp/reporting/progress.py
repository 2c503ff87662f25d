"""What a command that takes long is doing, and for how long: one line of a terminal, nothing anywhere else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

PATIENCE = 3.0  # seconds before the line appears


@contextmanager
def shown() -> Iterator[Callable[[str], None]]:
    """Gives what is told each stage; the line is gone at the end.

    A thread draws it, since a fit tells nobody how far it is. It ends, and is waited for, before this returns: no
    process forks while it runs.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda stage: None
        return
    stages, over = ["reading"], threading.Event()
    drawing = threading.Thread(target=_draw, args=(console, stages, over), name="progress", daemon=True)
    drawing.start()
    try:
        yield stages.append
    finally:
        over.set()
        drawing.join()


def _draw(console: Console, stages: list[str], over: threading.Event) -> None:
    from rich.progress import Progress, SpinnerColumn, TextColumn

    begun = time.monotonic()
    if over.wait(PATIENCE):
        return
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), console=console, transient=True) as line:
        task = line.add_task("", total=None)
        while not over.wait(0.2):
            line.update(task, description=f"{stages[-1]}   {time.monotonic() - begun:.0f} s")
