"""What a point costs in a sweep of many, on two workers: beyond its fit, at the end against the beginning, in memory.

python -m tests.benchmarks.points            some fifteen minutes (make bench runs it, too)
python -m tests.benchmarks.points 1000       of the grid of 10,000 so many
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks.sweeps import RIDGE, Swept, row_of, sweep

WORKERS = 2
MANY = (*RIDGE, "hydra/launcher=joblib", f"hydra.launcher.n_jobs={WORKERS}")  # log_model=best, five folds
SEARCH = ("hydra/sweeper=optuna", "model.alpha=tag(log,interval(0.001,100))", "hydra.sweeper.sampler.seed=1")
BEYOND, GROWTH, MEMORY = 45, 1.2, 400  # ms a point, times, MB


def beyond_fit(made: Swept) -> float:
    """Milliseconds of the clock from one point to the next, without the workers' fits and predictions."""
    ended = made.points["ended"]
    between = (ended.iloc[-1] - ended.iloc[0]) / (len(ended) - 1)
    return float(1000 * (between - made.points["work"].mean() / WORKERS))


def growth(made: Swept, part: int) -> float:
    """Time of the last `part` points over that of as many after the first hundred."""
    ended = made.points["ended"].to_numpy()
    return float((ended[-1] - ended[-1 - part]) / (ended[100 + part] - ended[100]))


def main(many: int = 10_000) -> None:
    for name in list(os.environ):
        if name.startswith("MLFLOW_"):
            del os.environ[name]
    table = Table("what", "measured", "bound", "holds", title=f"Ridge on {WORKERS} workers")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for what, own in (
            ("grid", ()),
            ("tpe", ("hydra/sweeper/sampler=tpe",)),
            ("random", ("hydra/sweeper/sampler=random",)),
        ):
            searched = (
                *SEARCH,
                *own,
                "hydra.sweeper.n_trials=1000",
                f"hydra.sweeper.storage=sqlite:///{folder}/{what}_study.db",
            )
            made = sweep(folder, what, *MANY, *(searched if own else ("model.alpha=range(1,1001)",)))
            row_of(table, f"1,000 points, {what}: beyond the fit", beyond_fit(made), BEYOND, "ms")
            table.add_row(
                f"1,000 points, {what}: last 200 against points 101 to 300", f"{growth(made, 200):.3g} x", "", ""
            )
        made = sweep(folder, "many", *MANY, f"model.alpha=range(1,{many + 1})")
        part = many // 10
        row_of(
            table, f"{many:,} points: last {part:,} against {part:,} at the beginning", growth(made, part), GROWTH, "x"
        )
        row_of(table, f"{many:,} points: memory of the main process", made.most, MEMORY, "MB")
        table.add_row(f"{many:,} points: beyond the fit", f"{beyond_fit(made):.3g} ms", "", "")
    Console(width=120).print(table)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
