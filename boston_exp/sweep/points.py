"""How the main process and its jobs talk: two small files per point in the sweep's folder.

Every launcher has that folder in common, whatever its workers are (this process, forks, Ray, Slurm), and a file tells
how a point ended even if the worker that wrote it is gone a moment later.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Container, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import psutil
from hydra.conf import HydraConf
from hydra.types import RunMode

from boston_exp.errors import Pruned, terminable

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

FOLDER = ".points"
PATIENCE = 2.5  # seconds for a worker to close its run when it is told to end
LOST = "its worker was killed (out of memory?)"
ENDED = ("finished", "reused", "pruned", "failed")


@dataclass(frozen=True)
class Task:
    """What a job is told."""

    key: str  # of the point, the same in every part of a sweep
    parent_run_id: str | None
    main_pid: int
    threads: int | None  # at most so many inside of the job; None leaves the libraries alone
    main_host: str
    trial: tuple[str, int, str] | None = None  # Optuna's study, id and metric, where the trial can be pruned
    asks_server: bool = False  # for what is done already


@dataclass(frozen=True)
class State:
    """What a job says of itself."""

    status: str  # running, or one of ENDED
    pid: int
    host: str
    run_id: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    message: str = ""

    def is_gone(self) -> bool:
        """Whether the process that said this has ended; of another host nobody here can tell."""
        if self.host != socket.gethostname():
            return False
        try:
            return psutil.Process(self.pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True


_listener: Callable[[int, State], None] | None = None


@contextmanager
def listening(heard: Callable[[int, State], None]) -> Iterator[None]:
    """Jobs of this very process call `heard` at once; what it raises leaves the job and its launcher."""
    global _listener
    _listener = heard
    try:
        yield
    finally:
        _listener = None


def lost(sweep_dir: Path, number: int) -> State | None:
    """The last that was heard of a point whose worker was killed before it could say how the point ended."""
    last = ask(sweep_dir, number)
    if last is None or last.status != "running" or not last.is_gone():
        return None
    last = ask(sweep_dir, number)  # it may have ended well between the look at its file and the look at its process
    return last if last is not None and last.status == "running" else None


def news(sweep_dir: Path, numbers: Container[int], seen: dict[int, int]) -> Iterator[tuple[int, State]]:
    """What jobs have said since the last look; `seen` remembers when that was."""
    folder = sweep_dir / FOLDER
    for entry in list(os.scandir(folder)) if folder.is_dir() else []:
        if not entry.name.endswith(".state"):
            continue
        number, changed = int(entry.name.partition(".")[0]), entry.stat().st_mtime_ns
        if number in numbers and seen.get(number) != changed:
            seen[number] = changed
            state = ask(sweep_dir, number)
            if state:
                yield number, state


def tell(sweep_dir: Path, number: int, task: Task) -> None:
    _write(sweep_dir / FOLDER / f"{number}.task", asdict(task))


def withdraw(sweep_dir: Path, number: int) -> None:
    """Whoever still has this point in a queue is not to begin it."""
    (sweep_dir / FOLDER / f"{number}.task").unlink(missing_ok=True)


def ask(sweep_dir: Path, number: int) -> State | None:
    """The latest that the job said, or None if it has not begun."""
    try:
        return State(**json.loads((sweep_dir / FOLDER / f"{number}.state").read_text()))
    except FileNotFoundError:
        return None


def host() -> str:
    """This machine's name."""
    return socket.gethostname()


