"""Where points are that a command has left on a cluster: what it noted, what the cluster says, what doctor tells."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from boston_exp.diagnosis.finding import Finding, Patient, ok, warning
from boston_exp.errors import ClusterUnusable
from boston_exp.sweep import mailbox
from boston_exp.sweep.cluster.protocol import RAY, SLURM, Place
from boston_exp.sweep.plan import ENDED
from boston_exp.tracking import liveness, sqlite_store
from boston_exp.tracking.tagged import tagged_runs

SHOWN = 3  # jobs that are named
CALLED = {SLURM: "Slurm", RAY: "Ray"}


@dataclass(frozen=True)
class Note:
    """What finds the points again."""

    cluster: str  # a class of launcher
    address: str | None  # of Ray's cluster
    name: str  # what the cluster knows the sweep by
    folder: str  # of the sweep
    host: str  # that has the folder
    first: int  # number of the first point that was left
    since: float  # seconds since 1970
    command: str  # that collects

    @staticmethod
    def read(text: str) -> Note:
        return Note(**json.loads(text))


def said_of(places: Mapping[int, Place], cluster: str) -> str:
    """`3 running and 5 waiting on Slurm (jobs 17_0, 17_1, 17_2 on node1, node2)`."""
    running = [place for place in places.values() if place.node]
    waiting = len(places) - len(running)
    counts = [f"{len(running)} running"] * bool(running) + [f"{waiting} waiting"] * bool(waiting)
    said = f"{' and '.join(counts) or 'none'} on {cluster}"
    if running:
        nodes = ", ".join(sorted({place.node for place in running}))
        said += f" ({_first([place.job for place in running])} on {nodes})"
    return said


def _first(jobs: Sequence[str]) -> str:
    more = f" and {len(jobs) - SHOWN} more" if len(jobs) > SHOWN else ""
    return f"job{'s' * (len(jobs) > 1)} {', '.join(jobs[:SHOWN])}{more}"


def places(note: Note) -> dict[int, Place]:
    """Raises ClusterUnusable if the cluster does not answer."""
    if note.cluster == SLURM:
        from boston_exp.sweep.cluster import slurm

        return slurm.places_of(note.name)
    if note.cluster == RAY:
        from boston_exp.sweep.cluster import ray

        ray.connect({"address": note.address, "log_to_driver": False, "logging_level": "error"})
        return ray.places_of(note.name)
    from boston_exp.sweep.cluster import local

    return local.places_in(Path(note.folder))


def clusters(patient: Patient) -> Iterator[Finding]:
    """The doctor's check: sweeps that have points on a cluster, where, and the command that collects them."""
    path = patient.destination.sqlite_path
    there = tagged_runs(path, liveness.ELSEWHERE) if path is not None and sqlite_store.is_there(path) else []
    for run in there:
        note = Note.read(run.tags[liveness.ELSEWHERE])
        sweep = f"sweep {run.run_id[:8]}, submitted {time.strftime('%Y-%m-%d %H:%M', time.localtime(note.since))}"
        yield _examined(note, sweep)
    if not there:
        yield ok("clusters", "no sweep has points on one")


def _examined(note: Note, sweep: str) -> Finding:
    folder, called = Path(note.folder), CALLED.get(note.cluster, note.host)
    if not folder.is_dir():
        return warning("clusters", f"{sweep}: {note.host} has its folder", f"{note.command}   (on {note.host})")
    states = [mailbox.read_state(folder, number) for number in mailbox.tasks(folder, note.first)]
    ended = sum(state is not None and state.status in ENDED for state in states)
    counted = f"{sweep}: {ended} of {len(states)} points have ended"
    try:
        there = places(note)
    except ClusterUnusable as failure:
        return warning("clusters", f"{counted}; {failure.faults[0].says}", failure.faults[0].mend)
    if there:
        return Finding("clusters", "ok", f"{counted}, {said_of(there, called)}", f"{note.command}   (collects)")
    return warning("clusters", f"{counted}, {called} has none of the others", f"{note.command}   (collects)")
