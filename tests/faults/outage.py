"""2,000 runs that were kept during an outage, then brought to a server by `sync`: none lost, doubled or RUNNING.

    python -m tests.faults.outage [--runs 2000] [--real 20]      some ten minutes; prints a table

`--real` of them are trained by `boston_exp.run` while no server answers, each with its model. The others are made of
one of these through MLflow's client: its params, metrics, tags, data set and artifacts, under a name, a time and scores
of their own, without a model, pending as a run is that was recorded during an outage.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from boston_exp.tracking import sqlite_store
from tests import services
from tests.faults import balance, forked
from tests.faults.balance import Balance
from tests.faults.forked import Command

NAME = "kept-during-an-outage"
AWAY = "http://127.0.0.1:9"  # nobody listens there
LIMIT = 3600.0  # seconds for a sync
HEAD = """# Runs kept during an outage

Printed by `python -m tests.faults.outage` (`make faults`): {runs} pending runs in one sqlite store are brought to an
MLflow server by `boston_exp.sync`. {real} of them were trained by `boston_exp.run` while no server answered, each with
its model; the others are made of one of these through MLflow's client, with its params, metrics, data set, tags and
artifacts, under a name, a time and scores of their own, and without a model. Then the same command again.
"""


@dataclass
class Synced:
    """One start of the command."""

    code: int | None
    seconds: float
    memory: int  # bytes, at the most
    said: str


def trained(folder: Path, store: Path, server: str, real: int) -> None:
    """Runs of one command each, recorded while no server answers; then they are pending for `server`."""
    for number in range(real):
        where = (f"tracking.uri={AWAY}", f"tracking.local_uri=sqlite:///{store}", f"tracking.experiment_name={NAME}")
        own = ("model=ridge", f"model.alpha={number + 1}", "figures=none", f"hydra.run.dir={folder}/outputs/{number}")
        command = Command("run", (*own, "tracking=server", *where), folder, folder / "temporary")
        assert forked.done(command) == 0, command.said
    client = MlflowClient(f"sqlite:///{store}")
    for run in balance.runs_of(client, NAME):
        assert run.data.tags["sync.state"] == "pending"
        client.set_tag(run.info.run_id, "sync.server", server)


def multiplied(client: MlflowClient, run: Run, count: int) -> None:
    """As many more runs like this one, each with scores of its own."""
    tags = {key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.runName")}
    params = [Param(key, value) for key, value in run.data.params.items()]
    files = client.download_artifacts(run.info.run_id, "")
    for number in range(count):
        start = int(run.info.start_time) + 1000 * number
        info = client.create_run(run.info.experiment_id, start, tags, f"kept {number}").info
        scores = [
            Metric(key, value + number / 1e4, start + 500, 0, run_id=info.run_id)
            for key, value in run.data.metrics.items()
        ]
        client.log_batch(info.run_id, params=params[:100], tags=[RunTag("number", str(number))])
        client.log_batch(info.run_id, scores, params[100:])
        client.log_inputs(info.run_id, run.inputs.dataset_inputs)
        place = get_artifact_repository(info.artifact_uri, tracking_uri=client.tracking_uri)
        for path in Path(files).iterdir():
            if path.name != "model":
                (place.log_artifacts if path.is_dir() else place.log_artifact)(
                    str(path), path.name if path.is_dir() else None
                )
        client.set_terminated(info.run_id, "FINISHED", start + 900)


def synced(command: Command) -> Synced:
    """The command, and how much memory it takes."""
    begun, most = time.monotonic(), 0
    started = forked.start(command, whole=True)
    process = psutil.Process(started.pid)
    while (code := started.code(0.2)) is None and time.monotonic() - begun < LIMIT:
        try:
            most = max(most, process.memory_info().rss)
        except psutil.NoSuchProcess:
            break
    code = started.code(10)
    return Synced(code, time.monotonic() - begun, most, command.said)


def seen(store: Path, server: str) -> Balance:
    """What is wrong in the end, files included."""
    found = balance.look(store, server, NAME)
    client = MlflowClient(server)
    here = {run.info.run_id: run for run in balance.runs_of(balance.opened(store), NAME)}
    states = Counter(run.data.tags.get("sync.state") for run in here.values())
    if set(states) != {"published"}:
        found.add("lost", f"states here: {dict(states)}")
    for copy in balance.runs_of(client, NAME)[:: max(1, len(here) // 50)]:  # some fifty of them, spread over all
        source = here[copy.data.tags["sync.source"]]
        folder = Path(source.info.artifact_uri.removeprefix("file://"))
        wanted = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
        with tempfile.TemporaryDirectory() as name:
            got = Path(client.download_artifacts(copy.info.run_id, "", name))
            for path in wanted:
                same = (got / path).is_file() and (got / path).read_bytes() == (folder / path).read_bytes()
                if not same and not path.endswith("MLmodel"):
                    found.add("lost", f"{path} of {source.info.run_id}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--real", type=int, default=20)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="outage-") as name:
        folder = Path(name)
        for part in ("work", "work/temporary"):
            (folder / part).mkdir()
        store = folder / "work" / "mlflow.db"
        with services.server_with_gateway(folder) as server:
            found = outage(folder / "work", store, server.url, chosen.runs, chosen.real)
    sys.exit(bool(found.wrong))


def outage(folder: Path, store: Path, server: str, runs: int, real: int) -> Balance:
    """Make the runs, bring them, look, and print what is seen."""
    sqlite_store.create(store, "unused")
    trained(folder, store, server, real)
    client = MlflowClient(f"sqlite:///{store}")
    multiplied(client, balance.runs_of(client, NAME)[0], runs - real)
    size = sum(file.stat().st_size for file in (folder / "mlartifacts").rglob("*") if file.is_file())
    print(f"made {runs} runs, {size / 1e6:.0f} MB of artifacts", file=sys.stderr)
    where = ("tracking=server", f"tracking.uri={server}", f"tracking.local_uri=sqlite:///{store}")
    command = Command("sync", where, folder, folder / "temporary")
    starts = [synced(command), synced(command)]
    found = seen(store, server)
    print(HEAD.format(runs=runs, real=real))
    print("| runs | whole copies | models loaded, here and there | lost | doubled | RUNNING | half a model |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    counts = [found.count(kind) for kind in ("lost", "doubled", "RUNNING", "half a model")]
    print(f"| {found.runs} | {found.copies} | {found.models} | {' | '.join(map(str, counts))} |\n")
    print("| sync | code | seconds | a run | memory at the most |")
    print("| --- | --- | --- | --- | --- |")
    for which, start in zip(("first", "again"), starts, strict=True):
        each = f"{1000 * start.seconds / runs:.0f} ms"
        print(f"| {which} | {start.code} | {start.seconds:.0f} | {each} | {start.memory / 1e6:.0f} MB |")
        if start.code != 0:
            found.add("failed", forked.last_words(start.said, 6))
    print(f"\n{size / 1e6:.0f} MB of artifacts.")
    for kind, says in found.wrong[:20]:
        print(f"- {kind}: {says}")
    return found


if __name__ == "__main__":
    main()
