"""The actor on a Ray cluster that has a sweep's points, and what a node does with one."""

from __future__ import annotations

import os
import pickle
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from boston_exp.sweep import mailbox
from boston_exp.sweep.mailbox import State, Task
from boston_exp.sweep.runner import PointRunner

Said = dict[str, Any]  # a mailbox.State


class Board:
    """Submits points on the cluster, and knows where they are and what they said. A number is submitted once."""

    def __init__(self, runner: bytes, options: dict[str, Any]) -> None:
        import ray

        # not again by Ray: whether a point is tried again is the sweep's to say, which knows if it had begun
        self._run = ray.remote(**{"max_retries": 0, **options})(run_point)
        self._runner = ray.put(runner)
        self._me = ray.get_runtime_context().current_actor
        self._running: dict[int, Any] = {}  # references to what they will return
        self._nodes: dict[int, str] = {}
        self._states: dict[int, Said | None] = {}  # None: its worker was lost, or it said nothing

    def submit(self, tasks: dict[int, Said]) -> None:
        for number, task in tasks.items():
            if number not in self._running and number not in self._states:
                self._nodes[number] = ""
                self._running[number] = self._run.remote(self._me, self._runner, number, task)

    def began(self, number: int, node: str, said: Said) -> None:
        """A point runs now, on this node, unless it has ended by the time that this arrives."""
        if number in self._running:
            self._nodes[number], self._states[number] = node, said

    def look(self) -> dict[str, dict[int, Any]]:
        """`nodes` of the points that wait ("") or run, and `states`: the latest of all that have begun or ended."""
        import ray

        by_reference = {reference: number for number, reference in self._running.items()}
        done, _ = (
            ray.wait([*by_reference], num_returns=len(by_reference), timeout=0, fetch_local=False)
            if by_reference
            else ([], [])
        )
        for reference in done:
            number = by_reference[reference]
            del self._running[number], self._nodes[number]
            self._states.setdefault(number, None)
            with suppress(ray.exceptions.RayError):  # killed, or out of memory: what it said last stands
                self._states[number] = ray.get(reference)
        return {"nodes": self._nodes, "states": self._states}

    def forget(self, numbers: list[int]) -> None:
        """These have ended, and somebody has written down how."""
        for number in numbers:
            del self._states[number]

    def cancel(self) -> None:
        """End all points: as Ctrl-C would, so that they close their runs."""
        import ray

        for reference in self._running.values():
            ray.cancel(reference)
        with suppress(ray.exceptions.RayError):
            ray.wait([*self._running.values()], num_returns=max(1, len(self._running)), timeout=5)


def run_point(board: Any, runner: bytes, number: int, task: Said) -> Said | None:
    """On a node: run the point in a folder of this machine; returns the last that it said."""
    ready: PointRunner = pickle.loads(runner)  # noqa: S301 (the driver's)
    sweep_dir, told = ready.sweep_dir, Task(**task)
    mailbox.write_task(sweep_dir, number, told)
    # not waited for: Ray gives a core away whose task waits
    board.began.remote(number, mailbox.host(), asdict(State("running", os.getpid(), mailbox.host())))
    with suppress(RuntimeError):  # it has said so itself, or did not compose, which the main process tells
        ready.run(number, list(told.overrides))
    state = mailbox.read_state(sweep_dir, number)
    return asdict(state) if state else None
