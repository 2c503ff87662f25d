"""What a grid over the number of trees gains by models that grow: whole commands in turn, on a store that is there.

python -m tests.benchmarks.fidelity [rounds]             some six minutes (make bench runs it, too)
python -m tests.benchmarks.fidelity <rounds> <commit>    beside the code of that commit, which did not grow models
"""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks.sweeps import row_of, sweep
from tests.conftest import ROOT, git

GRID = ("search=grid_random_forest",)
AT_ONCE = "+model.warm_start=true"  # what a user has set so is not grown: the same fits, at once
BOUND = 1.3


def timed(folder: Path, experiment: str, *overrides: str, project: Path | None = None) -> tuple[float, float]:
    """Seconds of the wall clock, and of the CPU, which hardly depend on what else the machine does: of the command
    and what it started itself, without the workers of a fork server."""
    start, used = time.perf_counter(), _used()
    sweep(folder, "warm", *GRID, f"tracking.experiment_name={experiment}", *overrides, project=project)
    return time.perf_counter() - start, _used() - used


def _used() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def _checked_out(commit: str, place: Path) -> Path:
    """The project as it was, with the data that this one has."""
    git("clone", "--quiet", str(ROOT), str(place), cwd=ROOT)
    git("checkout", "--quiet", commit, cwd=place)
    shutil.copytree(ROOT / "data" / "raw", place / "data" / "raw", dirs_exist_ok=True)
    return place


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    for name in list(os.environ):
        if name.startswith("MLFLOW_"):
            del os.environ[name]
    table = Table("what", "measured", "bound", "holds", title=f"medians of {rounds} pairs, two cores")
    commit = sys.argv[2] if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project = _checked_out(commit, folder / "before") if commit else None
        how = (AT_ONCE,) if project is None else ()
        sweep(folder, "warm", *GRID, "model.n_estimators=5", "model.max_depth=2,3")
        for launcher in ("basic", "joblib"):
            chosen = f"hydra/launcher={launcher}"
            pairs = [
                (
                    timed(folder, f"cold{launcher}{turn}", chosen, *how, project=project),
                    timed(folder, f"grown{launcher}{turn}", chosen),
                )
                for turn in range(rounds)
            ]
            for place, clock in enumerate(("wall", "CPU") if launcher == "basic" else ("wall",)):
                ratio = statistics.median(cold[place] / grown[place] for cold, grown in pairs)
                before, after = (statistics.median(pair[side][place] for pair in pairs) for side in (0, 1))
                what = f"{launcher}, {clock}: {before:.1f} s {commit or 'at once'}, {after:.1f} s grown, faster by"
                row_of(table, what, ratio, BOUND if launcher == "basic" else 1.0, "x", at_least=True)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
