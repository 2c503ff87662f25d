"""The loop without processes: what it makes of points that are lost, hopeless, withdrawn, or done before.

The workers are stand-ins, because a real one cannot be made to vanish between two given instructions; the real ones are
killed in tests/faults/.
"""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest
from hydra.errors import HydraException
from omegaconf import OmegaConf

from boston_exp.sweep import mailbox
from boston_exp.sweep.chains import Chains
from boston_exp.sweep.ending import Ending
from boston_exp.sweep.loop import LOST, Loop
from boston_exp.sweep.mailbox import State
from boston_exp.sweep.plan import Aim, Point, Result, Source, point_key
from boston_exp.sweep.screen import Screen
from boston_exp.sweep.search import Grid
from boston_exp.tracking.backends.none import SweepNotRecorded
from boston_exp.tracking.protocol import Failure, Finished

AIM = Aim(("rmse",), ("minimize",))
Script = list[tuple[State | None, Exception | None]]  # what the worker says of a point, and what it dies of, per try


def state(status: str, run_id: str | None = None, **metrics: float) -> State:
    return State(status, 1, "here", run_id, metrics)


class Scripted:
    """Workers that do what they are told to."""

    in_process = False
    leaves = False
    count = 2
    threads = 1

    def __init__(self, folder: Path, scripts: dict[str, Script]) -> None:
        self._folder, self._scripts = folder, scripts
        self.tried: list[str] = []
        self.left = 0

    def run(self, source: Source) -> Generator[tuple[int, Exception | None]]:
        try:
            while job := source.next(None):
                number, overrides = job
                self.tried.append(overrides[0])
                said, error = self._scripts[overrides[0]].pop(0)
                if said:
                    mailbox.write_state(self._folder, number, said)
                yield number, error
        finally:
            self.left += 1

    def cancel(self) -> None: ...

    def close(self) -> None: ...


class Composing:
    """Composes everything but `x=bad`."""

    def __init__(self, folder: Path) -> None:
        hydra: dict[str, Any] = {"sweep": {"dir": str(folder)}, "runtime": {"choices": {"model": "ridge"}}}
        self.sweep_dir = folder
        self.master = OmegaConf.create({"hydra": hydra})

    def name_of(self, point: Point) -> str:
        return f"ridge {point.name}"

    def compose(self, point: Point) -> None:
        if point.overrides == ("x=bad",):
            raise HydraException("no such value")


class Listed(Grid):
    """A search of these points; remembers what it is told and given back."""

    def __init__(self, values: str) -> None:
        self._chains = Chains([point(value)] for value in values.split())
        self.told: list[str] = []
        self.given_back: list[Point] = []

    def tell(self, result: Result) -> None:
        self.told.append(result.status)

    def give_back(self, point: Point) -> None:
        self.given_back.append(point)


class Parent(SweepNotRecorded):
    run_id = "parent"

    def __init__(self, finished: dict[str, Finished] | None = None) -> None:
        super().__init__()
        self._finished = finished or {}
        self.failed: list[str] = []

    def finished(self, run_id: str) -> Finished | None:
        return self._finished.get(run_id)

    def fail(self, run_id: str | None, failure: Failure) -> str:
        self.failed.append(failure.message)
        return run_id or "new"


def point(value: str) -> Point:
    return Point((f"x={value}",), (("x", value),))


def looped(
    folder: Path,
    scripts: dict[str, Script],
    parent: Parent | None = None,
    earlier: dict[str, Finished] | None = None,
    max_failures: int | None = None,
    ending: Ending | None = None,
) -> tuple[Loop, Scripted]:
    workers = Scripted(folder, {f"x={value}": script for value, script in scripts.items()})
    screen = Screen(len(scripts), AIM)
    composer: Any = Composing(folder)
    loop = Loop(
        "key",
        Listed(" ".join(scripts)),
        composer,
        workers,
        parent or Parent(),
        screen,
        earlier or {},
        ending or Ending(AIM),
        max_failures,
        asks_server=False,
        experiment="tests",
    )
    return loop, workers


BROKEN = BrokenProcessPool("killed")


def only(loop: Loop) -> Result:
    loop.run()
    (result,) = loop.results
    return result


def test_a_point_that_ends_well_is_its_own_result(tmp_path: Path) -> None:
    loop, _ = looped(tmp_path, {"1": [(state("finished", "r1", rmse=2.0), None)]})
    result = only(loop)
    assert (result.status, result.run_id, result.metrics) == ("finished", "r1", {"rmse": 2.0})
    assert loop.results == [result]


def test_a_worker_that_is_killed_in_a_point_is_that_points_failure(tmp_path: Path) -> None:
    parent = Parent()
    loop, workers = looped(tmp_path, {"1": [(state("running", "r1"), BROKEN)]}, parent)
    result = only(loop)
    assert (result.status, result.run_id, result.message) == ("failed", "r1", LOST)
    assert parent.failed == [LOST]
    assert workers.tried == ["x=1"]


def test_a_worker_that_is_killed_after_its_run_was_closed_has_done_it(tmp_path: Path) -> None:
    parent = Parent({"r1": Finished("r1", {"rmse": 2.0})})
    loop, _ = looped(tmp_path, {"1": [(state("running", "r1"), BROKEN)]}, parent)
    assert only(loop).metrics == {"rmse": 2.0}
    assert parent.failed == []


def test_a_worker_that_is_killed_after_it_said_so_has_done_it(tmp_path: Path) -> None:
    loop, _ = looped(tmp_path, {"1": [(state("finished", "r1", rmse=2.0), BROKEN)]})
    assert only(loop).status == "finished"


