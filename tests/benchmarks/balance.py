"""How busy two workers are: points that sleep for 0.5 s and for 5 s, mixed, beside the same in Hydra's own batches.

python -m tests.benchmarks.balance               some five minutes (make bench runs it, too)
python -m tests.benchmarks.balance 6 0.2 1       six of each, of 0.2 and of 1 s

Ours is timed from the first ask to the last tell, by the study, so that neither start-up nor the best model counts.
hydra-optuna-sweeper is timed likewise: it asks for `n_jobs` trials, runs them with joblib, and waits for all of them.
The ideal is the sum of costs over workers.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import optuna
from rich.console import Console
from rich.table import Table

from tests.benchmarks.sweeps import row_of

WORKERS = 2
BOUND = 1.1  # times the ideal
ROOT = Path(__file__).resolve().parents[2]
# Each fit takes the next cost of a shuffled list, by making a file: both searches have the same, in the same order.
COSTS = """
import os, random, time

def sleep(number, short, long):
    costs = [short] * number + [long] * number
    random.Random(0).shuffle(costs)
    for place, cost in enumerate(costs):
        try:
            os.close(os.open(os.path.join(os.environ["TAKEN"], str(place)), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        time.sleep(cost)
        return
"""
SLEEPER = """
from sklearn.linear_model import Ridge
from costs import sleep

class Sleeper(Ridge):
    def __init__(self, alpha=1.0, number=1, short=0.0, long=0.0):
        super().__init__(alpha=alpha)
        self.number, self.short, self.long = number, short, long

    def fit(self, X, y):
        sleep(self.number, self.short, self.long)
        return super().fit(X, y)
"""
APP = """
import hydra
from hydra.core.config_store import ConfigStore
from costs import sleep

ConfigStore.instance().store(name="app", node={"alpha": 1.0, "number": 1, "short": 0.0, "long": 0.0})

@hydra.main(config_path=None, config_name="app")
def main(config):
    sleep(config.number, config.short, config.long)
    return config.alpha

main()
"""


def searched(name: str, number: int, short: float, long: float) -> float:
    """Seconds from the first ask to the last tell of a search by `ours` or `hydra`."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for file, text in (("costs.py", COSTS), ("sleeper.py", SLEEPER), ("app.py", APP)):
            (folder / file).write_text(text)
        (folder / "taken").mkdir()
        url = f"sqlite:///{folder}/optuna.db"
        both = [
            "-m", "hydra/sweeper=optuna", "hydra/sweeper/sampler=random", "hydra.sweeper.sampler.seed=1",
            f"hydra.sweeper.n_trials={2 * number}", f"hydra.sweeper.storage={url}", f"hydra.sweeper.n_jobs={WORKERS}",
            "hydra/launcher=joblib", f"hydra.launcher.n_jobs={WORKERS}", f"hydra.sweep.dir={folder}/sweep",
        ]  # fmt: skip
        ours = [
            "-m", "boston_exp.run", *both, "model=ridge", "model._target_=sleeper.Sleeper",
            "trusted_packages=[sklearn,sleeper]", f"+model.number={number}", f"+model.short={short}",
            f"+model.long={long}", "model.alpha=interval(0,1)", "evaluation=holdout", "figures=none",
            "tracking.log_model=none", f"tracking.uri=sqlite:///{folder}/mlflow.db",
        ]  # fmt: skip
        hydras = ["app.py", *both, f"number={number}", f"short={short}", f"long={long}", "alpha=interval(0,1)"]
        hydras += ["hydra.sweeper.study_name=hydra"]
        command = [sys.executable, *(ours if name == "ours" else hydras)]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{folder}", "TAKEN": f"{folder}/taken"}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        (study,) = optuna.get_all_study_names(url)
        trials = optuna.load_study(study_name=study, storage=url).trials_dataframe(("datetime_start", "duration"))
        ended = trials["datetime_start"] + trials["duration"]
        return float((ended.max() - trials["datetime_start"].min()).total_seconds())


def main(number: int = 30, short: float = 0.5, long: float = 5.0) -> None:
    for name in list(os.environ):
        if name.startswith("MLFLOW_"):
            del os.environ[name]
    ideal = number * (short + long) / WORKERS
    title = f"{WORKERS} workers, {number} points of {short:g} s and {number} of {long:g} s; ideal {ideal:g} s"
    table = Table("from the first ask to the last tell", "measured", "bound", "holds", title=title)
    ours = searched("ours", number, short, long)
    row_of(table, f"boston_exp: {ours:.1f} s, times the ideal", ours / ideal, BOUND, "x")
    hydras = searched("hydra", number, short, long)
    table.add_row(f"hydra-optuna-sweeper: {hydras:.1f} s, times the ideal", f"{hydras / ideal:.3g} x", "", "")
    Console(width=120).print(table)


if __name__ == "__main__":
    main(int(sys.argv[1]), *map(float, sys.argv[2:])) if len(sys.argv) > 1 else main()
