"""Harm to each request of a run, a sweep and their publication in turn: `make faults` prints what became of them.

A run and a sweep are published through a proxy that does one kind of harm to one request. Then the proxy is well again,
and the same command follows. In the end everything has to be on the server once, complete, and nothing RUNNING.

    python -m tests.faults.requests_lost [--short SEED]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlflow import MlflowClient

from boston_exp.tracking import sqlite_store
from tests import services
from tests.faults.proxy import FAULTS, Proxy, proxied

RUN = ("model=ridge", "figures=none")
SWEEP = ("-m", "model=ridge", "figures=none", "model.alpha=1,2", "evaluation=holdout")
multiprocessing.set_forkserver_preload(["boston_exp.sweep.preload", "boston_exp.run"])
CONTEXT = multiprocessing.get_context("forkserver")
LIMIT = 60.0  # seconds that any command may take, whatever befalls it
EMPTY: list[Path] = []  # a new store, which takes two seconds to make
HEAD = """# Harm to requests

Printed by `make faults` (`tests/faults/requests_lost.py`): each kind of harm to a request of a run (one in {run})
and to one of a sweep of two points (one in {sweep}), published through a proxy; then the same command again, unharmed.
"""
EXPECTED = "published, or pending and then published"


@dataclass
class Row:
    """One kind of harm to one request."""

    what: str  # run or sweep
    fault: str
    moment: str  # the request that was struck
    codes: list[int] = field(default_factory=list)
    seconds: float = 0.0  # the longest command
    pending: bool = False
    lost: int = 0
    doubled: int = 0
    running: int = 0

    @property
    def well(self) -> bool:
        return not (self.lost or self.doubled or self.running) and set(self.codes) == {0} and self.seconds < LIMIT


def strike(what: str, fault: str, number: int, proxy: Proxy, server: str, folder: Path) -> Row | None:
    """None if the command makes fewer requests than `number`."""
    folder.mkdir()
    name, store = folder.name, folder / "mlflow.db"
    shutil.copy(EMPTY[0], store)
    place = (
        f"tracking.uri={proxy.url}", f"tracking.local_uri=sqlite:///{store}", f"tracking.experiment_name={name}",
    )  # fmt: skip
    own = RUN if what == "run" else SWEEP
    proxy.plan(fault, range(number, number + 1), delay=6.5)
    row = Row(what, fault, "")
    command(row, folder, *own, *place)
    if not proxy.struck:
        return None
    row.moment = proxy.struck[0].partition("?")[0].replace("/api/2.0/", "")
    proxy.settle()
    proxy.plan("", range(0))
    more = ("skip_finished=true",) if what == "run" else ()
    command(row, folder, *own, *more, *place)
    check(row, server, name, store, folder)
    return row


def command(row: Row, folder: Path, *overrides: str) -> None:
    begun = time.monotonic()
    places = (f"hydra.run.dir={folder}/outputs", f"hydra.sweep.dir={folder}/multirun")
    started = CONTEXT.Process(target=_command, args=([*overrides, *places], folder))
    started.start()
    started.join(LIMIT + 30)
    if started.exitcode is None:
        started.kill()
    row.seconds = max(row.seconds, time.monotonic() - begun)
    row.codes.append(-1 if started.exitcode is None else started.exitcode)
    row.pending |= "pending for" in (folder / "said").read_text()


def _command(arguments: list[str], folder: Path) -> None:
    """In a process of its own, forked where the imports are done: they are most of what a command costs."""
    os.chdir(folder)
    said = os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    sys.argv = ["boston_exp.run", *arguments]
    from boston_exp.run import main

    main()


def check(row: Row, server: str, name: str, store: Path, folder: Path) -> None:
    """What is on the server against what is here."""
    local, client = MlflowClient(f"sqlite:///{store}"), MlflowClient(server)
    here = local.search_runs([local.get_experiment_by_name(name).experiment_id])
    experiment = client.get_experiment_by_name(name)
    there = client.search_runs([experiment.experiment_id]) if experiment else []
    sources = Counter(run.data.tags.get("sync.source") for run in there)
    whole = {run.data.tags.get("sync.source") for run in there if "sync.complete" in run.data.tags}
    models = client.search_logged_models([experiment.experiment_id]) if experiment else []
    of_models = Counter(model.tags.get("sync.source_model") for model in models)
    row.lost = len([run for run in here if run.info.run_id not in whole])
    row.lost += len([model for model in models if str(model.status) != "READY"])
    row.doubled = sum(count - 1 for count in (*sources.values(), *of_models.values()))
    row.running = len([run for run in (*here, *there) if run.info.status == "RUNNING"])


def two_publishers(proxy: Proxy, server: str, folder: Path) -> Row:
    """Two commands on one store at once, each with the backlog of an outage before it."""
    folder.mkdir()
    name, store = folder.name, folder / "mlflow.db"
    shutil.copy(EMPTY[0], store)
    here = (f"tracking.local_uri=sqlite:///{store}", f"tracking.experiment_name={name}")
    row = Row("two at once", "none", "both publish the backlog")
    proxy.plan("500", range(1, 10_000))
    command(row, folder, *SWEEP, f"tracking.uri={proxy.url}", *here)
    proxy.plan("", range(0))
    call = [sys.executable, "-m", "boston_exp.run", *RUN, f"tracking.uri={proxy.url}", *here]
    both = [
        subprocess.Popen(
            [*call, f"seed={seed}", f"hydra.run.dir={folder}/{seed}"],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for seed in (1, 2)
    ]
    row.codes += [each.wait(LIMIT) for each in both]
    command(row, folder, *RUN, "seed=1", "skip_finished=true", f"tracking.uri={proxy.url}", *here)
    command(row, folder, *RUN, "seed=3", f"tracking.uri={proxy.url}", *here)
    check(row, server, name, store, folder)
    return row


def rows(
    server: str, folder: Path, short: int | None = None, every: tuple[int, int] = (1, 1), faults: Sequence[str] = FAULTS
) -> Iterator[Row]:
    """Every fault at every request, or every nth, of a run and of a sweep; in the short form at one request of a run
    for each fault, drawn with the seed."""
    draw = random.Random(short)  # noqa: S311
    EMPTY[:] = [folder / "empty.db"]
    sqlite_store.create(EMPTY[0], "unused")
    with proxied(server) as proxy:
        for what in ("run",) if short is not None else ("run", "sweep"):
            for fault in faults:
                if short is not None:
                    row = strike(what, fault, draw.randint(4, 16), proxy, server, folder / f"{what}-{fault}")
                    if row:
                        yield row
                    continue
                number = 1
                while row := strike(what, fault, number, proxy, server, folder / f"{what}-{fault}-{number}"):
                    yield row
                    number += every[what == "sweep"]
        yield two_publishers(proxy, server, folder / "two")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--short", type=int, metavar="SEED", help="one request for each fault, drawn with this seed")
    parser.add_argument("--every", default="1,1", metavar="N,M", help="every Nth request of the run, Mth of the sweep")
    parser.add_argument("--faults", default=",".join(FAULTS), help="kinds of harm")
    chosen = parser.parse_args()
    one, other = chosen.every.split(",")
    every = (int(one), int(other))
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        (folder / "work").mkdir()
        with services.server_with_gateway(folder) as server:
            found = []
            print(HEAD.format(run=every[0], sweep=every[1]))
            print("| command | fault | moment | expected | seen | lost | doubled | RUNNING | longest |")
            print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
            for row in rows(server.url, folder / "work", chosen.short, every, chosen.faults.split(",")):
                found.append(row)
                seen = "pending, then published" if row.pending else "published"
                cells = (row.what, row.fault, f"`{row.moment}`", EXPECTED, seen, row.lost, row.doubled, row.running)
                print(f"| {' | '.join(map(str, cells))} | {row.seconds:.0f} s |", flush=True)
    bad = [row for row in found if not row.well]
    print(f"\n{len(found)} faults: {sum(row.lost for row in found)} lost, {sum(row.doubled for row in found)} doubled, "
          f"{sum(row.running for row in found)} RUNNING, {len(bad)} not as expected")  # fmt: skip
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
