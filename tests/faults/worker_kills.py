"""Kills workers of a sweep with SIGKILL, in every phase of their life, and looks at what is left.

python -m tests.faults.worker_kills [--sweeps 26]       some six minutes; `make proof` keeps its table in docs/proofs/
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from mlflow import MlflowClient

from tests.conftest import ROOT

PHASES = ("start-up", "fit", "recording", "between points")
POINTS = 14
DEADLINE = 90.0  # seconds; a sweep takes some ten
# Says which phase its process is in: a file with the process's id, whose content is the phase.
ESTIMATOR = """
import os, time
from pathlib import Path
from sklearn.linear_model import Ridge

class Marked(Ridge):
    def fit(self, X, y):
        mark = Path(os.environ["MARKS"]) / str(os.getpid())
        mark.write_text("fit")
        time.sleep(0.12)
        fitted = super().fit(X, y)
        mark.write_text("recording")
        return fitted
"""
COMMON = (
    "model=ridge", "model._target_=marked.Marked", "trusted_packages=[sklearn,marked]", "figures=none",
    "evaluation=holdout", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2",
)  # fmt: skip
SEARCHES = {
    "grid": (f"model.alpha=range(1,{POINTS + 1})",),
    "optuna": (
        "hydra/sweeper=optuna", f"hydra.sweeper.n_trials={POINTS}", "hydra.sweeper.sampler.seed=1",
        "hydra.sweeper.n_jobs=2", "model.alpha=tag(log,interval(0.001,100))",
    ),
}  # fmt: skip


@dataclass
class Seen:
    """What one sweep was put through, and what it made of it."""

    search: str
    kills: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    hung: bool = False
    failed: int = 0  # points
    twice: int = 0  # points with more than one FINISHED run
    unfinished: int = 0  # points without a FINISHED run after the same command was given again
    running: int = 0  # runs
    errors: str = ""

    @property
    def is_well(self) -> bool:
        return not (self.hung or self.twice or self.unfinished or self.running or self.errors)


def killed_sweep(folder: Path, store: Path, search: str, wanted: list[str], seed: int) -> Seen:
    """One sweep whose workers are killed once in each of the phases, then the same command undisturbed."""
    (folder / "marks").mkdir()
    (folder / "marked.py").write_text(ESTIMATOR)
    command = [sys.executable, "-m", "boston_exp.run", "-m", *COMMON, *SEARCHES[search]]
    command += [f"tracking.uri=sqlite:///{store}", f"hydra.sweep.dir={folder}/sweep"]
    if search == "optuna":
        command.append(f"hydra.sweeper.storage=sqlite:///{folder}/optuna.db")
    paths = os.pathsep.join([str(ROOT), str(folder)])
    environment = {**os.environ, "PYTHONPATH": paths, "MARKS": str(folder / "marks")}
    seen = Seen(search)
    with (folder / "log").open("w") as log:
        begun = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        _kill_workers(process, folder, wanted, seen, random.Random(seed), begun + DEADLINE)  # noqa: S311
        try:
            process.wait(max(0.1, begun + DEADLINE - time.monotonic()))
        except subprocess.TimeoutExpired:
            seen.hung = True
            process.kill()
        seen.seconds = time.monotonic() - begun
        _look(store, seen, first=True)
        again = subprocess.run(
            command, cwd=folder, env=environment, stdout=log, stderr=log, timeout=DEADLINE, check=False
        )
        _look(store, seen, first=False)
    expected = (0, 1) if search == "optuna" else (0,)  # a search remembers its failed trials
    if again.returncode not in expected or "Traceback" in (folder / "log").read_text():
        seen.errors = (folder / "log").read_text()
    return seen


def _kill_workers(
    process: subprocess.Popen[bytes], folder: Path, wanted: list[str], seen: Seen, moments: random.Random, until: float
) -> None:
    known: set[int] = set()
    states: dict[str, str] = {}
    left = list(wanted)
    while left and process.poll() is None and time.monotonic() < until:
        phase = left[0]
        fresh = [worker for worker in workers(process.pid) if worker.pid not in known]
        victim = None
        if phase == "start-up" and fresh:
            victim, delay = fresh[0], moments.uniform(0, 0.05)
        elif phase in ("fit", "recording"):
            victim = next((worker for worker in workers(process.pid) if _mark(folder, worker.pid) == phase), None)
            delay = moments.uniform(0, 0.1 if phase == "fit" else 0.03)
        elif phase == "between points":
            victim, delay = _just_ended(folder, states), moments.uniform(0, 0.004)
        known |= {worker.pid for worker in fresh}
        if victim is not None:
            time.sleep(delay)
            with suppress(psutil.NoSuchProcess):
                victim.kill()
                seen.kills[left.pop(0)] += 1
            time.sleep(moments.uniform(0.1, 0.6))
            states = {file.name: file.read_text() for file in (folder / "sweep" / ".points").glob("*.state")}
        time.sleep(0.002)


def workers(main: int) -> list[psutil.Process]:
    """Forks of the fork server, which is a child of the main process."""
    with suppress(psutil.NoSuchProcess):
        servers = [child for child in psutil.Process(main).children() if "forkserver" in " ".join(child.cmdline())]
        return [worker for server in servers for worker in server.children()]
    return []


def _mark(folder: Path, pid: int) -> str:
    with suppress(OSError):
        return (folder / "marks" / str(pid)).read_text()
    return ""


def _just_ended(folder: Path, states: dict[str, str]) -> psutil.Process | None:
    """The worker that has said since the last look that its point is finished."""
    for file in (folder / "sweep" / ".points").glob("*.state"):
        text = file.read_text()
        if states.get(file.name) != text:
            states[file.name] = text
            state = json.loads(text)
            if state["status"] == "finished":
                with suppress(psutil.NoSuchProcess):
                    return psutil.Process(state["pid"])
    return None


def _look(store: Path, seen: Seen, first: bool) -> None:
    client = MlflowClient(f"sqlite:///{store}")
    experiment = client.get_experiment_by_name("boston-housing")
    runs = client.search_runs([experiment.experiment_id], max_results=5000) if experiment else []
    children = [run for run in runs if "sweep.key" not in run.data.tags]
    finished = Counter(run.data.tags["sweep.point"] for run in children if run.info.status == "FINISHED")
    seen.running += sum(run.info.status == "RUNNING" for run in runs)
    seen.twice = sum(count > 1 for count in finished.values())
    if first:
        seen.failed = sum(run.info.status == "FAILED" for run in children)
        if len(finished) + seen.failed < POINTS:
            seen.errors = f"{len(finished)} points finished, {seen.failed} failed, of {POINTS}"
    elif seen.search == "grid":  # a search counts a failed trial, and does not repeat it
        seen.unfinished = POINTS - len(finished)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=26)
    total: dict[str, list[Seen]] = {search: [] for search in SEARCHES}
    for number in range(parser.parse_args().sweeps):
        search = list(SEARCHES)[number % 2]
        phases = list(PHASES)
        random.Random(number).shuffle(phases)  # noqa: S311
        with tempfile.TemporaryDirectory() as name:
            seen = killed_sweep(Path(name), Path(name) / "mlflow.db", search, phases, number)
        print(number, seen, file=sys.stderr)
        total[search].append(seen)
    print("# Workers killed with SIGKILL\n")
    print(
        f"`python -m tests.faults.worker_kills`: sweeps of {POINTS} points, two workers, then the same command again.\n"
    )
    kinds = " | ".join(f"killed: {phase}" for phase in PHASES)
    print(
        f"| search | sweeps | {kinds} | hung | points failed | recorded twice | unfinished in the end | left RUNNING |"
    )
    print("|" + " --- |" * (7 + len(PHASES)))
    for search, sweeps in total.items():
        kills = sum((seen.kills for seen in sweeps), Counter())
        columns = [search, len(sweeps), *(kills[phase] for phase in PHASES), sum(seen.hung for seen in sweeps)]
        columns += [
            sum(getattr(seen, name) for seen in sweeps) for name in ("failed", "twice", "unfinished", "running")
        ]
        print(f"| {' | '.join(map(str, columns))} |")
    if any(not seen.is_well for sweeps in total.values() for seen in sweeps):
        sys.exit("a sweep hung, recorded a point twice, lost one, or left a run RUNNING")


if __name__ == "__main__":
    main()
