"""The loop of a sweep: points go to workers one by one, results come back, whatever becomes of each."""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Mapping
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, replace

from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from boston_exp.errors import Detached
from boston_exp.reporting.markdown import escaped
from boston_exp.signals import obey
from boston_exp.sweep import mailbox
from boston_exp.sweep.composing import Composer
from boston_exp.sweep.ending import Ending, TimeIsUp
from boston_exp.sweep.launched import WorkerLostError
from boston_exp.sweep.mailbox import State, Task
from boston_exp.sweep.plan import ENDED, Assignment, Point, Result, point_key
from boston_exp.sweep.scores import Scores
from boston_exp.sweep.screen import Screen
from boston_exp.sweep.search import Search
from boston_exp.sweep.workers import Workers
from boston_exp.tracking.protocol import Failure, Finished, SweepRecording

LOST = "its worker was killed (out of memory?)"
TRIES = 3  # of a point whose worker ended before it began


class MaxFailuresError(Exception):
    """`max_failures` points have failed; the sweep ends here."""


@dataclass(frozen=True)
class _Running:
    """A point that a worker has."""

    point: Point
    began: float  # seconds of the monotonic clock
    known: int  # results that were there when it was asked for


class Loop:
    """Runs the points that a search asks for, and keeps their results in the order in which they ended.

    To its workers it is where the next point comes from (workers.Source).
    """

    def __init__(
        self,
        key: str,
        search: Search,
        composer: Composer,
        workers: Workers,
        parent: SweepRecording,
        screen: Screen,
        earlier: Mapping[str, Finished],
        ending: Ending,
        max_failures: int | None,
        asks_server: bool,
        experiment: str,
    ) -> None:
        self.results: list[Result] = []
        self.failed = 0  # points, in this part of the sweep
        self.hopeless: MaxFailuresError | None = None  # what ended the sweep, if too many of them failed
        self._key = key
        self._search = search
        self._composer = composer
        self._workers = workers
        self._parent = parent
        self._screen = screen
        self._earlier = earlier  # what earlier parts of the sweep have done, by the key of the point
        self._ending = ending
        self._max_failures = max_failures
        self._asks_server = asks_server
        self._experiment = experiment
        self._dir = composer.sweep_dir
        self._number = mailbox.first_free_number(self._dir)
        self._running: dict[int, _Running] = {}
        self._last: dict[int, Point] = {}  # of each job that has ended, until its worker asks for the next
        self._again: deque[Point] = deque()  # whose workers ended before they began
        self._tries: Counter[Point] = Counter()
        self._remembered: set[Point] = set()

    @property
    def deadline(self) -> float | None:
        """Seconds of the monotonic clock, when the workers have to leave their points."""
        return self._ending.deadline

    @property
    def left(self) -> list[int]:
        return list(self._running)

    def remember(self, result: Result) -> None:
        """Take the result of an earlier part of a search, which is not asked for again."""
        key = point_key(self._key, result.point)
        done = self._earlier.get(key)
        result = replace(result, key=key)
        if done:  # a study calls a trial failed whose run is finished, but has no score
            status = "reused" if result.status == "failed" else result.status
            result = replace(result, status=status, run_id=done.run_id, metrics=Scores(done.metrics))
        self.results.append(result)
        self._remembered.add(result.point)
        self._ending.take(result)
        self._screen.update(result)

    def take_up(self, left: Mapping[int, Point]) -> None:
        """Go on with points that an earlier part has left on the cluster, by their numbers; those that were told are
        remembered already."""
        for number, point in left.items():
            if point in self._remembered:
                mailbox.withdraw_task(self._dir, number)
            else:
                self._running[number] = _Running(point, time.monotonic(), len(self.results))

    def run(self) -> str:
        """Run points until the search asks for none any more, or something ends it; says what ended it early, if
        anything did.

        What is running when it is left is ended, and given back to the search; where workers leave it, it goes on.
        """
        try:
            with closing(self._workers.run(self)) as ended:  # left early, it ends the workers
                for number, error in ended:
                    self._ended(number, error)
        except TimeIsUp:
            pass
        except MaxFailuresError as error:
            self.hopeless = error
            self._workers.cancel()
            return str(error)
        except (Detached, KeyboardInterrupt):
            if self._workers.leaves:
                for running in self._running.values():
                    self._search.leave(running.point)
                self._running.clear()
            raise
        finally:
            for running in self._running.values():
                self._search.give_back(running.point)
        return self._ending.reason

    def next(self, after: int | None) -> Assignment | None:
        """The next job for a worker that is free, after the job of that number; None if there is none now."""
        last = self._last.get(after) if after is not None else None
        point, known = self._again.popleft() if self._again else self._asked(last), len(self.results)
        if point is None:
            return None
        if after is not None:
            self._last.pop(after, None)
        number, self._number = self._number, self._number + 1
        self._running[number] = _Running(point, time.monotonic(), known)
        mailbox.write_task(self._dir, number, self._task(point))
        self._screen.began(number, point)
        return number, list(point.overrides)

    def _asked(self, last: Point | None) -> Point | None:
        """What the search asks for next; what an earlier part has done is not run again."""
        while not self._ending.reason:
            point = self._search.ask(last)
            if point is None:
                return None
            key = point_key(self._key, point)
            done = self._earlier.get(key)
            if done is None:
                return point
            self._take(Result(point, key, "reused", done.run_id, done.metrics, known=len(self.results)))
        return None

    def _task(self, point: Point) -> Task:
        return Task(
            point_key(self._key, point),
            self._parent.run_id,
            self._workers.threads,
            mailbox.host(),
            self._search.trial_of(point),
            self._asks_server,
            self._experiment,
            tuple(name for name, _ in point.swept),
            self._ending.ends_at if self._workers.in_process else None,
            self._search.is_followed(point),
            point.overrides,
            point.trial,
        )

    def _ended(self, number: int, error: Exception | None) -> None:
        running = self._running[number]
        point = running.point
        self._tries[point] += 1
        result = self._result(point, mailbox.read_state(self._dir, number), error, self._tries[point])
        del self._running[number]
        if result is None:
            mailbox.withdraw_task(self._dir, number)
            self._again.append(point)
            return
        del self._tries[point]
        self._last[number] = point
        self._take(replace(result, seconds=time.monotonic() - running.began, known=running.known))
        if self._workers.leaves and result.status == "failed":  # the next command takes it again, with the run it has
            taken = self.results[-1]
            state = State(taken.status, os.getpid(), mailbox.host(), taken.run_id, {}, taken.message, taken.trace)
            mailbox.write_state(self._dir, number, state)
        if self._max_failures is not None and self.failed >= self._max_failures:
            raise MaxFailuresError(f"{self.failed} points failed, and max_failures={self._max_failures}")

    def _result(self, point: Point, state: State | None, error: Exception | None, tries: int) -> Result | None:
        """What became of a point that a worker is done with; None if it has to be tried again."""
        key = point_key(self._key, point)
        if state is not None and state.status in ENDED:
            return Result(point, key, state.status, state.run_id, state.metrics, state.message, state.trace)
        if state is not None:  # it had begun
            done = self._parent.finished(state.run_id) if state.run_id else None
            if done:  # killed after its run was closed, before it could say so
                return Result(point, key, "finished", done.run_id, done.metrics)
            lost = isinstance(error, BrokenProcessPool | WorkerLostError)
            return Result(point, key, "failed", state.run_id, {}, LOST if lost else str(error or "it was interrupted"))
        try:
            self._composer.compose(point)
        except (HydraException, OmegaConfBaseException) as refused:
            cause = refused.__cause__ or refused
            return Result(point, key, "failed", None, {}, f"{refused} {cause}".replace("\n", " "))
        if tries < TRIES:
            return None
        message = f"{type(error).__name__}: {error}" if error else "its worker ended before it began"
        return Result(point, key, "failed", None, {}, message)

    def _take(self, result: Result) -> None:
        result = replace(result, metrics=Scores(result.metrics))
        if result.status == "failed":
            self.failed += 1
            result = replace(result, run_id=self._parent.fail(result.run_id, self._failure(result)))
        self._parent.point_ended(result.run_id, result.status == "reused")
        self.results.append(result)
        self._search.tell(result)
        self._ending.take(result)
        self._screen.update(result)
        obey()

    def _failure(self, result: Result) -> Failure:
        name = self._composer.name_of(result.point)
        tags, overrides = {"sweep.point": result.key}, OmegaConf.to_yaml(list(result.point.overrides))
        story = f"**{escaped(name)}** failed: {escaped(result.message)}\n\n"
        story += f"Alone: `{result.point.command}`; error.txt has more."
        return Failure(name, dict(result.point.swept), tags, result.message, result.trace, overrides, story)
