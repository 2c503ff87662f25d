"""Sweeps that are left on real clusters, and the commands that leave them killed: is each point on the server once?

python -m tests.faults.detached [--kills 4]      some ten minutes, as root, with slurm-wlm, munge and iproute2;
`make faults` keeps its table in docs/proofs/cluster.md.

Slurm: a controller and two nodes that share this machine's folders, each with a host name and so a store of its own.
Ray: two nodes in two network namespaces, with processes, folders and a copy of the project of their own; the command is
typed on the first. Both publish to one MLflow server. The commands are killed with SIGKILL at moments that are spread
over their life, and then given until nothing is left.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mlflow import MlflowClient

from tests import clusters, services
from tests.clusters import NETWORK
from tests.conftest import ROOT

POINTS = 10
SECONDS = 1.5  # of a fit
ESTIMATOR = """
import time
from sklearn.linear_model import Ridge

class Slow(Ridge):
    def fit(self, X, y):
        time.sleep({seconds})
        return super().fit(X, y)
"""
SWEEP = (
    sys.executable, "-m", "boston_exp.run", "-m", "model=ridge", "model._target_=slow.Slow",
    "trusted_packages=[sklearn,slow]", "figures=none", "evaluation=holdout", f"model.alpha=range(1,{POINTS + 1})",
    "detach=true",
)  # fmt: skip


@dataclass
class Seen:
    """What became of one sweep."""

    commands: int = 0
    killed: int = 0
    hosts: dict[str, int] = field(default_factory=dict)  # points by the store that has them
    statuses: Counter[str] = field(default_factory=Counter)  # of the points' copies on the server
    twice: int = 0
    missing: int = 0
    last: str = ""  # first line of the last command
    status: str = ""  # of the sweep's copy


Command = Callable[[Sequence[str]], "subprocess.Popen[str]"]


def sweep(start: Command, url: str, experiment: str, kills: Sequence[float], typed: Sequence[str]) -> Seen:
    """Kill the command once for each of the times (seconds after its start), then let it collect all."""
    seen = Seen()
    overrides = [*SWEEP, *typed, f"tracking.uri={url}", f"tracking.experiment_name={experiment}"]
    for seconds in kills:
        command = start(overrides)
        time.sleep(seconds)
        seen.killed += command.poll() is None
        seen.commands += 1
        services.kill(command)
        command.communicate()
    until = time.monotonic() + 300
    while time.monotonic() < until:
        command = start(overrides)
        out, err = command.communicate()
        seen.commands += 1
        seen.last = out.partition("\n")[0]
        if command.returncode != 0:
            print(out, err, file=sys.stderr)
        if f"{POINTS} points: " in seen.last and not (" waiting" in seen.last or " running" in seen.last):
            break
        time.sleep(1)
    _look(seen, url, experiment)
    return seen


def _look(seen: Seen, url: str, experiment: str) -> None:
    client = MlflowClient(url)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    runs = client.search_runs([found.experiment_id], max_results=1000)
    points = [run for run in runs if "sweep.point" in run.data.tags]
    seen.statuses = Counter(run.info.status for run in points)
    done = Counter(run.data.tags["sweep.point"] for run in points if run.info.status == "FINISHED")
    seen.twice, seen.missing = sum(count > 1 for count in done.values()), POINTS - len(done)
    (parent,) = [run for run in runs if "sweep.point" not in run.data.tags]
    assert {run.data.tags["mlflow.parentRunId"] for run in points} == {parent.info.run_id}
    seen.status = parent.info.status


def points_in(store: Path) -> int:
    """Finished points that a store has itself."""
    client = MlflowClient(f"sqlite:///{store}")
    everywhere = [experiment.experiment_id for experiment in client.search_experiments()]
    finished = client.search_runs(everywhere, "attributes.status = 'FINISHED'", max_results=1000)
    return sum("sweep.point" in run.data.tags for run in finished)


@contextmanager
def on_slurm(folder: Path) -> Iterator[tuple[Command, list[str], Callable[[], dict[str, int]]]]:
    own = folder / "here"
    own.mkdir()
    (own / "slow.py").write_text(ESTIMATOR.format(seconds=SECONDS))
    (folder / "slurm").mkdir()
    with clusters.slurm(folder / "slurm") as environment:
        given = services.plain_environment(**environment, PYTHONPATH=f"{ROOT}:{own}", XDG_STATE_HOME=str(own))

        def start(command: Sequence[str]) -> subprocess.Popen[str]:
            return subprocess.Popen(
                command, cwd=own, env=given, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )

        typed = [
            "hydra/launcher=submitit_slurm", f"tracking.local_uri=sqlite:///{own}/mlflow.db",
            f"hydra.sweep.dir={own}/sweep",
        ]  # fmt: skip
        yield start, typed, lambda: {store.stem: points_in(store) for store in sorted(own.glob("mlflow*.db"))}


@contextmanager
def on_ray(folder: Path) -> Iterator[tuple[Command, list[str], Callable[[], dict[str, int]]]]:
    own = folder / "o"  # short: Ray makes sockets below it
    own.mkdir()
    (folder / "slow.py").write_text(ESTIMATOR.format(seconds=SECONDS))
    (folder / "logs").mkdir()
    given = services.plain_environment(
        RAY_AUTH_MODE="disabled", PYTHONPATH=f"{ROOT}:{folder}", PWD=str(own), HOME=str(own), TMPDIR=str(own),
        RAY_TMPDIR=str(own), XDG_STATE_HOME=str(own),
    )  # fmt: skip
    with clusters.separate_nodes(folder / "logs", own) as nodes, clusters.ray_on(nodes, folder / "logs", given):

        def start(command: Sequence[str]) -> subprocess.Popen[str]:
            inside = nodes[0].entered(*command, folder=str(own))
            return subprocess.Popen(inside, env=given, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

        def stores() -> dict[str, int]:
            found = {}
            for node in nodes:
                copies = folder / node.name
                copies.mkdir()
                for file in Path(f"/proc/{node.init}/root{own}").glob("mlflow*.db*"):  # sqlite would lose its way there
                    shutil.copy(file, copies)
                for store in sorted(copies.glob("mlflow*.db")):
                    found[f"{node.name}: {store.stem}"] = points_in(store)
            return found

        typed = [
            "hydra/launcher=ray", "hydra.launcher.ray.init.address=auto", f"tracking.local_uri=sqlite:///{own}/mlflow.db",
            f"hydra.sweep.dir={own}/sweep",
        ]  # fmt: skip
        yield start, typed, stores


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=4)
    arguments = parser.parse_args()
    times = [0.5 + 12.0 * number / max(1, arguments.kills - 1) for number in range(arguments.kills)]
    rows, wrong = [], 0
    for name, cluster in (("Slurm", on_slurm), ("Ray", on_ray)):
        for kills in ([], times):
            with tempfile.TemporaryDirectory(prefix="left-") as place, ExitStack() as stack:
                folder = Path(place)
                folder.chmod(0o755)
                (folder / "server").mkdir()
                start, typed, stores = stack.enter_context(cluster(folder))
                host = f"{NETWORK}.1" if cluster is on_ray else "127.0.0.1"
                server = stack.enter_context(services.mlflow_ui(folder / "server", folder / "server.db", host))
                seen = sweep(start, server.url, f"left-{name}-{len(kills)}", kills, typed)
                seen.hosts = stores()
            where = ", ".join(f"{store} {count}" for store, count in seen.hosts.items())
            statuses = ", ".join(f"{count} {status}" for status, count in seen.statuses.items())
            counts = (seen.commands, seen.killed, statuses, seen.twice, seen.missing, seen.status)
            rows.append(f"| {name} | {' | '.join(map(str, counts))} | {where} |")
            wrong += seen.twice + seen.missing + (seen.status != "FINISHED")
    print("# Sweeps left on clusters\n")
    print(
        f"`python -m tests.faults.detached`: {POINTS} points of {SECONDS} s with `detach=true`, two nodes, one server;"
    )
    print("the same command until nothing is left, killed with SIGKILL the first times.\n")
    print("| cluster | commands | killed | points on the server | twice | missing | the sweep | points by store |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    print("\n".join(rows))
    return wrong


if __name__ == "__main__":
    sys.exit(main())
