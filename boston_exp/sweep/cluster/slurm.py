"""Slurm, by way of submitit: array jobs, named after their sweep and their first point.

The names are all that has to be known of a job: squeue gives them for every job that waits or runs, so a process that
is killed between sbatch and its next line has lost nothing. Slurm's accounting is not asked; many clusters have none.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

from omegaconf import DictConfig, OmegaConf

from boston_exp.config.invocation import again
from boston_exp.errors import ClusterUnusable, Fault, InvalidConfig
from boston_exp.sweep.cluster.point import run_point, write_runner
from boston_exp.sweep.cluster.protocol import Place
from boston_exp.sweep.runner import PointRunner

ARRAY = 1000  # jobs in an array at most; Slurm's MaxArraySize is 1001 by default
ALIVE = "PENDING,RUNNING,SUSPENDED,CONFIGURING,COMPLETING,REQUEUED,REQUEUE_HOLD,RESIZING,STOPPED,SIGNALING,STAGE_OUT"
PATIENCE = 30.0  # seconds for squeue, and for cancelled jobs to close their runs: Slurm's own KillWait


def options(settings: DictConfig, kind: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """`hydra.launcher` as submitit takes it: folder, what an executor is made with, its parameters."""
    from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf

    given: Any = OmegaConf.to_container(settings, resolve=True)
    shared = set(OmegaConf.structured(BaseQueueConf))
    folder = given.pop("submitit_folder")
    made = {f"{kind}_{name}": given.pop(name) for name in ("max_num_timeout", "python") if name in given}
    taken = {name: value for name, value in given.items() if name != "_target_" and value is not None}
    return folder, made, {name if name in shared else f"{kind}_{name}": value for name, value in taken.items()}


class Slurm:
    """Points as array jobs; the sweep's folder has to be one that its nodes share."""

    name = "Slurm"
    queues = True
    every = 5.0

    def __init__(self, settings: DictConfig, runner: PointRunner, name: str) -> None:
        self._folder, self._made, self._parameters = options(settings, "slurm")
        self._parameters.pop("name", None)
        self._name = name
        self._sweep_dir = runner.sweep_dir
        parallel = int(self._parameters.get("slurm_array_parallelism", 256))
        self.count = min(parallel, _processors() // max(1, int(self._parameters.get("cpus_per_task", 1))) or 1)
        write_runner(runner)

    def submit(self, numbers: Sequence[int]) -> None:
        import submitit

        for first, array in arrays(numbers):
            with _answering("sbatch"):
                executor = submitit.AutoExecutor(self._folder, cluster="slurm", **self._made)
                executor.update_parameters(name=f"{self._name}-{first}", **self._parameters)
                executor.map_array(run_point, [self._sweep_dir] * len(array), array)

    def places(self) -> dict[int, Place]:
        return places_of(self._name)

    def cancel(self) -> None:
        until = time.monotonic() + PATIENCE
        while (jobs := sorted({place.job for place in self.places().values()})) and time.monotonic() < until:
            _answer("scancel", *jobs)
            time.sleep(0.5)

    def close(self) -> None: ...


def arrays(numbers: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """Runs of consecutive numbers, and the first of each: an index in an array job is then a number."""
    for _, group in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        for start in range(0, len(run), ARRAY):
            yield run[start], run[start : start + ARRAY]


def places_of(sweep: str) -> dict[int, Place]:
    """The points of the sweep that Slurm knows by this name, of this user."""
    found: dict[int, Place] = {}
    listed = _answer("squeue", "--me", "--noheader", "--array", "--states", ALIVE, "--format", "%j|%F|%K|%N")
    for line in listed.splitlines():
        name, job, index, node = line.rsplit("|", 3)
        named = re.fullmatch(re.escape(sweep) + r"-(\d+)", name)
        if named:
            in_array = index.isdigit()
            number = int(named[1]) + (int(index) if in_array else 0)
            found[number] = Place(f"{job}_{index}" if in_array else job, node)
    return found


def _processors() -> int:
    """Of all nodes that are up: `sinfo` prints allocated/idle/other/total."""
    total = 0
    for line in _answer("sinfo", "--noheader", "--format", "%C").splitlines():
        allocated, idle, *_ = (int(count) for count in line.split("/"))
        total += allocated + idle
    return total


def _answer(*command: str) -> str:
    with _answering(command[0]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    return done.stdout


@contextmanager
def _answering(command: str) -> Iterator[None]:
    """What Slurm's commands and submitit raise, as one clear message."""
    try:
        yield
    except NameError as error:  # of submitit: a parameter that it does not have
        says = f"hydra.launcher has a setting that submitit does not know: {str(error).strip()}"
        raise InvalidConfig(Fault(says, again(without=["hydra.launcher"], multirun=True))) from error
    except (OSError, subprocess.SubprocessError, RuntimeError, ValueError) as error:
        stderr = getattr(error, "stderr", None) or str(error)
        said = (stderr.decode(errors="replace") if isinstance(stderr, bytes) else stderr).strip().partition("\n")[0]
        says = f"Slurm does not answer: {command}: {said}"
        raise ClusterUnusable(Fault(says, f"sinfo; then: {again()}")) from error
