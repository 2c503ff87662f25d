"""One multirun: checks before it starts, points through any launcher, a parent run that holds the outcome."""

from __future__ import annotations

import copy
import hashlib
import os
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from boston_exp import checks, garbage, tracking
from boston_exp import config as configuration
from boston_exp.config import Config
from boston_exp.errors import Fault, InvalidConfig, Refused
from boston_exp.settings import Typed
from boston_exp.sweep import points as files
from boston_exp.sweep.points import State, Task
from boston_exp.sweep.screen import Screen
from boston_exp.sweep.workers import Workers, ray_nodes_elsewhere
from boston_exp.tracking import destination as destinations
from boston_exp.tracking.protocol import SweepPlan

if TYPE_CHECKING:
    from boston_exp.sweep.plugins import _Extended


@dataclass(frozen=True)
class Point:
    """One combination of values: all overrides as the launcher takes them, and those that distinguish it."""

    overrides: tuple[str, ...]
    swept: tuple[tuple[str, str], ...]
    trial_id: int | None = None

    @staticmethod
    def of(overrides: Sequence[str], space: dict[str, Any], trial_id: int | None = None) -> Point:
        names = {name_of(key) for key in space}
        pairs = ((name_of(key), value) for key, _, value in (override.partition("=") for override in overrides))
        return Point(tuple(overrides), tuple((name, value) for name, value in pairs if name in names), trial_id)

    @property
    def name(self) -> str:
        return " ".join(f"{key.removeprefix('model.')}={value}" for key, value in self.swept) or "the only point"


@dataclass(frozen=True)
class Result:
    """How a point ended: finished, reused, pruned or failed."""

    point: Point
    key: str
    status: str
    run_id: str | None
    metrics: dict[str, float]
    message: str = ""


class _Stopped(BaseException):
    """max_failures is reached: leaves the launcher, whatever it is doing."""


def name_of(key: str) -> str:
    """Of the parameter that an override sets: `+model.ccp_alpha` adds model.ccp_alpha."""
    return key.lstrip("+")


def values(space: dict[str, Override]) -> list[list[str]]:
    """Every value of every parameter, as an override.

    Raises InvalidConfig for a range without values, which would be a sweep without points, or with no end of them.
    """
    found: list[list[str]] = []
    faults: list[Fault] = []
    for key, override in space.items():
        found.append([])
        if not override.is_discrete_sweep():
            optuna = f"python -m boston_exp.run -m hydra/sweeper=optuna '{override.input_line}'"
            faults.append(Fault(f"{override.input_line} has no end of values for a grid.", optuna))
            continue
        with suppress(ValueError, HydraException):
            found[-1] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        if not found[-1]:
            faults.append(Fault(f"{override.input_line} has no values.", f"python -m boston_exp.run -m … {key}=1,2,3"))
    if faults:
        raise InvalidConfig(*faults)
    return found


