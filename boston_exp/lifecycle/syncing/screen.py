"""What is brought, on the screen and for machines: a bar while it goes on, a summary, what is left and why."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from boston_exp.config.invocation import again, for_services
from boston_exp.lifecycle.syncing.bringing import Brought, Planned
from boston_exp.redaction import printable
from boston_exp.reporting.numbers import file_size
from boston_exp.reporting.tables import labelled, plain_table, print_rows
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.synchronization import Done

SHOWN = 20  # of what is left; csv and json have all
EVERY = 15.0  # seconds between lines where there is no terminal


class Shown:
    """Tells how it goes: a bar on a terminal, else a line from time to time. stdout may be JSON, so all is stderr."""

    def __init__(self, bar: Progress | None, task: TaskID | None) -> None:
        self._bar, self._task = bar, task
        self._total = 0
        self._begun = self._said = time.monotonic()

    def planned(self, runs: int) -> None:
        self._total = runs
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, total=runs)

    def went_on(self, done: Done) -> None:
        now = time.monotonic()
        rate = file_size(int(done.bytes / max(now - self._begun, 0.001)))
        told = f"{file_size(done.bytes)}, {rate}/s"
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done.runs, told=told)
        elif now - self._said > EVERY:
            self._said = now
            print(labelled("so far", f"{done.runs:,} of {self._total:,} runs, {told}"), file=sys.stderr)

    def waiting(self, who: str) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, told=f"waiting for {who}, which is publishing")
        else:
            print(labelled("waiting", f"for {who}, which is publishing"), file=sys.stderr)


@contextmanager
def progress() -> Iterator[Shown]:
    """Gives what is told how it goes."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Shown(None, None)
        return
    columns = (
        TextColumn("runs"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[told]}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bar:
        yield Shown(bar, bar.add_task("", total=None, told=""))


def show_planned(found: list[Planned], form: str) -> None:
    """What there is to do, by source and experiment."""
    rows = [
        {
            "source": each.source,
            "experiment": printable(experiment),
            "runs": count,
            "there": each.plan.there,
            "running": each.plan.going_on,
            "bytes": each.size,
        }
        for each in found
        for experiment, count in (Counter(entry.experiment for entry in each.plan.todo) or {"": 0}).items()
    ]

    def drawn() -> list[Any]:
        table = plain_table()
        for heading in ("source", "experiment"):
            table.add_column(heading, overflow="fold")
        table.add_column("runs to bring", justify="right")
        for row in rows:
            table.add_row(str(row["source"]), str(row["experiment"]), f"{row['runs']:,}")
        sizes = [each.size for each in found]
        total = None if None in sizes else sum(filter(None, sizes))
        runs, there = sum(len(each.plan.todo) for each in found), sum(each.plan.there for each in found)
        more = f"; {there:,} are there" if there else ""
        said = f"would bring: {_runs(runs)}, {file_size(total)}{more}. Nothing was brought yet:"
        hint = _unmeant(sum(each.plan.unmeant for each in found))
        if not runs:
            return [f"There is nothing to bring{more}.", *hint]
        return [table, said, *hint, f"next        {again(without=['dry_run'])}"]

    print_rows(rows, form, drawn, name="planned")


def show_done(brought: Brought, destination: Destination, form: str) -> None:
    """What was done, what is left and why."""
    done, where = brought.done, destination.shown_server if destination.server else destination.shown_uri
    rows = [{"what": each.what, "name": each.name, "reason": each.reason} for each in done.left]
    about = {
        "target": where,
        "runs": done.runs,
        "bytes": done.bytes,
        "versions": done.versions,
        "there": brought.there,
        "running": brought.going_on,
    }

    def drawn() -> list[Any]:
        told = [_runs(done.runs) + (f", {file_size(done.bytes)}" if done.runs else "")]
        told += [f"{done.versions} registered version{'s' * (done.versions != 1)}"] * bool(done.versions)
        told += [f"{brought.there:,} were there"] * bool(brought.there)
        told += [f"{brought.going_on:,} still run, and come when they end"] * bool(brought.going_on)
        parts: list[Any] = [labelled("brought", f"to {where} ({destination.why}): {'; '.join(told)}")]
        parts += _unmeant(brought.unmeant)
        if rows:
            table = plain_table()
            for heading in ("left", "", "why"):
                table.add_column(heading, overflow="fold", no_wrap=heading == "left")
            for row in rows[:SHOWN]:
                table.add_row(*map(str, row.values()))
            if len(rows) > SHOWN:
                table.add_row("…", f"{len(rows) - SHOWN} more", "")
            parts += ["", table, labelled("next", again(), is_command=True)]
        else:
            parts.append(labelled("next", for_services("leaderboard", *destination.experiment_typed), is_command=True))
        return parts

    print_rows(rows, form, drawn, name="left", about=about)


def _unmeant(number: int) -> list[str]:
    """What becomes of runs that were recorded for no server."""
    if not number:
        return []
    were = "was" if number == 1 else "were"
    return [
        labelled(
            "not asked",
            f"{_runs(number)} here {were} recorded for no server: {again('all=true')} brings them",
            is_command=True,
        )
    ]


def _runs(number: int) -> str:
    return f"{number:,} run{'s' * (number != 1)}"
