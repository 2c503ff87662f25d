"""Which runs are brought, and that those that end meanwhile come along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from boston_exp.config.commands import Sync
from boston_exp.config.invocation import again, quoted
from boston_exp.errors import Fault, InvalidConfig, did_you_mean, nearest
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.synchronization import Done, Plan, Synchronization

ROUNDS = 3  # a training may end while others' runs are brought


class Watch(Protocol):
    """Who is told how it goes."""

    def planned(self, runs: int) -> None:
        """So many runs have to be brought, in all."""

    def went_on(self, done: Done) -> None:
        """So many were."""

    def waiting(self, who: str) -> None:
        """Another process is at it."""


@dataclass
class Planned:
    """What there is to do at one source; `size` in bytes, None where that is not known from here."""

    source: str
    plan: Plan
    size: int | None


@dataclass
class Brought:
    """What was done, in all; `there` were there before, `going_on` still run."""

    done: Done = field(default_factory=Done)
    there: int = 0
    going_on: int = 0


def planned(parts: Sequence[Synchronization], config: Sync, destination: Destination) -> list[Planned]:
    """Writes nothing."""
    plans = [(part, _plan(part, config, destination)) for part in parts]
    return [Planned(part.shown, plan, part.size(plan)) for part, plan in plans]


def bring(parts: Sequence[Synchronization], config: Sync, destination: Destination, watch: Watch) -> Brought:
    """Bring what there is to bring, from each source in turn."""
    brought = Brought()
    for part in parts:
        _bring(part, config, destination, watch, brought)
    return brought


def _bring(part: Synchronization, config: Sync, destination: Destination, watch: Watch, brought: Brought) -> None:
    for number in range(ROUNDS if config.source is None else 1):
        plan = _plan(part, config, destination)
        if number == 0:
            brought.there += plan.there
        elif not plan.todo:
            break
        before = brought.done
        watch.planned(before.runs + len(plan.todo))
        done = part.carry_out(plan, config.registry, partial(_told, watch, before), watch.waiting)
        brought.done = _sum(before, done)
        if done.left:
            brought.done.left += done.left
            break
    brought.going_on += plan.going_on


def _told(watch: Watch, before: Done, now: Done) -> None:
    watch.went_on(_sum(before, now))


def _sum(one: Done, other: Done) -> Done:
    """Of what was done; what is left is told at the end of each part."""
    return Done(one.runs + other.runs, one.bytes + other.bytes, one.versions + other.versions, one.left)


def _plan(part: Synchronization, config: Sync, destination: Destination) -> Plan:
    names = config.experiments
    if not names and config.source is not None and not config.all:
        names = [destination.experiment_name]
    known = part.experiments()
    unknown = [name for name in names if name not in known]
    if unknown and config.source is not None:
        name = unknown[0]
        says = f"{part.shown} has no experiment {name}.{did_you_mean(name, known)} There are: {', '.join(known)}."
        mend = again(f"experiments=[{quoted(nearest(name, known) or known[0])}]") + "   (or all=true)"
        raise InvalidConfig(Fault(says, mend))
    return part.plan(names, config.filter or "", config.all)
