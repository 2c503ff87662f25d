"""Workers on this machine: processes of a fork server, each behind a standard executor of its own.

No process forks while it has threads: the fork server is a process of its own, started before any thread, which has
imported what a point needs and runs none. A worker that is killed breaks its executor alone, at once: the executor
waits on the process's sentinel. https://docs.python.org/3/library/multiprocessing.html#contexts-and-start-methods
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing.process import BaseProcess

import cloudpickle

from boston_exp.signals import undisturbed
from boston_exp.sweep.ending import TimeIsUp
from boston_exp.sweep.plan import Assignment, Source
from boston_exp.sweep.runner import PointRunner

PRELOAD = "boston_exp.sweep.preload"
PATIENCE = 2.5  # seconds for a worker to close its run when it is told to end
TRIES = 5  # to start a worker, before what keeps it from starting is raised
# Its tracker takes sys.warnoptions over: what a sweep that was stopped leaves, it removes, and has no need to tell.
QUIET = "ignore:resource_tracker:UserWarning"
METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


# Libraries that would start a thread when they are imported: OpenBLAS its pool, pyarrow's jemalloc a background thread.
NO_THREADS = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}


def start_fork_server(more: Iterable[str] = ()) -> None:
    """Start the server, which imports PRELOAD and `more` modules while the main process imports its own.

    SIGINT is blocked in it and in its forks: Ctrl-C is the main process's to handle.
    """
    if METHOD != "forkserver":
        return
    from multiprocessing import forkserver, resource_tracker

    multiprocessing.set_forkserver_preload([PRELOAD, *more])
    sys.warnoptions.append(QUIET)
    try:
        resource_tracker.ensure_running()  # which unblocks SIGINT once it has started its process
    finally:
        sys.warnoptions.remove(QUIET)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    before = {name: os.environ.get(name) for name in NO_THREADS}
    os.environ.update(NO_THREADS)
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class Pool:
    """`count` workers that go from point to point; each is started when there is a point for it."""

    in_process = False
    leaves = False

    def __init__(self, runner: PointRunner, count: int, threads: int) -> None:
        self.count = count
        self.threads = threads
        self._context = multiprocessing.get_context(METHOD)
        self._runner = cloudpickle.dumps(runner)
        self._before = set(multiprocessing.active_children())
        self._idle: list[tuple[ProcessPoolExecutor, int | None]] = []  # each with the job that it had last
        self._unused = count  # executors that no point has needed yet

    def run(self, source: Source) -> Generator[tuple[int, Exception | None]]:
        """Run the points; yields each number as it ends, with what its worker died of, if it did.

        Left early, or at the source's deadline, it ends the workers, which close their runs.
        """
        running: dict[Future[None], tuple[int, ProcessPoolExecutor]] = {}
        try:
            while True:
                while (self._idle or self._unused) and (job := source.next(self._idle[-1][1] if self._idle else None)):
                    future, executor = self._submitted(self._free_executor(), job)
                    running[future] = (job[0], executor)
                if not running:
                    return
                left = None if source.deadline is None else max(0.0, source.deadline - time.monotonic())
                done, _ = wait(running, left, return_when=FIRST_COMPLETED)
                if not done:
                    raise TimeIsUp
                for future in done:
                    number, executor = running.pop(future)
                    error = future.exception()
                    if isinstance(error, BrokenProcessPool):
                        executor, last = self._executor(), None
                    else:
                        last = number
                    self._idle.append((executor, last))
                    yield number, error if isinstance(error, Exception) else None
        except BaseException:
            self._end([executor for _, executor in running.values()])
            raise

    def cancel(self) -> None: ...

    def close(self) -> None:
        """End the workers, which have nothing to do any more."""
        self._end([])

    def _free_executor(self) -> ProcessPoolExecutor:
        if self._idle:
            return self._idle.pop()[0]
        self._unused -= 1
        return self._executor()

    def _executor(self) -> ProcessPoolExecutor:
        given = (self._runner, dict(os.environ))
        return ProcessPoolExecutor(1, mp_context=self._context, initializer=_start_worker, initargs=given)

    def _submitted(self, executor: ProcessPoolExecutor, job: Assignment) -> tuple[Future[None], ProcessPoolExecutor]:
        """The future of a job, and the executor that has it.

        A new executor if the worker was killed while it was idle (BrokenProcessPool), or while it was sent what it
        needs to start (a broken pipe).
        """
        for _ in range(TRIES):
            with suppress(BrokenProcessPool, ConnectionError, EOFError):
                return executor.submit(_run_point, *job), executor
            executor.shutdown(wait=False, cancel_futures=True)
            executor = self._executor()
        return executor.submit(_run_point, *job), executor

    def _end(self, busy: list[ProcessPoolExecutor]) -> None:
        """Let idle workers go, terminate all of them if some have a point, kill what is left after PATIENCE."""
        mine = [child for child in multiprocessing.active_children() if child not in self._before]
        with undisturbed():
            for executor in [*busy, *(executor for executor, _ in self._idle)]:
                executor.shutdown(wait=False, cancel_futures=True)
            self._idle = []
            for worker in mine if busy else []:
                worker.terminate()
            _join(mine)
            for worker in mine:
                if worker.is_alive():
                    worker.kill()
            _join(mine)


def _join(workers: list[BaseProcess]) -> None:
    deadline = time.monotonic() + PATIENCE
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))


# -- in a worker -----------------------------------------------------------------------------------------------------

_runner: list[PointRunner] = []


def _start_worker(runner: bytes, environment: dict[str, str]) -> None:
    """Take over the main process's environment; end with it."""
    os.environ.clear()
    os.environ.update(environment)
    if sys.platform != "win32":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_main, name="end-with-main", daemon=True).start()
    _runner[:] = [cloudpickle.loads(runner)]


def _end_with_main() -> None:
    """End this worker once the main process is gone: nobody is left to take its result. Its run is closed as KILLED."""
    main = multiprocessing.parent_process()
    if main is not None:
        main.join()
        with suppress(ProcessLookupError):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(PATIENCE)
            os.kill(os.getpid(), signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)


def _run_point(number: int, overrides: list[str]) -> None:
    _runner[0].run(number, overrides)
