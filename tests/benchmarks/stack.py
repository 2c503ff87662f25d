"""What the real services cost: a point of a sweep, the look at them, and the start of the stack.

python -m tests.benchmarks.stack            some two minutes (make bench runs it, too)
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests import services
from tests.benchmarks.sweeps import row_of, sweep

GRID = (
    "model.n_estimators=50,100", "model.max_depth=5,10,15", "model.min_samples_split=2,5,10",
    "evaluation=holdout", "figures=none", "tracking.log_model=all",
)  # fmt: skip
POINTS = 18
LOOK = """
import time, mlflow
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.publishing import health
import requests
where = Destination("mlflow", "sqlite:///x.db", "", None, "boston-housing", server={url!r})
begun = time.perf_counter()
assert health.outage(where) is None
print(time.perf_counter() - begun)
"""


def a_point(folder: Path, store: str, *overrides: str) -> float:
    """Seconds of a point in a warm sweep, until the last one is recorded wherever it has to be."""
    made = sweep(folder, store, *GRID, *overrides)
    return (made.seconds - made.first) / POINTS


def the_look(url: str) -> float:
    """Seconds that the first question in a process takes."""
    code = LOOK.format(url=url)
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def alone(folder: Path) -> float:
    """Seconds until an MLflow server without anything else is healthy, its store new."""
    folder.mkdir()
    begun = time.monotonic()
    with services.mlflow_server(folder, "http://127.0.0.1:9"):
        return time.monotonic() - begun


def whole_stack(folder: Path) -> float:
    """Seconds until `make stack`'s Procfile is ready, everything in it new."""
    shutil.copytree(services.ROOT / "compose", folder / "compose")
    shutil.copytree(services.ROOT / "data" / "remote", folder / "data" / "remote")
    ports = {"MLFLOW_PORT": str(services.free_port()), "MINIO_PORT": str(services.free_port())}
    settings = services.ENVIRONMENT | ports
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    begun = time.monotonic()
    command = ["honcho", "-e", ".env", "-f", "compose/Procfile", "-d", ".", "start"]
    with services.process(command, folder, services.plain_environment()) as started:
        while b"ready: MLflow" not in (folder / "log").read_bytes():
            assert started.poll() is None, (folder / "log").read_text()
            time.sleep(0.05)
        return time.monotonic() - begun


def main() -> None:
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "AWS_")):
            del os.environ[name]
    table = Table("what", "measured", "bound", "holds", title="the stack, two cores")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "runs").mkdir()
        with services.server_with_gateway(folder) as server:
            here, there = [], []
            for turn in range(3):  # both sides in turn, so that the machine's drift cancels out
                here.append(a_point(folder / "runs", f"here{turn}"))
                uri = (f"tracking.uri={server.url}", f"tracking.local_uri=sqlite:///{folder}/runs/there{turn}.db")
                there.append(a_point(folder / "runs", f"there{turn}", *uri, f"tracking.experiment_name=turn{turn}"))
            looks = [the_look(server.url) for _ in range(7)]
        ratio = statistics.median(far / near for near, far in zip(here, there, strict=True))
        table.add_row("a point, every model stored: here", f"{statistics.median(here):.3f} s", "", "")
        table.add_row("the same, published to server and gateway", f"{statistics.median(there):.3f} s", "", "")
        row_of(table, "a point there against one here", ratio, 3, "x")
        row_of(table, "the look whether the services are there", statistics.median(looks), 0.1, "s")
        starts = []
        for turn in range(3):
            (folder / f"stack{turn}").mkdir()
            starts.append((alone(folder / f"alone{turn}"), whole_stack(folder / f"stack{turn}")))
        table.add_row(
            "MLflow server alone, until healthy", f"{statistics.median(one for one, _ in starts):.1f} s", "", ""
        )
        row_of(table, "the stack, beyond that", statistics.median(both - one for one, both in starts), 5, "s")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
