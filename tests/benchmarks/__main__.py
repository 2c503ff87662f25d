"""What a run costs: medians, and ratios of commands that took turns, so that a machine's drift cancels out.

make bench                    all of it, some two minutes
make bench ARGS="--rounds 3"  quicker and rougher
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks import warm

HERE = Path(__file__).parent
RUN = ["-m", "boston_exp.run"]


def seconds(folder: str, *arguments: str) -> float:
    """One command of this Python in that folder, from start to end; it has to succeed."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(arguments)} failed:\n{done.stderr.decode()}")
    return time.perf_counter() - start


def medians(rounds: int, folder: str, *commands: list[str]) -> list[float]:
    """The median of each command; they take turns, after a first round that does not count."""
    timed = [[seconds(folder, *command) for command in commands] for _ in range(rounds + 1)][1:]
    return [statistics.median(column) for column in zip(*timed, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    for name in list(os.environ):
        if name.startswith("MLFLOW_"):
            del os.environ[name]
    table = Table("what", "seconds", "against", "seconds", "bound", "holds", title=f"medians of {rounds}")

    def row(what: str, measured: float, against: str, reference: float, bound: float, rule: str) -> None:
        holds = "yes" if measured <= bound else "NO"
        table.add_row(what, f"{measured:.3f}", against, f"{reference:.3f}", f"{bound:.3f} ({rule})", holds)

    with tempfile.TemporaryDirectory() as folder:
        bare, shown, helped = medians(rounds, folder, ["-c", "import hydra"], [*RUN, "--cfg", "job"], [*RUN, "--help"])
        for what, measured in (("--cfg job", shown), ("--help", helped)):
            row(what, measured, "import hydra", bare, 1.5 * bare + 0.3, "1.5 x + 0.3 s")
        store = f"{folder}/mlflow.db"
        ours = [*RUN, "figures=none", f"tracking.uri=sqlite:///{store}", f"hydra.run.dir={folder}/outputs"]
        floor = [str(HERE / "floor.py"), f"{folder}/floor.db"]
        run, least, usual = medians(rounds, folder, ours, floor, [*floor[:1], f"{folder}/usual.db", "defaults"])
        row("one run, figures=none", run, "floor", least, 1.25 * least, "1.25 x")
        row("one run, figures=none", run, "log_model with defaults", usual, 0.8 * usual, "0.8 x")
        for figures, bound in (("full", 0.6), ("none", 0.35)):
            rest, fit = warm.overhead(3 * rounds, Path(folder), figures)
            row(f"warm run without fit, figures={figures}", rest, "fit and predict", fit, bound, f"{bound} s")
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
