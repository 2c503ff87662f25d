"""What a sweep shows while it runs: a live block on a terminal, otherwise one plain line a point."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from boston_exp.config.invocation import again
from boston_exp.redaction import redact
from boston_exp.reporting import numbers
from boston_exp.signals import received, twice_ends_at_once
from boston_exp.sweep.live import block, duration
from boston_exp.sweep.load import Load
from boston_exp.sweep.plan import GOES_ON, Aim, Point, Result
from boston_exp.sweep.progress import Progress

PER_SECOND = 2  # drawings: each costs some two milliseconds


class Screen:
    """Is told each point that begins and each result. With `quiet` it tells of failures alone."""

    def __init__(self, total: int | None, aim: Aim, quiet: bool = False, workers: int = 1, then: str = GOES_ON) -> None:
        self._aim = aim
        self._quiet = quiet
        self._then = then  # what the same command does, once the sweep was stopped
        self._progress = Progress(total, aim, workers)
        self._load = Load(workers)
        self._told = False  # what an interrupted sweep is told of
        self._opened = ExitStack()
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._live: Live | None = None
        if not quiet and self._console.is_interactive and self._console.file.isatty():
            self._live = Live(
                get_renderable=self._drawn, console=self._console, refresh_per_second=PER_SECOND, transient=True
            )

    def __enter__(self) -> Screen:
        self._opened.enter_context(twice_ends_at_once(self._ended_at_once))
        if self._live:
            self._live.start(refresh=True)
            self._console.show_cursor(True)  # hidden, it would stay so after kill -9 and Ctrl-Z
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
        self._opened.close()

    def ends_by(self, deadline: float | None) -> None:
        """The search ends at this moment of the monotonic clock, whatever is left of it."""
        self._progress.deadline = deadline

    def close(self) -> None:
        """Leave nothing of the live block."""
        if self._live:
            self._live.stop()

    def began(self, number: int, point: Point) -> None:
        """A worker is given a point, whose job has this number."""
        self._progress.began(point, time.monotonic())

    def update(self, result: Result) -> None:
        """One more point has ended."""
        took = self._progress.ended(result, time.monotonic())
        if result.status == "failed" or not (self._quiet or self._live):
            self._print(self._line(result, took))
        if result.status == "failed":
            run = f"run {result.run_id}: " if result.run_id else ""
            self._print(f"       {run}{result.point.command}")

    def say(self, line: str) -> None:
        """News of the sweep, in one line."""
        if not self._quiet:
            self._print(line)

    def interrupted(self) -> None:
        """The user has stopped the sweep, and its workers have ended."""
        self.close()
        self._print(f"stopped after {self._how_far()}")
        self._told = True

    def _print(self, line: str) -> None:
        if self._live and self._live.is_started:
            self._console.print(Text(line))  # above the block
        else:
            print(line, file=self._console.file)

    def _line(self, result: Result, took: float) -> str:
        """`12/60 finished cv_rmse 3.912 ± 0.41: max_depth=10, 2.1 s; best 3.721`."""
        progress = self._progress
        of = "" if progress.total is None else f"/{progress.total}"
        scores = "" if result.status == "failed" else ", ".join(self._scores(result))
        line = f"{progress.done}{of} {result.status} {scores}{': ' if scores else ''}{result.point.name}"
        if result.status == "failed":
            return f"{line}: {result.message}"
        line += f", {duration(took)}" if took else ""
        first, several = self._aim.metrics[0], len(self._aim.metrics) > 1
        best = progress.best and numbers.score(progress.best.metrics[first])
        return line + (f"; best {f'{first} ' if several else ''}{best}" if best else "")

    def _scores(self, result: Result) -> Iterator[str]:
        """`cv_rmse 3.912 ± 0.41`, each objective that it has."""
        for name in self._aim.metrics:
            if name in result.metrics:
                spread = result.metrics.get(f"{name}_std", math.nan)
                yield f"{name} {numbers.plus_minus(result.metrics[name], spread)}"

    def _how_far(self) -> str:
        progress = self._progress
        of = "" if progress.total is None else f" of {progress.total}"
        return f"{progress.done}{of} points; {self._then}: {again()}"

    def _drawn(self) -> Group:
        now = time.monotonic()
        return block(self._progress, self._console, now, self._load.percent(now), received() is not None)

    def _ended_at_once(self) -> None:
        """Called by a thread that ends the process next: takes no lock, which the one it interrupts may hold."""
        if self._told:
            return
        clear = ""
        if self._live and self._live.is_started:
            above = len(self._drawn().renderables) - 1
            clear = "\r" + (f"\x1b[{above}A" if above else "") + "\x1b[J"
        said = f"{clear}ended at once, after {self._how_far()}\n"
        os.write(2, redact(said).encode())
