"""The loop of a sweep: points go to workers, results come back, whatever becomes of each."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from boston_exp.reporting.markdown import escaped
from boston_exp.signals import obey
from boston_exp.sweep import mailbox
from boston_exp.sweep.composing import Composer
from boston_exp.sweep.launched import WorkerLostError
from boston_exp.sweep.mailbox import State, Task
from boston_exp.sweep.plan import ENDED, Assignment, Point, Result, point_key
from boston_exp.sweep.screen import Screen
from boston_exp.sweep.workers import Workers
from boston_exp.tracking.protocol import Failure, Finished, SweepRecording

LOST = "its worker was killed (out of memory?)"
TRIES = 3  # of a point whose worker ended before it began


class MaxFailuresError(Exception):
    """`max_failures` points have failed; the sweep ends here."""


class Loop:
    """Runs points and keeps their results, in the order in which they ended."""

    def __init__(
        self,
        key: str,
        composer: Composer,
        workers: Workers,
        parent: SweepRecording,
        screen: Screen,
        earlier: Mapping[str, Finished],
        max_failures: int | None,
        asks_server: bool,
        experiment: str,
    ) -> None:
        self.results: list[Result] = []
        self.failed = 0  # points, in this part of the sweep
        self._key = key
        self._composer = composer
        self._workers = workers
        self._parent = parent
        self._screen = screen
        self._earlier = earlier  # what earlier parts of the sweep have done, by the key of the point
        self._max_failures = max_failures
        self._asks_server = asks_server
        self._experiment = experiment
        self._dir = composer.sweep_dir
        self._number = _first_free_number(self._dir)

    def remember(self, point: Point, status: str, scores: dict[str, float], run_id: str | None, message: str) -> None:
        """Take the result of an earlier part of a search, which is not asked for again."""
        key = point_key(self._key, point)
        done = self._earlier.get(key)
        run_id, metrics = (done.run_id, done.metrics) if done else (run_id, scores)
        self.results.append(Result(point, key, status, run_id, metrics, message))
        self._screen.update(self.results[-1])

    def run(self, points: list[Point], trial_of: tuple[str, str] | None = None) -> Iterator[Result]:
        """Yield every point's result as soon as it is there; what an earlier part has done is not run again.

        `trial_of` names Optuna's study and the metric by which its trials can be pruned. Raises MaxFailuresError.
        """
        left: deque[Point] = deque()
        for point in points:
            key = point_key(self._key, point)
            done = self._earlier.get(key)
            if done is None:
                left.append(point)
            else:
                yield self._take(Result(point, key, "reused", done.run_id, done.metrics))
        tries: Counter[Point] = Counter()
        running: dict[int, Point] = {}

        def assignments() -> Iterator[Assignment]:
            while left:
                point = left.popleft()
                number, self._number = self._number, self._number + 1
                running[number] = point
                mailbox.write_task(self._dir, number, self._task(point, trial_of))
                yield number, list(point.overrides)

        while left:
            with closing(self._workers.run(assignments())) as ended:  # left early, it ends the workers
                for number, error in ended:
                    point = running.pop(number)
                    tries[point] += 1
                    result = self._result(point, mailbox.read_state(self._dir, number), error, tries[point])
                    if result is None:
                        left.append(point)
                    else:
                        yield self._take(result)
                        self._stop_if_hopeless()

    def _task(self, point: Point, trial_of: tuple[str, str] | None) -> Task:
        trial = None
        if trial_of and point.trial is not None:
            trial = (trial_of[0], point.trial, trial_of[1])
        key = point_key(self._key, point)
        return Task(
            key,
            self._parent.run_id,
            self._workers.threads,
            mailbox.host(),
            trial,
            self._asks_server,
            self._experiment,
            tuple(name for name, _ in point.swept),
        )

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

    def _take(self, result: Result) -> Result:
        if result.status == "failed":
            self.failed += 1
            name = self._composer.name_of(result.point)
            tags, overrides = {"sweep.point": result.key}, OmegaConf.to_yaml(list(result.point.overrides))
            params = dict(result.point.swept)
            story = f"**{escaped(name)}** failed: {escaped(result.message)}\n\n"
            story += f"Alone: `{result.point.command}`; error.txt has more."
            failure = Failure(name, params, tags, result.message, result.trace, overrides, story)
            result = replace(result, run_id=self._parent.fail(result.run_id, failure))
        self._parent.point_ended(result.run_id, result.status == "reused")
        self.results.append(result)
        self._screen.update(result)
        obey()
        return result

    def _stop_if_hopeless(self) -> None:
        """After the result was taken by whoever asked for it."""
        if self._max_failures is not None and self.failed >= self._max_failures:
            raise MaxFailuresError(f"{self.failed} points failed, and max_failures={self._max_failures}")


def _first_free_number(folder: Path) -> int:
    """Job folders are numbered; those of an earlier part are never written to again."""
    jobs = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    tasks = [file.stem for file in (folder / mailbox.FOLDER).glob("*.task")]
    return max((int(name) for name in [*jobs, *tasks] if name.isdigit()), default=-1) + 1
