"""A point on a node of a cluster: what it needs is in the sweep's folder, its runner once for all points."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import cloudpickle

from boston_exp.sweep import mailbox
from boston_exp.sweep.runner import PointRunner

RUNNER = "runner.pkl"


def write_runner(runner: PointRunner) -> None:
    """Put the runner where nodes find it; half a megabyte, which each job would have a copy of otherwise."""
    file = runner.sweep_dir / mailbox.FOLDER / RUNNER
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(f".{os.getpid()}")
    unfinished.write_bytes(cloudpickle.dumps(runner))
    unfinished.replace(file)


def run_point(sweep_dir: Path, number: int) -> None:
    """Run a point, unless it was withdrawn: the main process has given it up, and submitted it under another number."""
    task = mailbox.task_file(sweep_dir, number)
    if task.exists():
        runner: PointRunner = pickle.loads((sweep_dir / mailbox.FOLDER / RUNNER).read_bytes())  # noqa: S301 (ours)
        runner.run(number, list(mailbox.read_task(task).overrides))
