"""A worker that is killed while it is sent what it needs to start is started again; no real kill hits that moment often
enough, so a pipe that breaks stands in for it (tests/faults/ has found it in one of 26 sweeps)."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from boston_exp.sweep.plan import Assignment
from boston_exp.sweep.pool import Pool
from tests.conftest import ROOT


class Said:
    """In place of Hydra's part: writes the number of its job."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def run(self, number: int, overrides: list[str]) -> None:
        (self._folder / str(number)).write_text(" ".join(overrides))


class Listed:
    """Where the points of this test come from."""

    deadline = None

    def __init__(self, jobs: list[Assignment]) -> None:
        self._left = iter(jobs)

    def next(self, after: int | None) -> Assignment | None:
        return next(self._left, None)


@pytest.mark.parametrize("broken", [1, 3])
def test_a_pipe_that_breaks_at_the_start_costs_no_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: int
) -> None:
    kind: Any = multiprocessing.get_context("forkserver").Process
    start, left = kind.start, [broken]

    def breaks(process: Any) -> None:
        if left[0]:
            left[0] -= 1
            raise BrokenPipeError("killed")
        start(process)

    monkeypatch.setattr(kind, "start", breaks)
    runner: Any = Said(tmp_path)
    pool = Pool(runner, count=1, threads=1)
    try:
        ended = list(pool.run(Listed([(0, ["x=1"]), (1, ["x=2"])])))
    finally:
        pool.close()
    assert ended == [(0, None), (1, None)]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["0", "1"]


def test_what_a_stopped_sweep_leaves_is_cleared_away_without_a_warning() -> None:
    """Ctrl-C while workers start: Python's resource tracker told of leaked semaphores after `interrupted`."""
    script = (
        "import multiprocessing, os, sys\nfrom boston_exp.sweep import pool\npool.start_fork_server()\n"
        "kept = multiprocessing.get_context(pool.METHOD).Semaphore()\nassert not sys.warnoptions\nos._exit(130)"
    )
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (130, "")
