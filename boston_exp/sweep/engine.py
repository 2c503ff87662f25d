"""One multirun: checks before it starts, points through any launcher, a parent run that holds the outcome."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from boston_exp import config as configuration
from boston_exp import tracking
from boston_exp.config import CONF, Config, Typed
from boston_exp.errors import Fault, InvalidConfig, Refused
from boston_exp.sweep import points as files
from boston_exp.sweep.points import State, Task
from boston_exp.sweep.screen import Screen
from boston_exp.tracking import destination as destinations
from boston_exp.tracking.protocol import SweepPlan

if TYPE_CHECKING:
    from boston_exp.sweep.plugins import _Extended

POLL = 0.05  # seconds between looks at what the workers have said
PATIENCE = 5.0  # seconds for workers to close their runs when they are told to end


@dataclass(frozen=True)
class Point:
    """One combination of values: all overrides as the launcher takes them, and those that distinguish it."""

    overrides: tuple[str, ...]
    swept: tuple[tuple[str, str], ...]
    trial_id: int | None = None

    @staticmethod
    def of(overrides: Sequence[str], space: dict[str, Any], trial_id: int | None = None) -> Point:
        pairs = (override.partition("=")[::2] for override in overrides)
        return Point(tuple(overrides), tuple((key, value) for key, value in pairs if key in space), trial_id)

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


def check_space(space: dict[str, Override]) -> None:
    """Raise InvalidConfig for a range without values, which would be a sweep without points."""
    empty = []
    for key, override in space.items():
        try:
            values = list(override.sweep_string_iterator()) if override.is_discrete_sweep() else [""]
        except (ValueError, HydraException):
            values = []
        if not values:
            empty.append(Fault(f"{override.input_line} has no values.", f"python -m boston_exp.run -m … {key}=1,2,3"))
    if empty:
        raise InvalidConfig(*empty)


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
        self._launcher = sweeper.launcher
        self._in_process = isinstance(sweeper.launcher, BasicLauncher)
        self._target = str(self._master.hydra.launcher._target_)
        self._dir = Path(str(self._master.hydra.sweep.dir))
        self.kind = kind
        self.space = space
        self.total = total
        self.typed = Typed(tuple(first.overrides), Path(self._master.hydra.runtime.cwd))
        self.config = self._checked(first, last)
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
        cfg = self.compose(point)
        with open_dict(cfg):
            del cfg["hydra"]
        typed = Typed(tuple(point.overrides), self.typed.cwd)
        return cfg, configuration.parse(cfg, typed), typed

    def _checked(self, first: Point, last: Point) -> Config:
        """What is wrong with every point is refused now; what is wrong with one is that point's failure."""
        config = self.parsed(first)[1]
        self.destination = destinations.resolve(config, self.typed)
        everywhere = {fault.says for fault in configuration.faults(self.parsed(last)[1])}
        faults = [fault for fault in configuration.faults(config) if fault.says in everywhere]
        faults += [*destinations.faults(self.destination), *self._launcher_faults()]
        if faults:
            raise InvalidConfig(*faults)
        return config

    def _launcher_faults(self) -> Iterator[Fault]:
        """Workers of another machine would each see another file under the same name."""
        path = self.destination.sqlite_path
        if path is None:
            return
        mend = (
            "python -m boston_exp.run -m … tracking.uri=http://<host>:5000   (an MLflow server that all of them reach)"
        )
        if self._target.endswith("SlurmLauncher"):
            yield Fault(f"Slurm's workers are on other machines and cannot share the sqlite store {path}.", mend)
        if self._target.endswith("RayLauncher"):
            away = _ray_nodes_elsewhere(self._master.hydra.launcher.ray.init)
            if away:
                yield Fault(
                    f"Ray's nodes {', '.join(away)} are other machines and cannot share the sqlite store {path}.", mend
                )

    def _key(self) -> str:
        """The same for the same sweep of the same data by the same code, in whatever part of it."""
        from boston_exp.experiment import data, provenance
        from boston_exp.storage import dvc_remote

        if self.config.data.path is not None:
            dvc_remote.fetch_if_missing(Path(self.config.data.path), self.config.storage.dvc_remote)
        dataset = data.load(self.config)
        confs = b"".join(file.read_bytes() for file in sorted(CONF.rglob("*.yaml")))
        base = provenance.fingerprint(self.config, dataset.md5)
        space = sorted(str(override.input_line) for override in self.space.values())
        return _digest(self.kind, base, hashlib.sha256(confs).hexdigest(), *space)

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
        fixed = [each for each in self.typed.overrides if each.partition("=")[0] not in self.space]
        plan = SweepPlan(
            self.key,
            name=f"{self.kind} over {', '.join(key.removeprefix('model.') for key in self.space) or 'nothing'}",
            params={**params, "sweep.kind": self.kind, "sweep.fixed": " ".join(fixed), "objective": objective},
            tags={"dataset": self.config.data.name, "mlflow.source.name": "boston_exp.run"},
        )
        with ExitStack() as stack:
            self.parent = stack.enter_context(tracker.sweep(plan))
            self.screen = stack.enter_context(Screen(self))
            self._stack = stack.pop_all()
        skip = self.config.skip_finished is not False
        self._earlier = self.parent.finished_points() if skip and not self._data_is_swept() else {}
        return self

    def _data_is_swept(self) -> bool:
        """The md5 in the key is then of one table only; `run` itself looks up what is done, point by point."""
        return any(key.partition(".")[0] == "data" for key in self.space)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> bool:
        if kind is None or issubclass(kind, _Stopped):
            from boston_exp.sweep import outcome

            with suppress(StoppedEarly), self._stack:
                self.screen.close()
                outcome.record(self)
                if kind is not None:
                    raise StoppedEarly(f"{self._failed} points failed, and max_failures={self.config.max_failures}")
            outcome.show(self)
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
        before = len(self.results)
        todo = []
        for point in points:
            done = self._earlier.get(keys[point])
            if done is None:
                todo.append(point)
            else:
                self._take(Result(point, keys[point], "reused", done.run_id, done.metrics))
        tries = dict.fromkeys(todo, 0)
        while todo:
            chunk = todo[: self._chunk()]
            error = self._launch(chunk)
            ended = {result.point for result in self.results[before:]}
            for point in chunk:
                if point not in ended:
                    tries[point] += 1
                    self._fail_if_hopeless(point, keys[point], tries[point], error)
            ended = {result.point for result in self.results[before:]}
            todo = [point for point in todo if point not in ended]

    def _fail_if_hopeless(self, point: Point, key: str, tries: int, error: BaseException | None) -> None:
        """A point that the launcher came back without: its configuration does not compose, or it was lost twice."""
        try:
            self.compose(point)
        except (HydraException, OmegaConfBaseException) as refused:
            cause = refused.__cause__ or refused
            self._take(Result(point, key, "failed", None, {}, f"{refused} {cause}".replace("\n", " ")))
            return
        if tries > 1:
            said = f"{type(error).__name__}: {error}" if error else "its worker ended before it began"
            self._take(Result(point, key, "failed", None, {}, said))

    def _chunk(self) -> int:
        """How many points a launcher gets at once.

        Launchers keep what every job returns, a megabyte of configuration each, until the last one is back. An array
        job of Slurm is worth more than that memory.
        """
        if self._in_process:
            return 1
        return sys.maxsize if "submitit" in self._target else 16 * self.workers

    @property
    def workers(self) -> int:
        """How many points run at once."""
        if self._in_process:
            return 1
        n_jobs = int(self._master.hydra.launcher.get("n_jobs", -1))
        return n_jobs if n_jobs > 0 else max(1, _cores() + 1 + n_jobs)

    def _launch(self, chunk: list[Point]) -> BaseException | None:
        """Hand a chunk to the launcher and take what its jobs say; gives what the launcher raised, if it did."""
        first, self._number = self._number, self._number + len(chunk)
        waiting = {first + offset: (point, self.point_key(point)) for offset, point in enumerate(chunk)}
        threads = None if self._in_process else max(1, _cores() // self.workers)
        for number, (point, key) in waiting.items():
            trial = None
            if self.prunable and point.trial_id is not None:
                trial = (self.study_name, point.trial_id, self.config.objective.metrics[0])
            task = Task(key, dict(point.swept), self.parent.run_id, os.getpid(), threads, trial)
            files.tell(self._dir, number, task)
        overrides = [list(point.overrides) for point in chunk]
        if self._in_process:
            with files.listening(lambda number, state: self._heard(waiting, number, state)):
                return _attempt(lambda: self._launcher.launch(overrides, initial_job_idx=first))
        self._preload()
        with _workers_ended() as launched:
            raised: list[BaseException | None] = []
            thread = threading.Thread(
                target=lambda: raised.append(_attempt(lambda: self._launcher.launch(overrides, initial_job_idx=first))),
                daemon=True,  # a pool that lost a worker waits for it for ever
            )
            thread.start()
            self._watch(waiting, thread)
            launched.clean = not thread.is_alive()
        return raised[0] if raised else None

    def _watch(self, waiting: dict[int, tuple[Point, str]], launching: threading.Thread) -> None:
        lost_at: float | None = None
        seen: dict[int, int] = {}
        while waiting:
            alive = launching.is_alive()
            heard = False
            for number, state in files.news(self._dir, waiting, seen):
                heard = True
                self._heard(waiting, number, state)
            for number in [number for number in waiting if number in seen]:
                last = files.ask(self._dir, number)
                if last and last.status == "running" and last.is_gone():
                    lost_at = time.monotonic()
                    message = "its worker was killed (out of memory?)"
                    self._heard(waiting, number, replace(last, status="failed", message=message))
            if not alive:
                return
            running = any(number in seen for number in waiting)
            if heard:
                lost_at = lost_at and time.monotonic()
            if lost_at and not running and time.monotonic() - lost_at > 4 * PATIENCE:
                return  # the launcher waits for a worker that is gone, and begins nothing new
            time.sleep(POLL)
        launching.join(PATIENCE)

    def _heard(self, waiting: dict[int, tuple[Point, str]], number: int, state: State) -> None:
        if state.status not in files.ENDED or number not in waiting:
            return
        point, key = waiting.pop(number)
        self._take(Result(point, key, state.status, state.run_id, state.metrics, state.message))

    def _take(self, result: Result) -> None:
        if result.status == "failed":
            self._failed += 1
            params = dict(result.point.swept)
            name = f"{self._master.hydra.runtime.choices.get('model', '')} {result.point.name}".strip()
            run_id = self.parent.fail(result.run_id, name, params, {"sweep.point": result.key}, result.message)
            result = Result(result.point, result.key, "failed", run_id, result.metrics, result.message)
        self.results.append(result)
        self._taken(result)
        self.screen.update(result)
        limit = self.config.max_failures
        if result.status == "failed" and limit is not None and self._failed >= limit:
            raise _Stopped

    def _preload(self) -> None:
        """A worker that is forked from here starts at once with what is imported and read here."""
        if self._master.hydra.launcher.get("backend") != "multiprocessing":
            return
        from boston_exp import record, summary  # noqa: F401
        from boston_exp.experiment import evaluation, models, provenance  # noqa: F401

        provenance.environment()
        provenance.code()
        with suppress(Refused):  # the first point may be a bad one
            models.build(self.config)
        if self.config.tracking.stores_model(in_sweep=True) and self.destination.backend == "mlflow":
            from boston_exp.tracking import mlflow_model  # noqa: F401
        if self.config.figures.draw:
            from boston_exp.experiment import figures  # noqa: F401

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


def _attempt(launch: Any) -> BaseException | None:
    try:
        launch()
    except Exception as error:  # whatever a launcher raises, the points that it did are not lost
        return error
    return None


@dataclass
class _Launched:
    clean: bool = False


@contextmanager
def _workers_ended() -> Iterator[_Launched]:
    """Leave no worker behind: told to end, given time to close their runs, then killed."""
    me = psutil.Process()
    before = set(me.children(recursive=True))
    launched = _Launched()
    try:
        yield launched
    finally:
        if not launched.clean:
            workers = [child for child in me.children(recursive=True) if child not in before]
            for worker in workers:
                _signal(worker.terminate)
            _, stubborn = psutil.wait_procs(workers, timeout=PATIENCE)
            for worker in stubborn:
                _signal(worker.kill)
            psutil.wait_procs(stubborn, timeout=PATIENCE)


def _signal(send: Any) -> None:
    try:
        send()
    except psutil.NoSuchProcess:
        return


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _first_free_number(folder: Path) -> int:
    """Job folders are numbered; those of an earlier part are never written to again."""
    taken = [int(entry.name) for entry in folder.iterdir() if entry.name.isdigit()] if folder.is_dir() else []
    return max(taken, default=-1) + 1


def _ray_nodes_elsewhere(init: DictConfig) -> list[str]:
    """Addresses of a Ray cluster's nodes that are not this machine; a cluster of its own making has none."""
    if not init.get("address"):
        return []
    import ray

    if not ray.is_initialized():
        ray.init(**OmegaConf.to_container(init, resolve=True))  # type: ignore[arg-type]
    own = {address.address for addresses in psutil.net_if_addrs().values() for address in addresses}
    return sorted(
        {
            node["NodeManagerAddress"]
            for node in ray.nodes()  # type: ignore[no-untyped-call]
            if node["Alive"]
        }
        - own
    )
