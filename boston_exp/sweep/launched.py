"""Points on a cluster: submitted as there is room for them, taken as they end, left there when the command ends."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Generator
from pathlib import Path

from boston_exp.errors import Detached
from boston_exp.sweep import mailbox
from boston_exp.sweep.cluster.protocol import Cluster, Place
from boston_exp.sweep.ending import TimeIsUp
from boston_exp.sweep.plan import ENDED, Source

POLL = 0.05  # seconds between looks at the mailbox
SETTLING = 3.0  # seconds for the file of a node to be seen here, once its job is over

Ended = tuple[int, Exception | None]


class WorkerLostError(Exception):
    """The process that had a point is gone."""


class LeftError(Detached):
    """Nothing more is to be done now: these points wait, or run, on the cluster."""

    def __init__(self, cluster: str, places: dict[int, Place]) -> None:
        self.cluster = cluster
        self.places = places
        super().__init__(f"{len(places)} points are on {cluster}")


class Launched:
    """A cluster's workers.

    With `leaves` what has ended is taken, what there is room for is submitted, and `run` raises LeftError; whatever
    ends this process, the points go on. Without, they end with it.
    """

    in_process = False

    def __init__(self, cluster: Cluster, sweep_dir: Path, threads: int | None, leaves: bool) -> None:
        self.count = cluster.count
        self.threads = threads
        self.leaves = leaves
        self._cluster = cluster
        self._sweep_dir = sweep_dir
        self._there: set[int] = set()  # points that the cluster has, or had, and that nobody has taken
        self._unread: list[int] = []  # of these: what they have said was news to a process that is gone
        self._gone: dict[int, float] = {}  # points that the cluster does not have any more, and since when
        self._places: dict[int, Place] = {}
        self._looked = -cluster.every

    def run(self, source: Source) -> Generator[Ended]:
        self._there = set(source.left)
        self._unread = sorted(self._there)
        # one that waits for each that runs: no node is idle while its next point is submitted
        room = sys.maxsize if self.leaves and self._cluster.queues else self.count * (1 + self._cluster.queues)
        free: deque[int | None] = deque()
        try:
            while True:
                self._submit(source, room, free)
                if not self._there:
                    return
                for number, error in self._until_some_end(source):
                    self._there.discard(number)
                    free.append(number)
                    yield number, error
        except BaseException:
            if not self.leaves:
                self._cluster.cancel()
            raise

    def cancel(self) -> None:
        """End what runs, also where it would be left."""
        self._cluster.cancel()
        self._there.clear()

    def close(self) -> None:
        """Let go of the cluster, unless it has points that are left there."""
        if not (self.leaves and self._there):
            self._cluster.close()

    def _submit(self, source: Source, room: int, free: deque[int | None]) -> None:
        numbers: list[int] = []
        while len(self._there) + len(numbers) < room:
            job = source.next(free.popleft() if free else None)
            if job is None:
                break
            numbers.append(job[0])
        if numbers:
            self._there.update(numbers)
            self._cluster.submit(numbers)
            self._looked = -self._cluster.every  # what was seen before knows nothing of them

    def _until_some_end(self, source: Source) -> list[Ended]:
        """Raises LeftError if none has ended and nobody is to wait for it, TimeIsUp at the source's deadline."""
        while True:
            if time.monotonic() - self._looked >= self._cluster.every:
                self._look()
            ended: list[Ended] = [(number, None) for number in self._told()]
            if not ended:
                ended = [(number, self._fate(number)) for number, since in self._gone.items() if _settled(since)]
            for number, _ in ended:
                self._gone.pop(number, None)
            if ended:
                return ended
            if self.leaves and not self._gone:
                raise LeftError(self._cluster.name, {number: self._places[number] for number in self._there})
            if source.deadline is not None and time.monotonic() >= source.deadline:
                raise TimeIsUp
            time.sleep(POLL)

    def _look(self) -> None:
        self._places = self._cluster.places()
        self._looked = time.monotonic()
        missing = self._there - self._places.keys()
        self._gone = {number: self._gone.get(number, self._looked) for number in missing}

    def _told(self) -> list[int]:
        """Points that have said how they ended."""
        unread, self._unread = self._unread, []
        states = [(number, mailbox.read_state(self._sweep_dir, number)) for number in unread]
        states += mailbox.new_states(self._sweep_dir, self._there)
        return sorted({number for number, state in states if state is not None and state.status in ENDED})

    def _fate(self, number: int) -> Exception | None:
        state = mailbox.read_state(self._sweep_dir, number)
        return None if state is not None and state.status in ENDED else WorkerLostError()


def _settled(since: float) -> bool:
    return time.monotonic() - since > SETTLING
