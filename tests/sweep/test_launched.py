"""Workers of a cluster, without one: what they take, wait for, leave and cancel.

The cluster is a stand-in that says what it is told to: which points a real one has at a given instruction cannot be
chosen. Real ones run in tests/integration/test_detached.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from boston_exp.sweep import launched, mailbox
from boston_exp.sweep.cluster.protocol import Place
from boston_exp.sweep.launched import Launched, LeftError, WorkerLostError
from boston_exp.sweep.mailbox import State
from boston_exp.sweep.plan import Assignment


class Shelf:
    """Keeps the points that it is given, until somebody takes them off."""

    name = "the shelf"
    count = 2
    every = 0.0

    def __init__(self, queues: bool = True) -> None:
        self.queues = queues
        self.batches: list[list[int]] = []
        self.has: dict[int, Place] = {}
        self.did: list[str] = []

    def submit(self, numbers: Sequence[int]) -> None:
        self.batches.append([*numbers])
        self.has |= {number: Place(f"job {number}") for number in numbers}

    def places(self) -> dict[int, Place]:
        return dict(self.has)

    def cancel(self) -> None:
        self.did.append("cancel")

    def close(self) -> None:
        self.did.append("close")


class Numbers:
    """A source of so many jobs."""

    deadline: float | None = None

    def __init__(self, count: int, left: Sequence[int] = ()) -> None:
        self.left = left
        self._numbers = iter(range(count))

    def next(self, after: int | None) -> Assignment | None:
        number = next(self._numbers, None)
        return None if number is None else (number, [])


@pytest.fixture(autouse=True)
def _no_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launched, "SETTLING", 0.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / mailbox.FOLDER).mkdir()
    return tmp_path


def say(folder: Path, number: int, status: str) -> None:
    mailbox.write_state(folder, number, State(status, 1, "node1"))


def test_all_points_are_submitted_at_once_where_they_are_left(folder: Path) -> None:
    shelf = Shelf()
    with pytest.raises(LeftError) as left:
        list(Launched(shelf, folder, None, leaves=True).run(Numbers(10)))
    assert shelf.batches == [[*range(10)]]
    assert left.value.places == {number: Place(f"job {number}") for number in range(10)}
    assert shelf.did == []


def test_a_cluster_that_does_not_queue_gets_what_it_can_run(folder: Path) -> None:
    shelf = Shelf(queues=False)
    with pytest.raises(LeftError):
        list(Launched(shelf, folder, None, leaves=True).run(Numbers(10)))
    assert shelf.batches == [[0, 1]]


def test_who_waits_has_one_point_queued_for_each_that_runs(folder: Path) -> None:
    """So that patience or a failure ends a sweep soon, and no node waits for its next point."""
    shelf = Shelf()
    running = Launched(shelf, folder, None, leaves=False).run(Numbers(10))
    say(folder, 0, "finished")
    assert next(running) == (0, None)
    assert shelf.batches == [[0, 1, 2, 3]]
    say(folder, 2, "finished")
    assert next(running) == (2, None)
    assert shelf.batches[1:] == [[4]]


def test_what_ended_while_nobody_looked_is_taken(folder: Path) -> None:
    """Another process has read the news of it, and was killed before it had done anything with it."""
    shelf = Shelf()
    shelf.submit([0, 1])
    say(folder, 0, "finished")
    say(folder, 1, "running")
    assert len(list(mailbox.new_states(folder, {0, 1}))) == 2
    running = Launched(shelf, folder, None, leaves=True).run(Numbers(0, left=[0, 1]))
    assert next(running) == (0, None)
    with pytest.raises(LeftError) as left:
        next(running)
    assert [*left.value.places] == [1]


@pytest.mark.parametrize("said", ["running", None])
def test_a_point_that_its_cluster_has_lost_is_told_as_lost(folder: Path, said: str | None) -> None:
    if said:
        say(folder, 0, said)
    ((number, error),) = Launched(Shelf(), folder, None, leaves=True).run(Numbers(0, left=[0]))
    assert number == 0
    assert isinstance(error, WorkerLostError)


def test_what_runs_is_cancelled_with_the_command_unless_it_is_left(folder: Path) -> None:
    for leaves in (False, True):
        shelf = Shelf()
        workers = Launched(shelf, folder, None, leaves)
        running = workers.run(Numbers(3))
        say(folder, 0, "finished")
        next(running)
        running.close()
        workers.close()
        assert shelf.did == ([] if leaves else ["cancel", "close"])


def test_a_cluster_without_points_is_let_go(folder: Path) -> None:
    shelf = Shelf()
    workers = Launched(shelf, folder, None, leaves=True)
    say(folder, 0, "finished")
    assert list(workers.run(Numbers(1))) == [(0, None)]
    workers.close()
    assert shelf.did == ["close"]
