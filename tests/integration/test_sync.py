"""`sync` to a real MLflow server: pending runs, two at once, killed at any moment, a server that was wiped."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from boston_exp import process
from tests import services
from tests.conftest import ROOT, Command
from tests.faults.test_once import whole
from tests.integration.test_server import GRID, QUICK, runs, to
from tests.lifecycle.syncing.foreign import EXPERIMENT, history
from tests.services import Service

pytestmark = pytest.mark.slow


@pytest.fixture
def name(tmp_path: Path) -> str:
    return f"test-{tmp_path.name}"


def started(*overrides: str, cwd: Path) -> subprocess.Popen[str]:
    """`sync` in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "boston_exp.sync", *overrides],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def pending(command: Command, name: str, store: Path, *more: str) -> None:
    """A sweep of four points with their models and a failed run, recorded while the server was away."""
    away = to(f"http://127.0.0.1:{services.free_port()}", name, store)
    assert command(*GRID, "tracking.log_model=all", *away, *more).code == 0
    process.reset()


def as_if_for(store: Path, server: str, name: str) -> None:
    """Have the runs that wait for a server that is away wait for this one."""
    client = MlflowClient(f"sqlite:///{store}")
    for run in runs(f"sqlite:///{store}", name):
        client.set_tag(run.info.run_id, "sync.server", server)


def wait_for_a_run(server: Service, name: str) -> None:
    """Before, it is Python that starts."""
    until = time.monotonic() + 60
    while not runs(server.url, name) and time.monotonic() < until:
        time.sleep(0.05)


def all_there(server: Service, name: str) -> None:
    """Each of the five runs once, and each of their models."""
    whole(runs(server.url, name), 5)
    client = MlflowClient(server.url)
    models = client.search_logged_models([client.get_experiment_by_name(name).experiment_id])
    assert Counter(str(model.status) for model in models) == {"READY": 5}


def test_what_is_pending_is_brought_and_then_there(command: Command, store: Path, server: Service, name: str) -> None:
    pending(command, name, store)
    as_if_for(store, server.url, name)
    place = to(server.url, name, store)
    dry = command(*place, "dry_run=true", "format=json", program="sync")
    (planned,) = json.loads(dry.out)["planned"]
    assert (planned["experiment"], planned["runs"], planned["there"]) == (name, 5, 0)
    assert planned["bytes"] > 10_000
    assert not runs(server.url, name)
    process.reset()
    result = command(*place, program="sync")
    assert result.code == 0, result.err
    assert "5 runs" in result.out
    whole(runs(server.url, name), 5)
    mlflow.set_tracking_uri(server.url)
    for run in runs(server.url, name):
        assert mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model").metadata.run_id == run.info.run_id
    process.reset()
    assert "0 runs" in command(*place, program="sync").out
    process.reset()
    assert "0 runs; 5 were there" in command(*place, "all=true", program="sync").out
    whole(runs(server.url, name), 5)


def test_runs_that_were_never_meant_for_a_server_come_with_all(
    command: Command, store: Path, server: Service, name: str
) -> None:
    assert command(*QUICK, f"tracking.experiment_name={name}").code == 0
    place = to(server.url, name, store)
    process.reset()
    assert "0 runs" in command(*place, program="sync").out
    process.reset()
    assert "1 run," in command(*place, "all=true", program="sync").out
    whole(runs(server.url, name), 1)


def test_a_wiped_server_is_filled_again(
    command: Command, store: Path, gateway: Service, name: str, tmp_path: Path
) -> None:
    pending(command, name, store)
    port = services.free_port()
    as_if_for(store, f"http://127.0.0.1:{port}", name)
    for number in range(2):
        (tmp_path / f"server-{number}").mkdir()
        with services.mlflow_server(tmp_path / f"server-{number}", gateway.url, port=port) as server:
            process.reset()
            result = command(*to(server.url, name, store), program="sync")
            assert result.code == 0, result.err
            whole(runs(server.url, name), 5)


