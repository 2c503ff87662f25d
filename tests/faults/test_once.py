"""Exactly once, and always in the end: one test for each fault that a hostile review found (docs/reliability.md)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from boston_exp import process
from boston_exp.tracking import liveness
from boston_exp.tracking.publishing import lock, queue
from tests import services
from tests.conftest import Command, python
from tests.faults.proxy import proxied
from tests.integration.test_server import GRID, QUICK, runs, to
from tests.services import Service

pytestmark = pytest.mark.slow


@pytest.fixture
def name(tmp_path: Path) -> str:
    return f"test-{tmp_path.name}"


def whole(found: list[Run], expected: int) -> None:
    """Every run there once, ended, complete, pointing at runs that are there."""
    assert Counter(run.info.status for run in found) == {"FINISHED": expected}
    assert set(Counter(run.data.tags["sync.source"] for run in found).values()) == {1}
    assert all("sync.complete" in run.data.tags and run.data.params for run in found)
    ids = {run.info.run_id for run in found}
    for run in found:
        for tag in ("mlflow.parentRunId", "best.run_id"):
            assert run.data.tags.get(tag, run.info.run_id) in ids


# -- 7: only whole records count


def test_what_somebody_wrote_by_hand_is_no_result(command: Command, store: Path, tmp_path: Path) -> None:
    assert command(*GRID).code == 0
    client = MlflowClient(f"sqlite:///{store}")
    (experiment,) = [each for each in client.search_experiments() if each.name == "boston-housing"]
    children = [run for run in client.search_runs([experiment.experiment_id]) if "mlflow.parentRunId" in run.data.tags]
    real = children[0].data.tags
    for run in client.search_runs([experiment.experiment_id]):
        client.delete_run(run.info.run_id)
    for child in children:
        kept = ("fingerprint", "sweep.point")
        tags = {**{key: child.data.tags[key] for key in kept}, "mlflow.parentRunId": real["mlflow.parentRunId"]}
        foreign = client.create_run(experiment.experiment_id, tags=tags).info.run_id
        client.log_metric(foreign, "rmse", 0.0001)
        client.set_terminated(foreign, "FINISHED")
    process.reset()
    result = command(*GRID)
    assert result.code == 0, result.err
    assert "grid of 4 points: 4 done" in result.out
    single = command("model=ridge", "model.alpha=0.1", "evaluation=cv", "figures=none", "skip_finished=true")
    assert single.code == 0, single.err


def test_a_run_on_the_server_that_nobody_published_is_no_result(
    command: Command, store: Path, server: Service, name: str, tmp_path: Path
) -> None:
    assert command(*QUICK, *to(server.url, name, store)).code == 0
    client = MlflowClient(server.url)
    (copy,) = runs(server.url, name)
    client.delete_tag(copy.info.run_id, "sync.complete")
    result = command(*QUICK, *to(server.url, name, tmp_path / "other.db"), "skip_finished=true")
    assert "is recorded already" not in result.out
    assert result.code == 0, result.err


# -- 9: other servers, and servers whose database is new


def test_a_sweep_that_goes_on_with_another_server_is_whole_there(
    command: Command, store: Path, server: Service, second_server: Service, name: str
) -> None:
    assert command(*GRID, *to(server.url, name, store)).code == 0
    result = command(*GRID, *to(second_server.url, name, store), "model.alpha=0.1,1,10,100,1000")
    assert "1 done, 4 reused" in result.out, result.err
    assert f"published to {second_server.url}" in result.out
    found = runs(second_server.url, name)
    assert Counter(run.info.status for run in found)["RUNNING"] == 0
    points = {run.data.params["model.alpha"] for run in found if "sweep.key" not in run.data.tags}
    assert points == {"0.1", "1", "10", "100", "1000"}
    whole(found, len(found))
    # and the first has all that it had
    whole(runs(server.url, name), 5)


def test_a_server_whose_database_was_wiped_is_filled_by_the_same_command(
    command: Command, store: Path, gateway: Service, name: str, tmp_path: Path
) -> None:
    port = services.free_port()
    for number in range(2):
        folder = tmp_path / f"server-{number}"
        folder.mkdir()
        with services.mlflow_server(folder, gateway.url, port=port) as server:
            process.reset()
            result = command(*GRID, *to(server.url, name, store))
            assert f"published to {server.url}" in result.out, result.out + result.err
            whole(runs(server.url, name), 5)


# -- 10: requests that are carried out after nobody waits for them any more


@pytest.mark.parametrize("only", ["runs/create", "logged-models"])
def test_a_request_that_is_late_makes_no_second_run(
    only: str, command: Command, store: Path, server: Service, name: str
) -> None:
    with proxied(server.url) as proxy:
        proxy.plan("late", range(1, 2), only=f"POST /api/2.0/mlflow/{only}")
        place = to(proxy.url, name, store)
        first = command(*QUICK, *place)
        assert first.code == 0, first.err
        assert len(proxy.struck) == 1
        proxy.settle()
        proxy.plan("", range(0))
        process.reset()
        assert f"published to {proxy.url}" in command(*QUICK, *place, "model.alpha=7").out
    found = runs(server.url, name)
    whole(found, 2)
    client = MlflowClient(server.url)
    models = client.search_logged_models([found[0].info.experiment_id])
    assert Counter(str(model.status) for model in models) == {"READY": 2}


def test_of_two_copies_the_same_one_is_kept(command: Command, store: Path, server: Service, name: str) -> None:
    place = to(server.url, name, store)
    assert command(*QUICK, *place).code == 0
    client = MlflowClient(server.url)
    (copy,) = runs(server.url, name)
    local = MlflowClient(f"sqlite:///{store}")
    source = copy.data.tags["sync.source"]
    client.create_run(copy.info.experiment_id, tags={"sync.source": source})  # as a request would that came too late
    doubt = f"sync.in_doubt.{local.get_run(source).data.tags['sync.server_id']}"
    local.set_tag(source, doubt, "1")
    process.reset()
    assert command(*QUICK, *place, "model.alpha=7").code == 0
    found = runs(server.url, name)
    whole(found, 2)
    assert copy.info.run_id in {run.info.run_id for run in found}
    assert doubt not in local.get_run(source).data.tags


@pytest.mark.parametrize("only", ["runs/create", "logged-models"])
def test_a_request_that_is_carried_out_after_its_process_has_ended_makes_no_second_run(
    only: str, command: Command, tmp_path: Path, store: Path, server: Service, name: str
) -> None:
    """Killed while it waits; the next command publishes, and then the request arrives."""
    with proxied(server.url) as proxy:
        proxy.plan("late", range(1, 2), only=f"POST /api/2.0/mlflow/{only}", delay=12)
        place = to(proxy.url, name, store)
        call = [sys.executable, "-m", "boston_exp.run", *QUICK, *place, f"hydra.run.dir={tmp_path}/o"]
        first = subprocess.Popen(call, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while not proxy.struck:
            assert time.monotonic() < until
            time.sleep(0.02)
        first.kill()
        first.wait()
        second = command(*QUICK, *place, "model.alpha=7")
        assert second.code == 0, second.err
        proxy.settle()
        proxy.plan("", range(0))
        process.reset()
        assert command(*QUICK, *place, "model.alpha=8").code == 0
    whole(runs(server.url, name), 3)
    client = MlflowClient(server.url)
    models = client.search_logged_models([client.get_experiment_by_name(name).experiment_id])
    assert Counter(str(model.status) for model in models) == {"READY": 3}


def test_a_doubt_on_one_server_outlives_the_publication_to_another(
    command: Command, store: Path, server: Service, second_server: Service, name: str
) -> None:
    with proxied(server.url) as proxy:
        proxy.plan("late", range(1, 2), only="POST /api/2.0/mlflow/runs/create", delay=8)
        assert command(*QUICK, *to(proxy.url, name, store)).code == 0
        process.reset()
        result = command(*QUICK, *to(second_server.url, name, store), "skip_finished=true")
        assert result.code == 0, result.err
        proxy.settle()
        proxy.plan("", range(0))
        process.reset()
        result = command(*QUICK, *to(proxy.url, name, store), "model.alpha=7")
        assert "pending for" not in result.out
        whole(runs(server.url, name), 2)
        whole(runs(second_server.url, name), 1)


def test_points_that_are_missing_on_the_server_are_published_again(
    command: Command, store: Path, server: Service, name: str
) -> None:
    place = to(server.url, name, store)
    assert command(*GRID, *place).code == 0
    client = MlflowClient(server.url)
    points = [run for run in runs(server.url, name) if "sweep.key" not in run.data.tags]
    for run in points[:2]:
        client.delete_run(run.info.run_id)
    process.reset()
    assert "4 reused" in command(*GRID, *place).out
    whole(runs(server.url, name), 5)


# -- 11: a publisher that is stopped


def test_a_publisher_that_is_stopped_does_not_harm_the_next_command(
    command: Command, store: Path, server: Service, name: str, tmp_path: Path
) -> None:
    code = (
        "import sys, time; from pathlib import Path; from boston_exp.tracking.publishing.lock import PublishLock\n"
        "with PublishLock(Path(sys.argv[1])).held():\n    print('held', flush=True); time.sleep(120)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(store)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        os.kill(holder.pid, signal.SIGSTOP)
        begun = time.monotonic()
        result = command(*QUICK, *to(server.url, name, store))
        assert result.code == 0, result.err
        assert "Traceback" not in result.err
        assert f"1 run pending for {server.url}" in result.out
        assert f"process {holder.pid}, which is stopped, holds the lock" in result.out
        assert time.monotonic() - begun < lock.PATIENCE
    finally:
        holder.kill()
        holder.wait()
    process.reset()
    assert "with 1 that had been pending" in command(*QUICK, *to(server.url, name, store), "model.alpha=7").out


# -- 12: two starts at once, and malformed tags


@pytest.mark.parametrize("attempt", range(2))
def test_two_starts_of_one_sweep_make_one_parent(attempt: int, tmp_path: Path, store: Path) -> None:
    places = [f"tracking.uri=sqlite:///{store}"]
    command = [sys.executable, "-m", "boston_exp.run", *GRID, *places]
    both = [
        subprocess.Popen(
            [*command, f"hydra.sweep.dir={tmp_path}/{number}"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
        )
        for number in range(2)
    ]
    told = [each.communicate(timeout=120)[1] for each in both]
    client = MlflowClient(f"sqlite:///{store}")
    found = client.search_runs([each.experiment_id for each in client.search_experiments()])
    assert len([run for run in found if "sweep.key" in run.data.tags]) == 1, told
    assert Counter(run.info.status for run in found) == {"FINISHED": 5}


def test_a_malformed_tag_ends_no_command(command: Command, store: Path) -> None:
    client = MlflowClient(f"sqlite:///{store}")
    experiment = client.create_experiment("theirs")
    ours = liveness.tags()[liveness.PROCESS].split(" ")
    gone = " ".join([ours[0], "4194305", *ours[2:]])
    malformed = [("nonsense", "soon"), (gone, "1700000000.5"), (gone, "inf"), (gone, "")]
    open_runs = [
        client.create_run(experiment, tags={liveness.PROCESS: process, liveness.HEARTBEAT: beat}).info.run_id
        for process, beat in malformed
    ]
    assert command(*QUICK).code == 0
    assert {client.get_run(run_id).info.status for run_id in open_runs} == {"RUNNING"}


def test_a_run_of_another_container_with_the_same_host_name_is_left_alone(tmp_path: Path, store: Path) -> None:
    """A real PID namespace, as unshare makes it."""
    unshare = ["unshare", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("this user may make no PID namespace")
    client = MlflowClient(f"sqlite:///{store}")
    run_id = client.create_run(client.create_experiment("ours"), tags=liveness.tags()).info.run_id  # this very process
    call = ["-m", "boston_exp.run", *QUICK, f"tracking.uri=sqlite:///{store}", f"hydra.run.dir={tmp_path}/o"]
    done = subprocess.run([*unshare, sys.executable, *call], cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert client.get_run(run_id).info.status == "RUNNING"


# -- 14: servers that answer a byte a second, and SIGTERM


def test_a_server_that_drips_is_an_outage_in_seconds(tmp_path: Path, store: Path, server: Service, name: str) -> None:
    with proxied(server.url) as proxy:
        proxy.plan("drips", range(1, 1000))
        begun = time.monotonic()
        result = python("-m", "boston_exp.run", *QUICK, *to(proxy.url, name, store), cwd=tmp_path)
        assert result.code == 0, result.err
        assert "does not end its answer within 5 s" in result.out
        assert time.monotonic() - begun < 25


def test_a_server_that_begins_to_drip_while_it_is_published_to_is_left(
    tmp_path: Path, store: Path, server: Service, name: str
) -> None:
    with proxied(server.url) as proxy:
        proxy.plan("drips", range(1, 1000), only="POST /api/2.0/mlflow/runs/")
        begun = time.monotonic()
        result = python("-m", "boston_exp.run", *QUICK, *to(proxy.url, name, store), cwd=tmp_path)
        assert result.code == 0, result.err
        assert "1 run pending" in result.out
        assert time.monotonic() - begun < 60


@pytest.mark.parametrize("only", ["/health", "POST /api/2.0/mlflow/runs/", "PUT "])
def test_sigterm_ends_a_command_in_five_seconds_whatever_it_waits_for(
    only: str, command: Command, tmp_path: Path, store: Path, server: Service, name: str
) -> None:
    with proxied(server.url) as proxy:
        proxy.plan("drips", range(1, 1000), only=only)
        call = [sys.executable, "-m", "boston_exp.run", *QUICK, *to(proxy.url, name, store)]
        waiting = subprocess.Popen(call, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        until = time.monotonic() + 60
        while not proxy.struck:
            assert time.monotonic() < until
            assert waiting.poll() is None, waiting.communicate()
            time.sleep(0.02)
        begun = time.monotonic()
        waiting.send_signal(signal.SIGTERM)
        waiting.communicate(timeout=30)
        assert time.monotonic() - begun < 5.5
        assert waiting.returncode == 128 + signal.SIGTERM
    client = MlflowClient(f"sqlite:///{store}")
    assert command_closes(command, client)


def test_sigterm_ends_a_command_that_computes_in_c(command: Command, tmp_path: Path, store: Path) -> None:
    """libsvm does not return to Python, so that no handler of ours runs."""
    slow = ("model=svr", "model.kernel=linear", "model.C=1e7", "figures=none", f"tracking.uri=sqlite:///{store}")
    call = [sys.executable, "-m", "boston_exp.run", *slow, f"hydra.run.dir={tmp_path}/o"]
    fitting = subprocess.Popen(call, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    client = MlflowClient(f"sqlite:///{store}")
    until = time.monotonic() + 60
    while not [run for each in client.search_experiments() for run in client.search_runs([each.experiment_id])]:
        assert time.monotonic() < until
        time.sleep(0.1)
    time.sleep(1)  # the run is open: now it fits
    begun = time.monotonic()
    fitting.send_signal(signal.SIGTERM)
    fitting.wait(30)
    assert time.monotonic() - begun < 5.5
    assert fitting.returncode == 128 + signal.SIGTERM
    assert command_closes(command, client)


def command_closes(command: Command, client: MlflowClient) -> bool:
    command(*QUICK)
    experiments = [each.experiment_id for each in client.search_experiments()]
    return not client.search_runs(experiments, "attributes.status = 'RUNNING'")


# -- 16: a share of the backlog


def test_a_command_publishes_a_share_of_the_backlog_the_oldest_first(
    command: Command, store: Path, server: Service, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = to(f"http://127.0.0.1:{services.free_port()}", name, store)
    assert "5 runs pending" in command(*GRID, *nowhere).out
    local = MlflowClient(f"sqlite:///{store}")
    for run in runs(f"sqlite:///{store}", name):
        local.set_tag(run.info.run_id, "sync.server", server.url)
    monkeypatch.setattr(queue, "BACKLOG", 2)
    process.reset()
    result = command(*QUICK, *to(server.url, name, store), "model.alpha=7")
    assert "publishing 2 of 5 runs" in result.err
    assert "pending for" in result.out
    process.reset()
    for _ in range(3):
        result = command(*QUICK, *to(server.url, name, store), "model.alpha=7")
        process.reset()
    assert "pending for" not in result.out
    assert set(Counter(run.data.tags["sync.source"] for run in runs(server.url, name)).values()) == {1}
