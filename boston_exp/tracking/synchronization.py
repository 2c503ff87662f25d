"""Bringing recorded runs from one store to another: what there is to do, what was done, what is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Entry:
    """An ended run of the source."""

    run_id: str
    experiment: str  # its name


@dataclass(frozen=True)
class Plan:
    """`todo` has the runs whose copy is not known to be whole, the oldest first; `there` are, `going_on` still run.

    Of those that nobody meant for a server, only `everything` brings any.
    """

    todo: tuple[Entry, ...]
    there: int = 0
    going_on: int = 0
    unmeant: int = 0  # ended runs here that were recorded for no server
    parents: frozenset[str] = frozenset()  # ids of runs that others point at


@dataclass(frozen=True)
class Left:
    """What could not be brought there, and why."""

    what: str  # a run's id, or a registered model
    name: str
    reason: str


@dataclass
class Done:
    """What has happened so far."""

    runs: int = 0
    bytes: int = 0
    versions: int = 0  # of registered models
    left: list[Left] = field(default_factory=list)


class Synchronization(Protocol):
    """From one source to one target, once each, however often and by however many it is done."""

    shown: str  # the source, for people

    def experiments(self) -> list[str]:
        """Names of those that the source has."""

    def plan(self, experiments: Sequence[str], where: str, everything: bool) -> Plan:
        """What there is to do; writes nothing.

        Of these experiments, all without any. `where` is a condition in MLflow's search syntax. `everything` has the
        target asked for each run, also where it is noted here that it is there.
        """

    def size(self, plan: Plan) -> int | None:
        """Bytes of all files of the runs to be brought; None where that is not known without asking for each."""

    def carry_out(
        self, plan: Plan, registry: bool, told: Callable[[Done], None], waiting: Callable[[str], None]
    ) -> Done:
        """Bring the runs and, with `registry`, registered models: versions of runs that are there, and aliases.

        `told` is called as it goes on, `waiting` with who else is at it. What cannot be brought is left, with the
        reason; interrupted, the same again goes on.
        """