class Sweep:
    """Entered, it has been checked and its parent run is open; left, the parent holds what came of it."""

    def __init__(
        self, sweeper: _Extended, kind: str, space: dict[str, Override], first: Point, last: Point, total: int
    ) -> None:
        assert sweeper.config is not None
        assert sweeper.hydra_context is not None
        assert sweeper.launcher is not None
        self._master = sweeper.config
        self._loader = sweeper.hydra_context.config_loader
        self.workers = Workers(sweeper.launcher, self._master.hydra.launcher)
        self._loader.one_at_a_time = self.workers.in_process or self.workers.forks
        self._dir = Path(str(self._master.hydra.sweep.dir))
        self.kind = kind
        self.space = {name_of(key): override for key, override in space.items()}
        self.total = total
        self.typed = Typed(tuple(first.overrides), Path(self._master.hydra.runtime.cwd))
        self.config = self._checked(first, last)
        self._first = first
        self._warm = False
        self.results: list[Result] = []
        self.study_name = ""  # of Optuna's
        self.prunable = False
        self._failed = 0
        self.importances: dict[str, float] = {}  # of the parameters, where a search can tell
        self._number = _first_free_number(self._dir)
        self.key = self._key()

    # -- before anything starts ---------------------------------------------------------------------------------

    def compose(self, point: Point) -> DictConfig:
        """The whole configuration of a point, hydra's part included."""
        return self._loader.load_sweep_config(self._master, list(point.overrides))

    def parsed(self, point: Point) -> tuple[DictConfig, Config, Typed]:
        cfg = copy.deepcopy(self.compose(point))
        with read_write(cfg), open_dict(cfg):
            del cfg["hydra"]
        typed = Typed(tuple(point.overrides), self.typed.cwd)
        return cfg, configuration.parse(cfg, typed), typed

    def _checked(self, first: Point, last: Point) -> Config:
        """What is wrong with every point is refused now; what is wrong with one is that point's failure."""
        config = self.parsed(first)[1]
        self.destination = destinations.resolve(config, self.typed)
        everywhere = {fault.says for fault in checks.faults(self.parsed(last)[1])}
        faults = [fault for fault in checks.faults(config) if fault.says in everywhere]
        faults += [*destinations.faults(self.destination), *self._launcher_faults()]
        if faults:
            raise InvalidConfig(*faults)
        return config

    def _launcher_faults(self) -> Iterator[Fault]:
        """Workers of another machine would each see another file under the same name.

        With a server they keep a store of their own and publish what is in it.
        """
        path = self.destination.sqlite_path
        if path is None or self.destination.server:
            return
        mend = (
            "python -m boston_exp.run -m … tracking.uri=http://<host>:5000   (an MLflow server that all of them reach)"
        )
        if self.workers.target.endswith("SlurmLauncher"):
            yield Fault(f"Slurm's workers are on other machines and cannot share the sqlite store {path}.", mend)
        if self.workers.target.endswith("RayLauncher"):
            away = ray_nodes_elsewhere(self.workers.settings.ray.init)
            if away:
                yield Fault(
                    f"Ray's nodes {', '.join(away)} are other machines and cannot share the sqlite store {path}.", mend
                )

    def _key(self) -> str:
        """Identifies the sweep, so that the same command continues it: what decides its results, its ranges, its aim.

        Taken from the composed configuration: a file of conf/ that this sweep does not use changes nothing.
        """
        from boston_exp.experiment import data, provenance
        from boston_exp.storage import dvc_remote

        if self.config.data.path is not None:
            dvc_remote.fetch_if_missing(Path(self.config.data.path), self.config.storage, self.typed)
        dataset = data.load(self.config)
        base = provenance.fingerprint(self.config, dataset.md5)
        space = sorted(str(override.input_line) for override in self.space.values())
        return _digest(self.kind, base, *self.config.objective.metrics, *space)

    def point_key(self, point: Point) -> str:
        return _digest(self.key, *(f"{name}={value}" for name, value in sorted(point.swept)))

    # -- its life -----------------------------------------------------------------------------------------------

    def __enter__(self) -> Sweep:
        tracker = tracking.open_tracker(self.destination)
        objective = " ".join(
            f"{direction} {metric}"
            for metric, direction in zip(self.config.objective.metrics, self.config.objective.directions, strict=True)
        )
        params = {key: str(override.input_line).partition("=")[2] for key, override in self.space.items()}
        fixed = [each for each in self.typed.overrides if name_of(each.partition("=")[0]) not in self.space]
        plan = SweepPlan(
            self.key,
            name=f"{self.kind} over {', '.join(key.removeprefix('model.') for key in self.space) or 'nothing'}",
            params={**params, "sweep.kind": self.kind, "sweep.fixed": " ".join(fixed), "objective": objective},
            tags={"dataset": self.config.data.name, "mlflow.source.name": "boston_exp.run"},
        )
        with ExitStack() as stack:
            self.parent = stack.enter_context(tracker.sweep(plan))
            self.screen = stack.enter_context(Screen(self))
            skip = self.config.skip_finished is not False
            self._earlier = self.parent.finished_points() if skip and not self._data_is_swept() else {}
            self._stack = stack.pop_all()
        return self

    def _data_is_swept(self) -> bool:
        """The md5 in the key is then of one table only; `run` itself looks up what is done, point by point."""
        return any(key.partition(".")[0] == "data" for key in self.space)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> bool:
        if kind is None or issubclass(kind, _Stopped):
            from boston_exp.sweep import outcome

            with suppress(StoppedEarly), self._stack:
                self.screen.close()
                try:
                    table = outcome.record(self)
                except KeyboardInterrupt:
                    self.screen.interrupted()
                    raise
                if kind is not None:
                    raise StoppedEarly(f"{self._failed} points failed, and max_failures={self.config.max_failures}")
            outcome.show(self, table)
            return True
        if issubclass(kind, KeyboardInterrupt):
            self.screen.interrupted()
        return bool(self._stack.__exit__(kind, error, trace))

    def exit(self) -> None:
        """Exit code 1 if a point failed, after everything has been said."""
        if self._failed:
            sys.exit(1)

    # -- points -------------------------------------------------------------------------------------------------

    def remember(self, point: Point, status: str, scores: dict[str, float], run_id: str | None, message: str) -> None:
        """Take the result of an earlier part that is not to be asked for again."""
        key = self.point_key(point)
        done = self._earlier.get(key)
        self.results.append(
            Result(point, key, status, done.run_id if done else run_id, done.metrics if done else scores, message)
        )
        self.screen.update(self.results[-1])

    def run(self, points: list[Point], taken: Callable[[Result], None] = lambda result: None) -> None:
        """All of them, whatever becomes of each; those that an earlier part has done are not run again.

        `taken` hears of every result as soon as it is there.
        """
        self._taken = taken
        keys = {point: self.point_key(point) for point in points}
        self._ended: set[Point] = set()
        todo: deque[Point] = deque()
        for point in points:
            done = self._earlier.get(keys[point])
            if done is None:
                todo.append(point)
            else:
                self._take(Result(point, keys[point], "reused", done.run_id, done.metrics))
        tries: Counter[Point] = Counter()
        suspects: list[Point] = []  # were running when a pool of workers broke down: one of them did it
        while todo or suspects:
            chunk = (
                [suspects.pop(0)] if suspects else [todo.popleft() for _ in range(min(len(todo), self.workers.chunk))]
            )
            error, lost = self._launch(chunk)
            for point in [point for point in chunk if point not in self._ended]:
                tries[point] += 1
                if point not in lost:
                    self._fail_if_hopeless(point, keys[point], tries[point], error)
                elif len(lost) == 1:
                    self._take(Result(point, keys[point], "failed", lost[point], {}, files.LOST))
                else:
                    suspects.append(point)
                    continue
                if point not in self._ended:
                    todo.append(point)

    def _fail_if_hopeless(self, point: Point, key: str, tries: int, error: Exception | None) -> None:
        """A point that the launcher came back without: its configuration does not compose, or it was lost twice."""
        try:
            self.compose(point)
        except (HydraException, OmegaConfBaseException) as refused:
            cause = refused.__cause__ or refused
            self._take(Result(point, key, "failed", None, {}, f"{refused} {cause}".replace("\n", " ")))
            return
        if tries > 2:
            said = f"{type(error).__name__}: {error}" if error else "its worker ended before it began"
            self._take(Result(point, key, "failed", None, {}, said))

    def _launch(self, chunk: list[Point]) -> tuple[Exception | None, dict[Point, str | None]]:
        """Hand a chunk to the launcher and take what its jobs say; gives what it raised, and who lost a worker."""
        first, self._number = self._number, self._number + len(chunk)
        keys = [self.point_key(point) for point in chunk]
        for offset, (point, key) in enumerate(zip(chunk, keys, strict=True)):
            trial = None
            if self.prunable and point.trial_id is not None:
                trial = (self.study_name, point.trial_id, self.config.objective.metrics[0])
            task = Task(
                key,
                self.parent.run_id,
                os.getpid(),
                self.workers.threads,
                files.host(),
                trial,
                self.parent.server_answers,
            )
            files.tell(self._dir, first + offset, task)

        def heard(number: int, state: State) -> None:
            point, key = chunk[number - first], keys[number - first]
            self._take(Result(point, key, state.status, state.run_id, state.metrics, state.message))
            if self.workers.may_import and self.config.tracking.log_model in (None, "best"):
                with suppress(Exception):  # it will be told when the model is stored
                    self.parent.get_ready()

        if self.workers.forks and not self._warm:
            self._preload()
            self._warm = True
        garbage.collect()  # what is here by now is looked at in no fork: that would copy its memory
        error, lost = self.workers.launch(self._dir, first, [list(point.overrides) for point in chunk], heard)
        return error, {chunk[number - first]: run_id for number, run_id in lost.items()}

    def _take(self, result: Result) -> None:
        if result.status == "failed":
            self._failed += 1
            params = dict(result.point.swept)
            name = f"{self._master.hydra.runtime.choices.get('model', '')} {result.point.name}".strip()
            run_id = self.parent.fail(result.run_id, name, params, {"sweep.point": result.key}, result.message)
            result = Result(result.point, result.key, "failed", run_id, result.metrics, result.message)
        if result.status != "reused":
            self.parent.took(result.run_id)
        self.results.append(result)
        self._ended.add(result.point)
        self._taken(result)
        self.screen.update(result)
        limit = self.config.max_failures
        if result.status == "failed" and limit is not None and self._failed >= limit:
            raise _Stopped

    def _preload(self) -> None:
        """A worker that is forked from here starts warm: with what is imported, read and first used here.

        The evaluation runs once, on a model that is nothing: no library that keeps threads may run before a fork.
        """
        from sklearn.dummy import DummyRegressor

        from boston_exp import record, summary  # noqa: F401
        from boston_exp.experiment import data, evaluation, models

        if self.config.tracking.stores_model(in_sweep=True) and self.destination.backend == "mlflow":
            from boston_exp.tracking import mlflow_model  # noqa: F401
        cfg, config, typed = self.parsed(self._first)
        with suppress(Refused):  # the first point may be a bad one
            models.build(config)
            dataset = data.load(config)
            rows = data.split(dataset, config.data.test_size, config.seed)
            once = replace(config.evaluation, n_splits=0)
            nothing = evaluation.evaluate(DummyRegressor(), rows, once, config.seed, dataset.unit)
            with record.outcome(cfg, typed, config, dataset, rows, nothing, "", store_model=False):
                pass
        files.watch_forks()

    # -- what came of it ----------------------------------------------------------------------------------------

    def best(self) -> Result | None:
        """The best point by the (first) objective."""
        metric, sign = self.config.objective.metrics[0], self._sign()
        done = [
            result for result in self.results if metric in result.metrics and result.status in ("finished", "reused")
        ]
        return min(done, key=lambda result: sign * result.metrics[metric], default=None)

    def _sign(self) -> int:
        return -1 if self.config.objective.directions[0] == "maximize" else 1

    def count(self, status: str) -> int:
        return sum(result.status == status for result in self.results)


class StoppedEarly(Exception):
    """max_failures was reached; the parent run is FAILED."""


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _first_free_number(folder: Path) -> int:
    """Job folders are numbered; those of an earlier part are never written to again."""
    taken = [int(entry.name) for entry in folder.iterdir() if entry.name.isdigit()] if folder.is_dir() else []
    return max(taken, default=-1) + 1
