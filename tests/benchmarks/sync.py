"""What `sync` costs: 1,000 runs with models to a server, against copying their bytes; 10,000 that are there already.

python -m tests.benchmarks.sync [--runs 1000]         some twenty minutes (make bench runs it, too)
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import boto3
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, Metric, Param, Run, RunTag
from rich.console import Console
from rich.table import Table

from boston_exp.tracking import sqlite_store
from tests import services
from tests.benchmarks import history
from tests.benchmarks.sweeps import row_of
from tests.conftest import ROOT

EXPERIMENT = "boston-housing"
RUN = ("model=random_forest", "model.n_estimators=50", "figures=none")
AT_ONCE = 8  # uploads of boto3
# Where a server has its artifacts written: through itself, or by its clients directly.
WAYS = {
    "handed through the server": "",
    "directly to S3": "--no-serve-artifacts --default-artifact-root s3://mlflow-artifacts",
}
MEASURED = """
import resource, sys
import boston_exp.sync, boston_exp.lifecycle.syncing.screen, boston_exp.tracking.publishing.opening
import mlflow.store.tracking.sqlalchemy_store, mlflow.store.tracking.rest_store, boto3
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    boston_exp.sync.main()
finally:
    print(f"memory {(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000:.0f}", file=sys.stderr)
"""


def filled(folder: Path, number: int) -> Path:
    """A store with so many runs: one that was really trained, and its like under other ids."""
    store = folder / "mlflow.db"
    command = [sys.executable, "-m", "boston_exp.run", *RUN, f"tracking.uri=sqlite:///{store}"]
    environment = services.plain_environment(PYTHONPATH=str(ROOT))
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    client = MlflowClient(f"sqlite:///{store}")
    (run,) = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
    for each in range(number - 1):
        _again(client, run, each)
    return store


def _again(client: MlflowClient, run: Run, number: int) -> None:
    tags = {name: value for name, value in run.data.tags.items() if name != "mlflow.runName"}
    copy = client.create_run(run.info.experiment_id, start_time=run.info.start_time + number, tags=tags).info
    (output,) = run.outputs.model_outputs
    model = client.get_logged_model(output.model_id)
    new = client.create_logged_model(
        run.info.experiment_id, name=model.name, source_run_id=copy.run_id, params=model.params, tags=model.tags
    )
    client.log_outputs(copy.run_id, [LoggedModelOutput(new.model_id, step=0)])
    client.log_inputs(copy.run_id, run.inputs.dataset_inputs)
    for source, target in ((run.info, copy), (model, new)):
        old, place = (getattr(each, "artifact_uri", None) or each.artifact_location for each in (source, target))
        shutil.copytree(old.removeprefix("file://"), place.removeprefix("file://"), dirs_exist_ok=True)
    metrics = [
        Metric(name, value, copy.start_time, 0, model_id=new.model_id) for name, value in run.data.metrics.items()
    ]
    client.log_batch(
        copy.run_id, metrics, [Param(*each) for each in run.data.params.items()], [RunTag("copied", "yes")]
    )
    client.finalize_logged_model(new.model_id, "READY")
    client.set_terminated(copy.run_id, "FINISHED", copy.start_time + 1000)


def synced(folder: Path, *overrides: str) -> tuple[float, float]:
    """Seconds of the whole command, and megabytes beyond its imports."""
    command = [sys.executable, "-c", MEASURED, *overrides]
    environment = services.plain_environment(PYTHONPATH=str(ROOT), **services.ENVIRONMENT)
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)
    took = time.perf_counter() - begun
    print(done.stdout, done.stderr, sep="", file=sys.stderr)
    assert done.returncode == 0
    return took, float(done.stderr.rpartition("memory ")[2])


def copied(store: Path, url: str) -> float:
    """Seconds that boto3 takes for the same files, several at once."""
    keys = services.ENVIRONMENT
    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=keys["MINIO_ROOT_USER"],
        aws_secret_access_key=keys["MINIO_ROOT_PASSWORD"],
    )
    bucket = f"bench-{time.time():.0f}"
    client.create_bucket(Bucket=bucket)
    files = [file for file in (store.parent / "mlartifacts").rglob("*") if file.is_file()]
    begun = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(lambda file: client.upload_file(str(file), bucket, str(file)), files))
    return time.perf_counter() - begun


@contextmanager
def stack(folder: Path, options: str) -> Iterator[tuple[str, str]]:
    """The addresses of a server with two workers and of the gateway behind it."""
    for part in ("gateway", "server"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    more = {"MLFLOW_SERVER_OPTIONS": f"--workers 2 {options}"}
    with (
        services.gateway(folder / "gateway") as objects,
        services.mlflow_server(folder / "server", objects.url, **more) as server,
    ):
        yield server.url, objects.url


def many(folder: Path) -> float:
    """Seconds to know that all of 10,000 runs are there."""
    source, target = folder / "many.db", folder / "server" / ".stack" / "mlflow.db"
    target.parent.mkdir(parents=True)
    sqlite_store.create(source, str(folder / "artifacts"))
    history.fill(source)
    shutil.copy(source, target)
    with sqlite3.connect(target) as connection:
        for key, value in (("sync.source", "run_uuid"), ("sync.complete", "end_time")):
            connection.execute(f"INSERT INTO tags (key, value, run_uuid) SELECT '{key}', {value}, run_uuid FROM runs")  # noqa: S608
        for table in ("runs", "params", "metrics", "latest_metrics", "tags"):  # copies have ids of their own
            connection.execute(f"UPDATE {table} SET run_uuid = substr(run_uuid, 17) || substr(run_uuid, 1, 16)")  # noqa: S608
    connection.close()
    with stack(folder, "") as (server, _):
        place = [f"tracking.uri={server}", f"tracking.local_uri=sqlite:///{folder}/own.db"]
        return synced(folder, *place, f"source=sqlite:///{source}", "experiments=[large]", "dry_run=true")[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    number = parser.parse_args().runs
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "AWS_")):
            del os.environ[name]
    table = Table("what", "measured", "bound", "holds", title=f"sync, two cores, {number:,} runs with models")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = filled(folder, number)
        size = sum(file.stat().st_size for file in (folder / "mlartifacts").rglob("*") if file.is_file())
        table.add_row("bytes", f"{size / 1e6:,.0f} MB", "", "")
        for way, options in WAYS.items():
            with stack(folder / way.replace(" ", "-"), options) as (server, objects):
                place = [f"tracking.uri={server}", "storage=minio", f"storage.endpoint_url={objects}"]
                took, memory = synced(folder, *place, f"tracking.local_uri=sqlite:///{store}", "all=true")
                bytes_alone = copied(store, objects)
            table.add_row(f"{way}: boto3 alone", f"{bytes_alone:.1f} s", "", "")
            row_of(table, f"{way}: sync", took, 1.5 * bytes_alone + 0.15 * number, "s")
            row_of(table, f"{way}: memory beyond imports", memory, 300, "MB")
            shutil.rmtree(folder / way.replace(" ", "-"))
        row_of(table, f"{history.RUNS:,} runs that are there already", many(folder / "many-runs"), 60, "s")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
