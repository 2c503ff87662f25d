"""Who runs the points: this process, a pool on this machine, or one of Hydra's launchers for a cluster."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any, Protocol

from hydra.core.utils import configure_log
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from boston_exp.config.invocation import again
from boston_exp.errors import Fault, Kind
from boston_exp.sweep.launched import Launched
from boston_exp.sweep.mailbox import sweep_dir_of
from boston_exp.sweep.plan import Source
from boston_exp.sweep.pool import Pool
from boston_exp.sweep.runner import PointRunner

IN_PROCESS, LOCAL = "BasicLauncher", "JoblibLauncher"  # classes of launchers whose points are run here


class Workers(Protocol):
    in_process: bool

    @property
    def count(self) -> int:
        """How many points run at once."""

    @property
    def threads(self) -> int | None:
        """How many threads the libraries may use for a point; None leaves them alone."""

    def run(self, source: Source) -> Generator[tuple[int, Exception | None]]:
        """Run points; yields each number once it has ended, however it did, with what its worker died of, if it did.

        The source is asked whenever a worker is free: before the first point, and once a result was taken. What a point
        says of its own end is in the mailbox. Raises TimeIsUp at the source's deadline.
        """

    def close(self) -> None:
        """End the workers. They are ended as well, and their runs closed, when `run` is left early."""


class InProcess:
    """The points run in this process, one after the other."""

    in_process = True
    count = 1
    threads: int | None = None

    def __init__(self, runner: PointRunner) -> None:
        self._runner = runner

    def run(self, source: Source) -> Generator[tuple[int, Exception | None]]:
        hydra: Any = self._runner.master.hydra
        whitelist = self._runner.context.execution_whitelist
        last: int | None = None
        while job := source.next(last):
            number, overrides = job
            last = number
            raised: Exception | None = None
            try:
                self._runner.run(number, overrides)
            except Exception as error:
                raised = error
            finally:  # the point's own log file is not that of the next one, nor of the sweep
                configure_log(hydra.hydra_logging, hydra.verbose, execution_whitelist=whitelist)
            yield number, raised

    def close(self) -> None: ...


def kind_of(settings: DictConfig) -> str:
    """The class of a launcher, from its `_target_`."""
    return str(settings._target_).rpartition(".")[2]


def is_pool(settings: DictConfig) -> bool:
    """Whether these settings of a launcher mean workers on this machine, whatever backend they name."""
    return kind_of(settings) == LOCAL


def workers_for(settings: DictConfig, launcher: Launcher | None, runner: PointRunner) -> Workers:
    """The workers that a launcher's settings ask for; `launcher` is Hydra's own, for a cluster."""
    if launcher is not None:
        return Launched(launcher, sweep_dir_of(runner.master.hydra), count(settings), cores())
    if not is_pool(settings):
        return InProcess(runner)
    share = settings.get("inner_max_num_threads") or max(1, cores() // count(settings))
    return Pool(runner, count(settings), share)


def n_jobs_fault(settings: DictConfig) -> Fault | None:
    """What is wrong with `hydra.launcher.n_jobs`, where points run in a pool."""
    value = settings.get("n_jobs", -1)
    if not is_pool(settings) or (isinstance(value, int) and not isinstance(value, bool) and value != 0):
        return None
    says = f"hydra.launcher.n_jobs={value} is not possible: it has to be a whole number, -1 for one worker a core."
    return Fault(says, again("hydra.launcher.n_jobs=-1", multirun=True), Kind.VALUE)


def count(settings: DictConfig) -> int:
    """Workers by joblib's n_jobs: -1 is one for each core."""
    n_jobs = int(settings.get("n_jobs", -1))
    return n_jobs if n_jobs > 0 else max(1, cores() + 1 + n_jobs)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
