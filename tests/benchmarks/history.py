"""What a question to a large history costs: the 20 best of 10,000 runs, each with 60 params and 40 metrics.

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
TURNS = 5
ASK = """
import sys, time
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.mlflow import history
from boston_exp.tracking.protocol import Columns
import mlflow.store.tracking.sqlalchemy_store, mlflow.store.tracking.rest_store
where = Destination("mlflow", sys.argv[1], "", None, "large", server=sys.argv[2] or None)
begun = time.perf_counter()
found = history.MlflowHistory(where, on_server=bool(sys.argv[2])).best(
    "cv_rmse", "minimize", 20, Columns(("model.p1", "model.p2", "seed"), ("cv_rmse_std", "rmse"), ("fingerprint",)))
print(time.perf_counter() - begun)
assert len(found) == 20 and len(found[0].params) == 2 and found[0].metrics.keys() == {"rmse", "cv_rmse_std"}
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
                [(f"model.p{each}", str(numbers.random()), run_id) for each in range(PARAMS)],
            )
            values = [(name, numbers.random(), number, 0, False, run_id) for name in names]
            for table in ("latest_metrics", "metrics"):
                connection.executemany(
                    f"INSERT INTO {table} (key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608
                    values,
                )
            connection.execute("INSERT INTO tags (key, value, run_uuid) VALUES ('fingerprint', ?, ?)", (run_id, run_id))
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
    table = Table("what", "measured", "bound", "holds", title=f"the 20 best of {RUNS:,} runs")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = folder / "server" / ".stack" / "mlflow.db"  # where compose/mlflow.sh has it
        store.parent.mkdir(parents=True)
        sqlite_store.create(store, str(folder / "artifacts"))
        fill(store)
        uri = f"sqlite:///{store}"
        row_of(table, "sqlite", seconds(ASK, uri, ""), 1.5, "s")
        table.add_row("MLflow's own search on it", f"{seconds(SEARCH, uri):.3g} s", "", "")
        with services.mlflow_server(folder / "server", "http://127.0.0.1:9") as server:
            row_of(table, "a server", seconds(ASK, uri, server.url), 5, "s")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
