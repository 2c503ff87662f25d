"""What a promotion on local storage costs beyond start-up and beyond DVC's and git's own time.

python -m tests.benchmarks.promote            half a minute (make bench runs it, too)
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks.sweeps import row_of
from tests.conftest import ROOT

TURNS = 5
TIMED = """
import sys, time
from pathlib import Path
from boston_exp import promote
from boston_exp.storage import dvc_remote
from boston_exp.storage.git import Git
promote.PROJECT_ROOT = Path.cwd()
spent = 0.0
def timed(function):
    def call(*arguments, **more):
        global spent
        begun = time.perf_counter()
        try:
            return function(*arguments, **more)
        finally:
            spent += time.perf_counter() - begun
    return call
for name in ("add", "pull", "unknown_files"):
    setattr(dvc_remote, name, timed(getattr(dvc_remote, name)))
Git.run = timed(Git.run)
begun = time.perf_counter()
try:
    promote.main()
finally:
    print(time.perf_counter() - begun, spent, file=sys.stderr)
"""


def seconds(folder: Path, *overrides: str) -> tuple[float, float]:
    """Of a promotion in a process of its own: from its main on, and in DVC and git."""
    done = subprocess.run(
        [sys.executable, "-c", TIMED, *overrides], cwd=folder, env=_environment(), capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    took, tools = done.stderr.split()[-2:]
    return float(took), float(tools)


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT)}


def main() -> None:
    """Two runs are promoted in turn; a start that looks at the history alone is what starting costs."""
    shown = Table("what", "measured", "bound")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "project"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
        for key in ("user.name", "user.email"):
            subprocess.run(["git", "config", key, "bench"], cwd=folder, check=True)
        store = f"tracking.uri=sqlite:///{folder}/mlflow.db"
        ids = []
        for model in ("ridge", "random_forest"):
            run = [sys.executable, "-m", "boston_exp.run", f"model={model}", "evaluation=cv", "quiet=true", store]
            done = subprocess.run(run, cwd=folder, env=_environment(), capture_output=True, text=True, check=True)
            ids.append(done.stdout.strip())
        found, starts = [], []
        for turn in range(TURNS):
            begun = time.perf_counter()
            seconds(folder, "history=true", store)
            starts.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            _, tools = seconds(folder, f"run_id={ids[turn % 2]}", "gate=none", f"name=m{turn}", store)
            found.append(time.perf_counter() - begun - tools)
        row_of(
            shown,
            "a promotion beyond starting, DVC and git",
            statistics.median(found) - statistics.median(starts),
            3.0,
            "s",
        )
    Console().print(shown)


if __name__ == "__main__":
    main()
