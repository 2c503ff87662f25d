"""Processes of this machine, by way of submitit's local executor: what submitit_slurm does, without Slurm.

A process carries the number of its point in its command line, as the folder that submitit keeps its files in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil
from omegaconf import DictConfig

from boston_exp.sweep import mailbox
from boston_exp.sweep.cluster.point import run_point, write_runner
from boston_exp.sweep.cluster.protocol import Place
from boston_exp.sweep.cluster.slurm import options
from boston_exp.sweep.runner import PointRunner

PATIENCE = 2.5  # seconds for a process to close its run when it is told to end
FOLDER = ".submitit"


class Processes:
    """Points as processes of this machine, which go on when this one ends."""

    name = "this machine"
    queues = False
    every = 0.5

    def __init__(self, settings: DictConfig, runner: PointRunner, cores: int) -> None:
        _, self._made, self._parameters = options(settings, "local")
        self._sweep_dir = runner.sweep_dir
        self.count = max(1, cores // max(1, int(self._parameters.get("cpus_per_task", 1))))
        write_runner(runner)

    def submit(self, numbers: Sequence[int]) -> None:
        import submitit

        for number in numbers:
            folder = self._sweep_dir / FOLDER / str(number)
            executor = submitit.AutoExecutor(folder, cluster="local", **self._made)
            executor.update_parameters(**self._parameters)
            executor.submit(run_point, self._sweep_dir, number)

    def places(self) -> dict[int, Place]:
        return places_in(self._sweep_dir)

    def cancel(self) -> None:
        """Terminate them; what has not ended by then is killed."""
        everything = [
            each
            for _, controller in _controllers(self._sweep_dir)
            for each in (*controller.children(recursive=True), controller)
        ]
        for each in everything:
            with suppress(psutil.NoSuchProcess):
                each.terminate()
        _, stubborn = psutil.wait_procs(everything, timeout=PATIENCE)
        for each in stubborn:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(stubborn, timeout=PATIENCE)

    def close(self) -> None: ...


def places_in(sweep_dir: Path) -> dict[int, Place]:
    """The points of a sweep whose processes live on this machine."""
    return {number: Place(str(process.pid), mailbox.host()) for number, process in _controllers(sweep_dir)}


def _controllers(sweep_dir: Path) -> list[tuple[int, psutil.Process]]:
    """submitit's process for each point, which waits for the one that trains it."""
    found = []
    ours = re.compile(re.escape(str(sweep_dir / FOLDER)) + r"/(\d+)")
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        named = ours.fullmatch(command[-1]) if "submitit.local._local" in command else None
        if named:
            found.append((int(named[1]), process))
    return found
