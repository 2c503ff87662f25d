"""Four sweeps at once on one store, 400 runs in all: on an sqlite file, and on PostgreSQL.

    python -m tests.faults.together [--points 100] [--sweeps 4]      some four minutes; prints a table

Each sweep is a grid of its own over ridge's alpha, trained by the main process of its command; the commands are started
in the same moment, on a store that is not there yet. All of them write to one experiment.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mlflow import MlflowClient

from tests import services
from tests.conftest import ROOT
from tests.faults import balance
from tests.faults.balance import Balance

NAME = "boston-housing"
HEAD = """# Four sweeps at once

Printed by `python -m tests.faults.together` (`make faults`): {sweeps} sweeps of {points} points each, started in the
same moment, on one store that is not there yet. Every point has to be recorded once, FINISHED, with no error and no
retry; "alone" is one of the sweeps on a store of its own.
"""


@dataclass
class Seen:
    """What became of all sweeps on one store."""

    store: str
    alone: float  # seconds of one sweep by itself
    seconds: float  # of all together
    codes: list[int] = field(default_factory=list)
    said: list[str] = field(default_factory=list)  # unexpected lines
    runs: int = 0
    balance: Balance = field(default_factory=Balance)

    @property
    def well(self) -> bool:
        return set(self.codes) == {0} and not self.said and not self.balance.wrong


def together(folder: Path, uri: str, name: str, sweeps: int, points: int) -> Seen:
    """On the store of this URI, which is empty; `alone` is measured before, in another experiment's store."""
    alone = lasted([started(folder, f"sqlite:///{folder}/alone.db", 0, points)])
    processes = [started(folder, uri, number, points) for number in range(1, sweeps + 1)]
    seconds = lasted(processes)
    seen = Seen(name, alone, seconds, [process.returncode for process in processes])
    for number in range(1, sweeps + 1):
        lines = (folder / f"{number}.log").read_text().splitlines()
        seen.said += [line for line in lines if "error" in line.lower() or "Traceback" in line or "retry" in line]
    client = MlflowClient(uri)
    runs = balance.runs_of(client, NAME)
    seen.runs = len([run for run in runs if "sweep.key" not in run.data.tags])
    balance.check_runs(seen.balance, "there", runs, balance.models_of(client, NAME), load=True)
    parents = [run.info.run_id for run in runs if "sweep.key" in run.data.tags and run.info.status == "FINISHED"]
    if len(parents) != sweeps:
        seen.balance.add("lost", f"{len(parents)} finished sweeps")
    finished = Counter(
        (run.data.tags["mlflow.parentRunId"], run.data.params["model.alpha"])
        for run in runs
        if run.info.status == "FINISHED" and run.data.tags.get("mlflow.parentRunId") in parents
    )
    if len(finished) != sweeps * points:
        seen.balance.add("lost", f"{len(finished)} of {sweeps * points} points")
    if seen.runs != sweeps * points:
        seen.balance.add("doubled" if seen.runs > sweeps * points else "lost", f"{seen.runs} runs of points")
    return seen


def started(folder: Path, uri: str, number: int, points: int) -> subprocess.Popen[bytes]:
    """A sweep with alphas of its own: no point is another's."""
    alphas = ",".join(f"{number * 1000 + point + 1}" for point in range(points))
    overrides = ("-m", "model=ridge", "figures=none", "evaluation=holdout", f"model.alpha={alphas}")
    where = f"hydra.sweep.dir={folder}/{number}"
    with (folder / f"{number}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "boston_exp.run", *overrides, where],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": uri},  # typed, its password would show
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def lasted(processes: list[subprocess.Popen[bytes]]) -> float:
    """Seconds until the last one has ended."""
    begun = time.monotonic()
    for process in processes:
        process.wait(1200)
    return time.monotonic() - begun


@contextmanager
def stores(folder: Path) -> Iterator[list[tuple[str, str]]]:
    """URI and name of each; PostgreSQL's where it is installed."""
    with ExitStack() as stack:
        found = [(f"sqlite:///{folder}/mlflow.db", "sqlite")]
        if services.postgres_binary("initdb"):
            port = stack.enter_context(services.postgres())
            found.append((f"postgresql+psycopg://mlflow:{services.PASSWORD}@127.0.0.1:{port}/mlflow", "PostgreSQL"))
        yield found


def rows(folder: Path, sweeps: int, points: int) -> Iterator[Seen]:
    with stores(folder) as found:
        for uri, name in found:
            own = folder / name
            own.mkdir()
            yield together(own, uri, name, sweeps, points)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=4)
    parser.add_argument("--points", type=int, default=100, help="of each sweep")
    chosen = parser.parse_args()
    print(HEAD.format(sweeps=chosen.sweeps, points=chosen.points))
    print("| store | runs | codes | lost | doubled | RUNNING | half a model | lines of errors | alone | all at once |")
    print("|" + " --- |" * 10, flush=True)
    found = []
    with tempfile.TemporaryDirectory(prefix="together-") as name:
        for seen in rows(Path(name), chosen.sweeps, chosen.points):
            found.append(seen)
            counts = [seen.balance.count(kind) for kind in ("lost", "doubled", "RUNNING", "half a model")]
            cells = (seen.store, seen.runs, seen.codes, *counts, len(seen.said), f"{seen.alone:.0f} s")
            print(f"| {' | '.join(map(str, cells))} | {seen.seconds:.0f} s |", flush=True)
    for seen in found:
        for line in [*seen.said[:10], *seen.balance.wrong]:
            print(f"- {seen.store}: {line}")
    sys.exit(not all(seen.well for seen in found))


if __name__ == "__main__":
    main()