@pytest.mark.parametrize("source", [False, True])
def test_two_at_once_bring_each_run_once(
    command: Command, store: Path, server: Service, name: str, tmp_path: Path, source: bool
) -> None:
    """The second waits for the first, and then finds nothing to do; also where nothing is written to the source."""
    pending(command, name, store)
    as_if_for(store, server.url, name)
    other = [f"tracking.local_uri=sqlite:///{tmp_path}/none.db", f"source=sqlite:///{store}"]
    place = [f"tracking.uri={server.url}", f"tracking.experiment_name={name}"]
    place += other if source else [f"tracking.local_uri=sqlite:///{store}"]
    both = [started(*place, cwd=tmp_path) for _ in range(2)]
    said = [each.communicate(timeout=120) for each in both]
    assert [each.returncode for each in both] == [0, 0], said
    all_there(server, name)


def test_killed_at_random_moments_it_goes_on(
    command: Command, store: Path, server: Service, name: str, tmp_path: Path
) -> None:
    pending(command, name, store)
    as_if_for(store, server.url, name)
    place, moments = to(server.url, name, store), random.Random(15)  # noqa: S311
    for _ in range(4):
        running = started(*place, cwd=tmp_path)
        time.sleep(moments.uniform(2.5, 6.0))
        os.killpg(running.pid, signal.SIGKILL)
        running.communicate()
    last = started(*place, cwd=tmp_path)
    said = last.communicate(timeout=120)
    assert last.returncode == 0, said
    all_there(server, name)


def test_interrupted_it_ends_at_once_and_says_so(
    command: Command, store: Path, server: Service, name: str, tmp_path: Path
) -> None:
    pending(command, name, store)
    as_if_for(store, server.url, name)
    running = started(*to(server.url, name, store), cwd=tmp_path)
    wait_for_a_run(server, name)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=20)
    assert running.returncode in (130, 0), err
    assert "Traceback" not in err
    assert command(*to(server.url, name, store), program="sync").code == 0
    whole(runs(server.url, name), 5)


def test_from_server_to_server_with_everything(
    command: Command, server: Service, second_server: Service, empty_store: Path, tmp_path: Path
) -> None:
    """Whoever changes the server takes the history along; here the first one has a history that others made."""
    experiment = f"{EXPERIMENT}-{tmp_path.name}"
    first = tmp_path / "first.db"
    first.write_bytes(empty_store.read_bytes())
    history(first, experiment)
    assert command(f"tracking.uri={server.url}", f"source=sqlite:///{first}", "all=true", program="sync").code == 0
    process.reset()
    bring = (f"tracking.uri={second_server.url}", f"source={server.url}", f"experiments=[{experiment}]")
    result = command(*bring, program="sync")
    assert result.code == 0, result.err
    assert "3 runs" in result.out
    here, there = MlflowClient(f"sqlite:///{first}"), MlflowClient(second_server.url)
    own = {run.info.run_name: run for run in runs(f"sqlite:///{first}", experiment)}
    for run in runs(second_server.url, experiment):
        origin = own[run.info.run_name]
        assert run.data.tags["sync.source"] == origin.info.run_id
        assert run.data.params == origin.data.params
        for metric in origin.data.metrics:
            logged = [
                sorted(
                    (each.step, each.timestamp, str(each.value)) for each in client.get_metric_history(run_id, metric)
                )
                for client, run_id in ((here, origin.info.run_id), (there, run.info.run_id))
            ]
            assert logged[0] == logged[1]
    mlflow.set_tracking_uri(second_server.url)
    (good,) = [run for run in runs(second_server.url, experiment) if run.info.run_name == "good"]
    for output in good.outputs.model_outputs:
        assert mlflow.pyfunc.load_model(f"models:/{output.model_id}").metadata.run_id == good.info.run_id
    process.reset()
    assert "0 runs; 3 were there" in command(*bring, program="sync").out


def test_a_server_that_goes_away_meanwhile_leaves_the_rest_pending(
    command: Command, store: Path, gateway: Service, name: str, tmp_path: Path
) -> None:
    pending(command, name, store)
    (tmp_path / "server").mkdir()
    with services.mlflow_server(tmp_path / "server", gateway.url) as server:
        as_if_for(store, server.url, name)
        running = started(*to(server.url, name, store), "format=json", cwd=tmp_path)
        wait_for_a_run(server, name)
        services.kill(server.process)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 1, err
    left = json.loads(out)["left"]
    assert left
    assert all(each["reason"].startswith(server.url) for each in left), left
    local = runs(f"sqlite:///{store}", name)
    states = Counter(run.data.tags["sync.state"] for run in local)
    assert states["pending"] == len(left)
