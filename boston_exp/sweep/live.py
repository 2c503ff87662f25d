"""The live block of a sweep on a terminal: how far it is, the best so far, what each worker does, their load."""

from __future__ import annotations

from rich.console import Console, Group
from rich.text import Text

from boston_exp.reporting.tables import BAD, WARNING
from boston_exp.sweep.progress import Progress, Running

LABEL = 6  # columns before a text
BAR, NARROWEST = 30, 6  # columns
LINES = 16  # of workers at most
ENDING = "ending what runs; Ctrl-C again ends at once"
ECHO = 3  # columns that the last line leaves to the ^C that a terminal writes there


def block(progress: Progress, console: Console, now: float, cpu: float | None, ending: bool) -> Group:
    """As many lines as fit, none wider than the terminal. `cpu` is in percent of a core, None where it is not known."""
    lines = [_first(progress, console, now), _best(progress)]
    last = Text(ENDING, style=WARNING) if ending else _load(progress, now, cpu)
    last.truncate(console.width - ECHO, overflow="ellipsis")
    room = min(LINES, console.height - len(lines) - 2)  # one line is the shell's
    lines += [*_workers(progress, console.width, now, room), last]
    lines = lines[: max(1, console.height - 1)]
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return Group(*lines)


def duration(seconds: float) -> str:
    """`0.4 s`, `42 s`, `12 min`, `3.2 h`: two digits are enough to wait by."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


def _first(progress: Progress, console: Console, now: float) -> Text:
    """`23/60 ━━━━━━━━─────────── 2 running, 1 failed; about 42 s left`."""
    counts = {"running": len(progress.running), "waiting": len(progress.waiting)}
    counts |= {status: progress.counts[status] for status in ("failed", "pruned", "reused")}
    said = Text(", ").join(
        Text(f"{count} {name}", style=BAD if name == "failed" else "") for name, count in counts.items() if count
    )
    left = progress.left(now)
    said.append("; " if said else "").append("time left not known yet" if left is None else f"{_about(left)} left")
    head = Text(f"{progress.done}/{progress.total} " if progress.total is not None else f"{progress.done} points  ")
    width = min(BAR, console.width - len(head) - len(said) - 2)
    if progress.total is not None and width >= NARROWEST:
        filled, rest = "━─" if console.encoding.startswith("utf") else "#-"
        ended = round(width * progress.done / max(1, progress.total))
        head.append(filled * ended, style="blue").append(f"{rest * (width - ended)} ", style="dim")
    return head.append_text(said)


def _about(left: float) -> str:
    return "some seconds" if left < 2 else f"about {duration(left)}"


def _best(progress: Progress) -> Text:
    if progress.best is None:
        return Text(f"{'best':<{LABEL}}no score yet")
    aim = progress.aim
    alone = f"by {aim.metrics[0]} alone: " if len(aim.metrics) > 1 else ""
    return Text(f"{'best':<{LABEL}}{alone}{aim.score_of(progress.best)}: {progress.best.point.name}")


def _workers(progress: Progress, width: int, now: float, room: int) -> list[Text]:
    """A line for each; where there is no room for all of them, the first ones and how many more there are."""
    if room < 1:
        return []
    workers = list(enumerate(progress.workers, 1))
    more = len(workers) - room
    shown = workers if more <= 0 else workers[: room - 1]
    lines = [_worker(number, running, width, now) for number, running in shown]
    return lines if more <= 0 else [*lines, Text(f"{'':<{LABEL}}and {more + 1} more workers", style="dim")]


def _worker(number: int, running: Running | None, width: int, now: float) -> Text:
    if running is None:
        return Text(f"{number:<{LABEL}}idle", style="dim")
    took = duration(now - running.since)
    line = Text(f"{number:<{LABEL}}{running.point.name}", no_wrap=True)
    line.truncate(max(LABEL, min(width, 100) - len(took) - 2), overflow="ellipsis", pad=True)
    return line.append(f"  {took}", style="dim")


def _load(progress: Progress, now: float, cpu: float | None) -> Text:
    """Busy with a point since the beginning, and what the processes use of the cores right now."""
    used = "" if cpu is None else f", {cpu:.0f} % of a core now"
    return Text(f"{'load':<{LABEL}}busy {progress.busy(now):.0%}".replace("%", " %") + used, style="dim")
