"""What a sweep shows while it runs: one live line, or plain lines where the output is no terminal."""

from __future__ import annotations

import time
from collections import Counter

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from boston_exp.reporting.tables import BAD
from boston_exp.sweep.plan import Aim, Point, Result

EVERY = 10.0  # seconds between plain lines when nothing has improved


class Screen:
    """Is told each result, and keeps what it shows of them."""

    def __init__(self, total: int | None, aim: Aim, quiet: bool = False, workers: int = 1) -> None:
        self._total = total
        self._quiet = quiet
        self._aim = aim
        self._counts: Counter[str] = Counter()
        self._best: Result | None = None
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._printed = self._started = time.monotonic()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24, complete_style="blue", finished_style="blue"),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=quiet or not self._console.is_terminal,
        )
        self._task = self._progress.add_task("starting", total=total)

    def __enter__(self) -> Screen:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._progress.stop()

    def began(self, number: int, point: Point) -> None:
        """A worker has the point, as the job of that number."""

    def say(self, line: str) -> None:
        """News of the search, on a line of its own."""
        if not self._quiet:
            self._console.print(escape(line))

    def update(self, result: Result) -> None:
        """One more point has ended."""
        if result.status == "failed":
            self._console.print(f"[{BAD}]failed[/{BAD}] {escape(result.point.name)}: {escape(result.message)}")
            alone = f"run {result.run_id}: {result.point.command}" if result.run_id else result.point.command
            self._console.print(f"       {escape(alone)}")
        self._counts[result.status] += 1
        best = self._aim.best([result] if self._best is None else [self._best, result])
        improved, self._best = best is not self._best, best
        self._progress.update(self._task, advance=1, description=self._line())
        waits = result.status == "reused" or time.monotonic() - self._printed < EVERY
        if self._quiet or self._console.is_terminal:
            return
        if not waits or (improved and result.status == "finished"):
            self._printed = time.monotonic()
            done = self._counts.total()
            left = (time.monotonic() - self._started) / done * ((self._total or done) - done)
            self._console.print(f"{done}/{self._total or '?'} {self._line()}, {left:.0f} s left")

    def interrupted(self) -> None:
        """The user has stopped the sweep."""
        self.close()
        done = self._counts.total()
        self._console.print(
            f"stopped after {done} of {self._total or 'its'} points; the same command goes on from here"
        )

    def _line(self) -> str:
        failed = self._counts["failed"]
        best = f"best {self._aim.score_of(self._best)}: {self._best.point.name}" if self._best else "no score yet"
        return escape(best) + (f", {failed} failed" if failed else "")