def test_a_worker_that_is_killed_before_it_began_costs_another_try(tmp_path: Path) -> None:
    loop, workers = looped(tmp_path, {"1": [(None, BROKEN), (state("finished", "r1"), None)]})
    assert only(loop).status == "finished"
    assert workers.tried == ["x=1"] * 2


def test_a_point_that_no_worker_begins_is_given_up(tmp_path: Path) -> None:
    loop, workers = looped(tmp_path, {"1": [(None, BROKEN)] * 9, "2": [(state("finished", "r2"), None)]})
    loop.run()
    results = {result.point.name: result for result in loop.results}
    assert results["x=1"].message == "BrokenProcessPool: killed"
    assert results["x=2"].status == "finished"
    assert workers.tried.count("x=1") == 3


def test_a_point_that_does_not_compose_says_why_and_is_not_tried_again(tmp_path: Path) -> None:
    loop, workers = looped(tmp_path, {"bad": [(None, None)] * 9})
    assert "no such value" in only(loop).message
    assert workers.tried == ["x=bad"]


def test_what_an_earlier_part_has_done_is_not_run_again(tmp_path: Path) -> None:
    earlier = {point_key("key", point("1")): Finished("old", {"rmse": 1.0})}
    loop, workers = looped(tmp_path, {"1": [], "2": [(state("finished", "r2"), None)]}, earlier=earlier)
    loop.run()
    assert [result.status for result in loop.results] == ["reused", "finished"]
    assert workers.tried == ["x=2"]


def test_max_failures_leaves_the_workers_at_once(tmp_path: Path) -> None:
    failed: Script = [(state("failed"), None)]
    loop, workers = looped(tmp_path, {value: list(failed) for value in "1234"}, max_failures=2)
    assert loop.run() == str(loop.hopeless) == "2 points failed, and max_failures=2"
    assert workers.tried == ["x=1", "x=2"]
    assert workers.left == 1  # the generator was closed, not left to the garbage collector


def test_a_result_is_told_before_max_failures_ends_the_sweep(tmp_path: Path) -> None:
    """A search that has not been told of it would give the trial back, and ask for it again, for ever."""
    loop, _ = looped(tmp_path, {"1": [(state("failed"), None)], "2": []}, max_failures=1)
    loop.run()
    search: Any = loop._search
    assert (search.told, search.given_back) == (["failed"], [])


def test_a_point_that_is_left_is_given_back(tmp_path: Path) -> None:
    class Interrupted(Scripted):
        def run(self, source: Source) -> Generator[tuple[int, Exception | None]]:
            source.next(None)
            raise KeyboardInterrupt
            yield

    loop, workers = looped(tmp_path, {"1": []})
    workers.__class__ = Interrupted
    with pytest.raises(KeyboardInterrupt):
        loop.run()
    search: Any = loop._search
    assert (search.told, search.given_back) == ([], [point("1")])


def test_a_worker_that_got_nothing_is_known_when_it_asks_again(tmp_path: Path) -> None:
    """As a new one it would be given what is left of another worker's chain, which has the models that grow to it."""
    asked: list[Point | None] = []
    loop, _ = looped(tmp_path, {"1": []})
    search: Any = loop._search
    ask = search.ask
    search.ask = lambda last: asked.append(last) or ask(last)
    job = loop.next(None)
    assert job is not None
    mailbox.write_state(tmp_path, job[0], state("finished", "r1"))
    loop._ended(job[0], None)
    assert loop.next(job[0]) is loop.next(job[0]) is None
    assert asked == [None, point("1"), point("1")]


def test_patience_ends_a_search_that_does_not_improve(tmp_path: Path) -> None:
    scores = [3.0, 2.0, 2.5, 2.0, 2.2, 1.0]
    scripts: dict[str, Script] = {str(n): [(state("finished", f"r{n}", rmse=s), None)] for n, s in enumerate(scores)}
    loop, workers = looped(tmp_path, scripts, ending=Ending(AIM, patience=3))
    assert loop.run() == "the last 3 points have not improved on the best; a larger search.patience goes on"
    assert len(workers.tried) == 5


def test_a_search_whose_time_is_up_asks_for_nothing_more(tmp_path: Path) -> None:
    loop, workers = looped(tmp_path, {"1": [(state("finished", "r1", rmse=1.0), None)]}, ending=Ending(AIM, timeout=0))
    assert "timeout=0 seconds are over" in loop.run()
    assert workers.tried == []


def test_failures_that_a_search_remembers_do_not_count(tmp_path: Path) -> None:
    loop, _ = looped(tmp_path, {})
    loop.remember(Result(point("1"), "", "failed", None, {}, "of an earlier part"))
    assert loop.failed == 0


def test_a_state_that_another_sweep_has_left_is_not_this_points(tmp_path: Path) -> None:
    mailbox.write_state(tmp_path, 0, state("finished", "old", rmse=0.0))
    loop, _ = looped(tmp_path, {"bad": [(None, None)]})
    assert only(loop).status == "failed"


def test_a_point_that_began_and_was_interrupted_is_not_tried_again(tmp_path: Path) -> None:
    loop, workers = looped(tmp_path, {"1": [(state("running", "r1"), None)] * 3})
    assert only(loop).message == "it was interrupted"
    assert workers.tried == ["x=1"]


def test_job_folders_of_an_earlier_part_are_not_written_to(tmp_path: Path) -> None:
    for name in ("0", "7", "notes"):
        (tmp_path / name).mkdir()
    loop, _ = looped(tmp_path, {"1": [(state("finished", "r1"), None)]})
    loop.run()
    assert mailbox.read_state(tmp_path, 8) is not None
