"""What a question to a large history costs: 10,000 runs in three groups, each with 60 params and 40 metrics.

python -m tests.benchmarks.history            some two minutes (make bench runs it, too)
"""

from __future__ import annotations

import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

from rich.console import Console
from rich.table import Table

from boston_exp.tracking import sqlite_store
from tests import services
from tests.benchmarks.sweeps import row_of

RUNS, PARAMS, METRICS = 10_000, 60, 40
COMMON = {
    "data.target": "MEDV", "data.target_unit": "thousand USD", "data.test_size": "0.2", "data.split_seed": "42",
    "data.n_train": "404", "data.n_test": "102", "evaluation.n_splits": "5", "seed": "42",
}  # fmt: skip
TURNS = 5
ASK = """
import sys, time
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.mlflow import history
import mlflow.store.tracking.sqlalchemy_store, mlflow.store.tracking.rest_store
where = Destination("mlflow", sys.argv[1], "", None, "large", server=sys.argv[2] or None)
begun = time.perf_counter()
found = history.MlflowHistory(where, on_server=bool(sys.argv[2])).best(
    "cv_rmse", "minimize", 20)
print(time.perf_counter() - begun)
assert len(found) == 20
"""
BOARDS = """
import sys, time
from boston_exp.experiment.metrics import METRICS
from boston_exp.lifecycle.ranking import standings
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.mlflow import history
import mlflow.store.tracking.sqlalchemy_store, mlflow.store.tracking.rest_store
where = Destination("mlflow", sys.argv[1], "", None, "large", server=sys.argv[2] or None)
begun = time.perf_counter()
found = standings.boards(history.MlflowHistory(where, on_server=bool(sys.argv[2])), METRICS[1], 10)
print(time.perf_counter() - begun)
assert [len(board.standings) for board in found.boards] == [10, 10, 10]
assert sorted(board.consulted for board in found.boards) == [100, 900, 9000]
"""
SEARCH = """
import sys, time
from mlflow import MlflowClient
import mlflow.store.tracking.sqlalchemy_store
client = MlflowClient(sys.argv[1])
begun = time.perf_counter()
experiment = client.get_experiment_by_name("large")
found = client.search_runs([experiment.experiment_id], "attributes.status = 'FINISHED'", max_results=20,
    order_by=["metrics.cv_rmse ASC"])
print(time.perf_counter() - begun)
"""


def fill(store: Path) -> None:
    """Write the runs as MLflow's tables have them; through its client that would take a quarter of an hour."""
    numbers = random.Random(0)  # noqa: S311
    names = ["cv_rmse", "cv_rmse_std", "rmse", *(f"m{number}" for number in range(METRICS - 3))]
    with sqlite3.connect(store) as connection:
        connection.execute(
            "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, workspace)"
            " SELECT 77, 'large', 'nowhere', 'active', workspace FROM experiments LIMIT 1"
        )
        columns = {column[1] for column in connection.execute("PRAGMA table_info(runs)")}
        for number in range(RUNS):
            run_id = uuid.UUID(int=numbers.getrandbits(128)).hex
            run = {
                "run_uuid": run_id, "name": f"run {number}", "source_type": "LOCAL", "status": "FINISHED",
                "start_time": number, "end_time": number + 1, "lifecycle_stage": "active", "experiment_id": 77,
                "artifact_uri": "nowhere", "user_id": "me", "source_name": "", "entry_point_name": "",
                "source_version": "",
            }  # fmt: skip
            assert run.keys() <= columns
            marks = ",".join("?" * len(run))
            connection.execute(f"INSERT INTO runs ({','.join(run)}) VALUES ({marks})", list(run.values()))  # noqa: S608
            connection.executemany(
                "INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)",
                [
                    *((f"model.p{each}", str(numbers.random()), run_id) for each in range(PARAMS - len(COMMON))),
                    *((name, value, run_id) for name, value in COMMON.items()),
                ],
            )
            values = [(name, numbers.random(), number, 0, False, run_id) for name in names]
            for table in ("latest_metrics", "metrics"):
                connection.executemany(
                    f"INSERT INTO {table} (key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608
                    values,
                )
            group = "2" if number % 100 == 0 else "1" if number % 10 == 0 else "0"
            tags = {"fingerprint": run_id, "config.digest": run_id, "data.md5": group * 32, "split.digest": group * 32}
            connection.executemany(
                "INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)",
                [(name, value, run_id) for name, value in tags.items()],
            )
    connection.close()


def seconds(code: str, *arguments: str) -> float:
    """Median over processes of their own, beyond their imports."""
    command = [sys.executable, "-c", code, *arguments]
    return statistics.median(
        float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])
        for _ in range(TURNS)
    )


def main() -> None:
    for name in list(os.environ):
        if name.startswith("MLFLOW_"):
            del os.environ[name]
    table = Table("what", "measured", "bound", "holds", title=f"{RUNS:,} runs")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = folder / "server" / ".stack" / "mlflow.db"  # where compose/mlflow.sh has it
        store.parent.mkdir(parents=True)
        sqlite_store.create(store, str(folder / "artifacts"))
        fill(store)
        uri = f"sqlite:///{store}"
        row_of(table, "the 20 best, sqlite", seconds(ASK, uri, ""), 1.5, "s")
        row_of(table, "leaderboard, sqlite", seconds(BOARDS, uri, ""), 2, "s")
        table.add_row("MLflow's own search on it", f"{seconds(SEARCH, uri):.3g} s", "", "")
        with services.mlflow_server(folder / "server", "http://127.0.0.1:9") as server:
            row_of(table, "the 20 best, a server", seconds(ASK, uri, server.url), 5, "s")
            row_of(table, "leaderboard, a server", seconds(BOARDS, uri, server.url), 6, "s")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