def _write(file: Path, content: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(f"{file.suffix}.{os.getpid()}")
    unfinished.write_text(json.dumps(content))
    unfinished.replace(file)  # a reader never sees half of it


class Job(Protocol):
    """What `run` knows of the sweep around it, if there is one."""

    in_sweep: bool
    asks_server: bool
    away: bool  # on another machine than the main process: what it records, it publishes itself
    tags: dict[str, str]

    def began(self, run_id: str | None) -> None: ...

    def reached(self, fold: int, metrics: dict[str, float]) -> None:
        """Raises Pruned if going on is not worth it."""

    def ended(self, run_id: str | None, metrics: dict[str, float], reused: bool) -> None: ...


class Alone:
    """A single run: nobody listens."""

    in_sweep = False
    asks_server = False
    away = False
    tags: dict[str, str] = {}  # noqa: RUF012 (never changed)

    def began(self, run_id: str | None) -> None: ...

    def reached(self, fold: int, metrics: dict[str, float]) -> None: ...

    def ended(self, run_id: str | None, metrics: dict[str, float], reused: bool) -> None: ...


class InSweep:
    """One point of a sweep."""

    in_sweep = True

    def __init__(self, file: Path, task: Task, should_prune: Callable[[int, dict[str, float]], bool]) -> None:
        self._file = file
        self._should_prune = should_prune
        self._run_id: str | None = None
        self.away = task.main_host != host()
        self.asks_server = task.asks_server
        self.tags = {"sweep.point": task.key}
        if task.parent_run_id:
            self.tags["mlflow.parentRunId"] = task.parent_run_id

    def say(
        self, status: str, run_id: str | None = None, metrics: dict[str, float] | None = None, message: str = ""
    ) -> None:
        self._run_id = run_id or self._run_id
        state = State(status, os.getpid(), socket.gethostname(), self._run_id, metrics or {}, message)
        _write(self._file, asdict(state))
        if _listener:
            _listener(int(self._file.stem), state)

    def began(self, run_id: str | None) -> None:
        self.say("running", run_id)

    def reached(self, fold: int, metrics: dict[str, float]) -> None:
        if self._should_prune(fold, metrics):
            raise Pruned(f"pruned after fold {fold}: clearly worse than the others so far")

    def ended(self, run_id: str | None, metrics: dict[str, float], reused: bool) -> None:
        self.say("reused" if reused else "finished", run_id, metrics)


@contextmanager
def job(hydra_config: HydraConf) -> Iterator[Job]:
    """The job that this configuration belongs to; how it ends is told to the main process of the sweep."""
    file = Path(hydra_config.sweep.dir) / FOLDER / f"{hydra_config.job.get('num')}.task"
    if hydra_config.mode != RunMode.MULTIRUN or not file.parent.exists():
        yield Alone()
        return
    if not file.exists():
        raise RuntimeError("this point was withdrawn: the main process gave up on the launcher that has it")
    task = Task(**json.loads(file.read_text()))
    current = InSweep(file.with_suffix(".state"), task, _pruner(hydra_config, task))
    end_with(task.main_pid)
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        stack.enter_context(terminable())
        if task.threads is not None:
            stack.enter_context(_at_most(task.threads))
        current.say("running")
        try:
            yield current
        except Pruned as pruned:
            current.say("pruned", message=str(pruned))
            raise
        except Exception as error:
            current.say("failed", message=f"{type(error).__name__}: {error}")
            raise


@contextmanager
def _quiet() -> Iterator[None]:
    """The main process has the screen; a job's own log file gets everything."""
    root = logging.getLogger()
    screens = [each for each in root.handlers if type(each) is logging.StreamHandler]
    for screen in screens:
        root.removeHandler(screen)
    try:
        yield
    finally:
        for screen in screens:
            root.addHandler(screen)


def end_with(main_pid: int) -> None:
    """End this worker once the main process is gone: nobody is left to take its result, or to give it another job.

    A job is ended tidily, its run closed as KILLED; a worker without one just ends. Does nothing in the main
    process, nor in a worker that somebody else looks after (Ray, Slurm).
    """
    if os.getppid() != main_pid or _watching:
        return

    def watch() -> None:
        while os.getppid() == main_pid:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(PATIENCE)
        os.kill(os.getpid(), signal.SIGKILL)

    _watching.append(True)
    threading.Thread(target=watch, name="end-with-main", daemon=True).start()


_watching: list[bool] = []


def watch_forks() -> None:
    """From here on every fork of this process ends with it, whether it gets a job or not."""
    _thread_pools()
    os.register_at_fork(after_in_child=lambda: end_with(os.getppid()))


@contextmanager
def _at_most(threads: int) -> Iterator[None]:
    """No library starts more threads than this worker's share of the cores."""
    from joblib import parallel_config

    before = os.environ.get("LOKY_MAX_CPU_COUNT")
    os.environ["LOKY_MAX_CPU_COUNT"] = str(threads)  # what n_jobs=-1 comes to
    try:
        with _thread_pools().limit(limits=threads), parallel_config(n_jobs=1):
            yield
    finally:
        if before is None:
            del os.environ["LOKY_MAX_CPU_COUNT"]
        else:
            os.environ["LOKY_MAX_CPU_COUNT"] = before


@cache
def _thread_pools() -> ThreadpoolController:
    """The libraries that keep threads; finding them takes 0.02 s, which a fork takes over from its parent."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _pruner(hydra_config: HydraConf, task: Task) -> Callable[[int, dict[str, float]], bool]:
    if task.trial is None:
        return lambda fold, metrics: False
    from boston_exp.sweep.study import reporter

    return reporter(hydra_config, *task.trial)


abandoned: list[bool] = []


def leave(code: int) -> None:
    """End the process if a launcher was left behind: its pool would wait at exit for workers that are gone."""
    if abandoned:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
