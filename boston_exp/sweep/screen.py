"""What a sweep shows while it runs: one live line, or plain lines where the output is no terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from boston_exp.sweep.engine import Result, Sweep

EVERY = 10.0  # seconds between plain lines when there is nothing new to say


class Screen:
    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._best: Result | None = None
        self._said = time.monotonic()
        self._started = time.monotonic()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("starting", total=sweep.total)

    def __enter__(self) -> Screen:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._progress.stop()

    def update(self, result: Result) -> None:
        """One more point has ended."""
        if result.status == "failed":
            self._console.print(f"[red]failed[/red] {escape(result.point.name)}: {escape(result.message)}")
        best = self._sweep.best()
        improved = best is not None and (self._best is None or best.point != self._best.point)
        self._best = best
        self._progress.update(self._task, advance=1, description=self._line())
        quiet = result.status == "reused" or time.monotonic() - self._said < EVERY
        if not self._console.is_terminal and (not quiet or (improved and result.status == "finished")):
            self._said = time.monotonic()
            done = len(self._sweep.results)
            left = (time.monotonic() - self._started) / done * (self._sweep.total - done)
            self._console.print(f"{done}/{self._sweep.total} {self._line()}, {left:.0f} s left")

    def interrupted(self) -> None:
        self.close()
        done, total = len(self._sweep.results), self._sweep.total
        self._console.print(f"stopped after {done} of {total} points; the same command goes on from here")

    def _line(self) -> str:
        metric = self._sweep.config.objective.metrics[0]
        best = (
            f"best {metric} {self._best.metrics[metric]:.4f} ({self._best.point.name})"
            if self._best
            else "no score yet"
        )
        failed = self._sweep.count("failed")
        return escape(best) + (f", {failed} failed" if failed else "")
