"""Which runs are brought, and that those that end meanwhile come along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from boston_exp.config.commands import Sync
from boston_exp.config.invocation import again, quoted
from boston_exp.errors import Fault, InvalidConfig, did_you_mean, nearest
from boston_exp.redaction import printable
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.synchronization import Done, Plan, Synchronization

SHOWN = 10  # names of experiments in a message
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
    """What was done, in all; `there` were there before, `going_on` still run, `unmeant` were recorded for
    no server."""

    done: Done = field(default_factory=Done)
    there: int = 0
    going_on: int = 0
    unmeant: int = 0


def planned(parts: Sequence[Synchronization], config: Sync, destination: Destination) -> list[Planned]:
    """Writes nothing. Raises InvalidConfig for an experiment that there is not."""
    names = _names(parts, config, destination)
    plans = [(part, _plan(part, config, names)) for part in parts]
    return [Planned(part.shown, plan, part.size(plan)) for part, plan in plans]


def bring(parts: Sequence[Synchronization], config: Sync, destination: Destination, watch: Watch) -> Brought:
    """Bring what there is to bring, from each source in turn. Raises InvalidConfig as `planned` does."""
    names = _names(parts, config, destination)
    brought = Brought()
    for part in parts:
        _bring(part, config, names, watch, brought)
    return brought


def _bring(part: Synchronization, config: Sync, names: list[str], watch: Watch, brought: Brought) -> None:
    for number in range(ROUNDS if config.source is None else 1):
        plan = _plan(part, config, names)
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
    brought.unmeant += plan.unmeant


def _told(watch: Watch, before: Done, now: Done) -> None:
    watch.went_on(_sum(before, now))


def _sum(one: Done, other: Done) -> Done:
    """Of what was done; what is left is told at the end of each part."""
    return Done(one.runs + other.runs, one.bytes + other.bytes, one.versions + other.versions, one.left)


def _names(parts: Sequence[Synchronization], config: Sync, destination: Destination) -> list[str]:
    """Of the experiments whose runs are brought; none for all of them."""
    names = config.experiments
    if not names and config.source is not None and not config.all:
        names = [destination.experiment_name]
    known = sorted({name for part in parts for name in part.experiments()}) if names else []
    unknown = [name for name in names if name not in known]
    if not unknown or not parts:
        return names
    listed = printable(", ".join(known[:SHOWN]))
    more = f", and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    name = unknown[0]
    says = f"{parts[0].shown} has no experiment {name}.{did_you_mean(name, known)} There are: {listed}{more}."
    other = nearest(name, known) or (known or ["<name>"])[0]
    raise InvalidConfig(Fault(says, f"{again(f'experiments=[{quoted(other)}]')}   (or all=true)"))


def _plan(part: Synchronization, config: Sync, names: list[str]) -> Plan:
    return part.plan(names, config.filter or "", config.all)
