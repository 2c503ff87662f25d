"""What a sweep costs: against the loop it replaces, per point, at the start, over its length, and asked for again.

python -m tests.benchmarks.sweeps            some eight minutes (make bench runs it, too)
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
GRID = ("search=grid_random_forest", "evaluation=holdout", "figures=none")
RIDGE = ("model=ridge", "figures=none")


@dataclass(frozen=True)
class Swept:
    seconds: float  # whole command
    first: float  # until the first point began
    points: pd.DataFrame  # number, ended (epoch), work: seconds of fit and predict, rest: since the one before, without
    grown: float  # MB of memory, from the tenth point to the last
    most: float  # MB of the main process


def sweep(folder: Path, store: str, *overrides: str, until_first: bool = False, project: Path | None = None) -> Swept:
    """A whole command; `project` is where its code is, if it is not this one."""
    environment = os.environ | ({"PYTHONPATH": str(project)} if project else {})
    out = Path(tempfile.mkdtemp(dir=folder))
    command = [sys.executable, "-m", "boston_exp.run", "-m", *overrides]
    if not any(override.startswith("tracking.uri=") for override in overrides):
        command.append(f"tracking.uri=sqlite:///{folder}/{store}.db")
    command += [f"hydra.sweep.dir={out}", "hydra.job.chdir=false"]
    begun, first, early, late = time.time(), 0.0, 0.0, 0.0
    said = (out / "stderr.txt").open("w+")  # a pipe that nobody reads is full after some hundred lines
    process = psutil.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=said)
    while process.poll() is None:
        # counting thousands of files a hundred times a second would be a load itself
        states = 11 if early else len(list((out / ".points").glob("*.state"))) if (out / ".points").is_dir() else 0
        if states and not first:
            first = time.time() - begun
            if until_first:
                process.kill()
        try:
            late = max(late, process.memory_info().rss / 1e6)  # an ending process has none
        except psutil.Error:
            break
        early = early or (late if states > 10 else 0.0)
        time.sleep(0.01)
    said.close()
    seconds = time.time() - begun
    if process.returncode and not until_first:
        sys.exit(f"{' '.join(command)} failed:\n{(out / 'stderr.txt').read_text()}")
    return Swept(seconds, first, _points(out), late - early, late)


def _points(folder: Path) -> pd.DataFrame:
    rows = []
    for file in (folder / ".points").glob("*.state"):
        state = json.loads(file.read_text())
        work = sum(state["metrics"].get(name, 0.0) for name in ("fit_seconds", "predict_seconds"))
        rows.append({"number": int(file.stem), "ended": file.stat().st_mtime, "work": work})
    if not rows:
        return pd.DataFrame(columns=["number", "ended", "work", "rest"])
    table = pd.DataFrame(rows).sort_values("ended", ignore_index=True)
    table["rest"] = table["ended"].diff() - table["work"]
    return table


def loop(folder: Path) -> float:
    """The hand-rolled loop: six of its points, scaled to 36."""
    done = subprocess.run(
        [sys.executable, str(HERE / "loop.py"), str(folder / "loop.db"), "6"],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    before, point = map(float, done.stdout.split())
    return before + 36 * point


def main() -> None:
    for name in list(os.environ):
        if name.startswith("MLFLOW_"):
            del os.environ[name]
    table = Table("what", "measured", "bound", "holds", title="sweeps, two cores")

    def row(what: str, measured: float, bound: float, unit: str, at_least: bool = False) -> None:
        row_of(table, what, measured, bound, unit, at_least)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sweep(folder, "warm", *GRID, "model.n_estimators=5", "model.max_depth=2,3")
        old, ours = [], {}
        for turn in range(3):  # both sides in turn, so that the machine's drift cancels out
            old.append(loop(folder))
            for launcher in ("basic", "joblib"):
                for models in ("all", "best"):
                    made = sweep(
                        folder,
                        "warm",  # a store that is there, as the loop's is after its first turn
                        f"tracking.experiment_name={launcher}{models}{turn}",
                        *GRID,
                        f"hydra/launcher={launcher}",
                        f"tracking.log_model={models}",
                    )
                    ours.setdefault((launcher, models), []).append(made)
        bounds = {("basic", "all"): 7, ("joblib", "all"): 11, ("basic", "best"): 10, ("joblib", "best"): 14}
        table.add_row("hand-rolled loop, 36 points", f"{statistics.median(old):.1f} s", "", "")
        for key, runs in ours.items():
            seconds = statistics.median(made.seconds for made in runs)
            ratio = statistics.median(before / made.seconds for before, made in zip(old, runs, strict=True))
            row(f"{key[0]}, models {key[1]}: {seconds:.1f} s, faster by", ratio, bounds[key], "x", at_least=True)
        for models, bound in (("all", 0.35), ("best", 0.12)):
            rest = statistics.median(made.points["rest"].median() for made in ours["basic", models])
            row(f"a point without fit and predict, models {models}", rest, bound, "s")
        again = sweep(folder, "warm", "tracking.experiment_name=basicbest0", *GRID, "hydra/launcher=basic")
        start = ours["basic", "best"][0].first
        row("36 points asked for again, beyond start-up", again.seconds - start, 3, "s")
        two = sweep(folder, "start", *RIDGE, "seed=range(2)", until_first=True).first
        many = sweep(folder, "start", *RIDGE, "seed=range(400)", until_first=True).first
        row("first point of 400 after that of 2", many - two, 2, "s")
        ridge = sweep(folder, "ridge", *RIDGE, "seed=range(300)")
        row("300 points: last 50 against points 11 to 60", _growth(ridge), 1.2, "x")
        row("300 points: memory of the main process", ridge.grown, 50, "MB")
        optuna = ("hydra/sweeper=optuna", "model.alpha=tag(log,interval(0.001,100))", "hydra.sweeper.n_trials=200")
        study = f"hydra.sweeper.storage=sqlite:///{folder}/optuna.db"
        tpe = sweep(folder, "tpe", *RIDGE, *optuna, study, "hydra.sweeper.sampler.seed=1")
        row("200 TPE trials: the same", _growth(tpe), 1.2, "x")
        thousand = sweep(folder, "thousand", *RIDGE, "seed=range(1000)", "hydra/launcher=joblib")
        again = sweep(folder, "thousand", *RIDGE, "seed=range(1000)", "hydra/launcher=joblib")
        row("1,000 points asked for again, beyond start-up", again.seconds - thousand.first, 10, "s")
    Console(width=120).print(table)


def row_of(table: Table, what: str, measured: float, bound: float, unit: str, at_least: bool = False) -> None:
    """One line: a figure, its bound, whether it holds."""
    holds = measured >= bound if at_least else measured <= bound
    table.add_row(what, f"{measured:.3g} {unit}", f"{'≥' if at_least else '≤'} {bound:g}", "yes" if holds else "NO")


def _growth(made: Swept) -> float:
    rest = made.points["rest"]
    return float(rest.iloc[-50:].median() / rest.iloc[10:60].median())


if __name__ == "__main__":
    main()
