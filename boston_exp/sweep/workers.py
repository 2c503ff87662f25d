"""Who runs the points: this process, a pool on this machine, or one of Hydra's launchers for a cluster."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any, Protocol

from hydra.core.utils import configure_log
from omegaconf import DictConfig

from boston_exp.config.invocation import again
from boston_exp.errors import Fault, Kind
from boston_exp.sweep.cluster.protocol import CLUSTERS, RAY, SLURM, Cluster
from boston_exp.sweep.launched import Launched
from boston_exp.sweep.plan import Source
from boston_exp.sweep.pool import Pool
from boston_exp.sweep.runner import PointRunner

IN_PROCESS, LOCAL = "BasicLauncher", "JoblibLauncher"  # classes of launchers whose points are run here
KNOWN = (IN_PROCESS, LOCAL, *CLUSTERS)


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

    @property
    def leaves(self) -> bool:
        """Whether the points go on when `run` is left."""

    def cancel(self) -> None:
        """End all points that are running, also those that would be left."""

    def close(self) -> None:
        """End the workers. They are ended as well, and their runs closed, when `run` is left early, unless it leaves
        them."""


class InProcess:
    """The points run in this process, one after the other."""

    in_process = True
    count = 1
    threads: int | None = None
    leaves = False

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

    def cancel(self) -> None: ...

    def close(self) -> None: ...


def kind_of(settings: DictConfig) -> str:
    """The class of a launcher, from its `_target_`."""
    return str(settings._target_).rpartition(".")[2]


def is_pool(settings: DictConfig) -> bool:
    """Whether these settings of a launcher mean workers on this machine, whatever backend they name."""
    return kind_of(settings) == LOCAL


def workers_for(settings: DictConfig, runner: PointRunner, name: str, leaves: bool) -> Workers:
    """The workers that a launcher's settings ask for. A cluster knows the sweep by `name`."""
    kind = kind_of(settings)
    if kind in CLUSTERS:
        cluster = cluster_of(kind, settings, runner, name, leaves)
        threads = int(settings.get("cpus_per_task") or 1) if kind != RAY else None
        return Launched(cluster, runner.sweep_dir, threads, leaves)
    if not is_pool(settings):
        return InProcess(runner)
    share = settings.get("inner_max_num_threads") or max(1, cores() // count(settings))
    return Pool(runner, count(settings), share)


def cluster_of(kind: str, settings: DictConfig, runner: PointRunner, name: str, leaves: bool) -> Cluster:
    """Raises ClusterUnusable if it does not answer."""
    if kind == RAY:
        from boston_exp.sweep.cluster.ray import Ray

        return Ray(settings, runner, name, leaves)
    if kind == SLURM:
        from boston_exp.sweep.cluster.slurm import Slurm

        return Slurm(settings, runner, name)
    from boston_exp.sweep.cluster.local import Processes

    return Processes(settings, runner, cores())


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
