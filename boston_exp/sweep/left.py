"""A sweep whose points stay on a cluster when the command ends: what is noted of it, and how it is taken up again.

The note is a tag of the parent run; the points' tasks and states are in the sweep's folder. Which of them wait or run
is the cluster's to say: nothing is relied on that a process could be killed before it has written down.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from omegaconf import OmegaConf
from rich.text import Text

from boston_exp.config.invocation import again
from boston_exp.errors import Fault, InvalidConfig
from boston_exp.reporting import terminal
from boston_exp.reporting.tables import narrow_console
from boston_exp.sweep import mailbox, telling, workers
from boston_exp.sweep.cluster.whereabouts import Note, said_of
from boston_exp.sweep.composing import Composer
from boston_exp.sweep.launched import LeftError
from boston_exp.sweep.loop import MaxFailuresError
from boston_exp.sweep.plan import Point, Report
from boston_exp.tracking.protocol import SweepRecording


def name_for(run_id: str | None, sweep_dir: Path) -> str:
    """What a cluster knows a sweep by: two stores may have the same sweep on one cluster."""
    return f"boston_exp-{(run_id or sweep_dir.name)[:12]}"


@contextmanager
def taken_up(parent: SweepRecording, composer: Composer, leaves: bool) -> Iterator[dict[int, Point]]:
    """The points that an earlier command has left on a cluster, by their numbers; `composer` goes on in their folder.

    Where points are is noted before the first of them is there, and no more once all of them are taken. If this command
    `leaves` none, they end with it. Raises InvalidConfig if another machine has the folder.
    """
    before = None if parent.elsewhere is None else Note.read(parent.elsewhere)
    points: dict[int, Point] = {}
    if before is not None:
        if not Path(before.folder).is_dir():
            says = f"This sweep has points on a cluster, and {before.host} has what they say, in {before.folder}."
            raise InvalidConfig(Fault(says, f"{before.command}   (on {before.host})"))
        composer.go_on_in(before.folder)
        for number, task in mailbox.tasks(Path(before.folder), before.first).items():
            points[number] = Point.of(task.overrides, task.swept, task.trial_number)
    composer.sweep_dir.mkdir(parents=True, exist_ok=True)
    if leaves:
        parent.note_elsewhere(json.dumps(asdict(_note(parent, composer, before))))
    try:
        yield points
    except MaxFailuresError:
        parent.note_elsewhere(None)
        raise
    except BaseException:
        if not leaves:
            parent.note_elsewhere(None)
        raise
    parent.note_elsewhere(None)


def _note(parent: SweepRecording, composer: Composer, before: Note | None) -> Note:
    launcher, folder = composer.master.hydra.launcher, composer.sweep_dir
    return Note(
        workers.kind_of(launcher),
        OmegaConf.select(launcher, "ray.init.address"),
        name_for(parent.run_id, folder),
        str(folder),
        mailbox.host(),
        before.first if before else mailbox.first_free_number(folder),
        before.since if before else time.time(),
        again(),
    )


def show(report: Report, left: LeftError, parent: SweepRecording, quiet: bool) -> None:
    """What has ended so far, where the rest is, and the command that collects it."""
    if quiet:
        terminal.show_id(parent.run_id)
        return
    console = narrow_console()
    counts = [f"{report.count(status)} {said}" for said, status in telling.COUNTED.items() if report.count(status)]
    total = "" if report.total is None else f" of {report.total} points"
    ended = f"{report.kind}{total}: {', '.join(counts) or 'none has ended yet'}"
    console.print(Text.assemble((ended, "bold"), f"; {said_of(left.places, left.cluster)}"), soft_wrap=True)
    best = report.best
    if best and best.metrics:
        console.print(f"best so far {best.point.name}: {report.aim.score_of(best)}", soft_wrap=True)
    terminal.show_record(parent.where, parent.run_id, f"{again()}   (collects what has ended by then, and goes on)")
