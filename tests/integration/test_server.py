"""Local first: a run is whole here, then on a real MLflow server; whatever happens to that server, nothing is lost."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pytest
import requests
from mlflow import MlflowClient
from mlflow.entities import Run

from boston_exp import process
from tests import services
from tests.conftest import Command, Result, python
from tests.services import Service

pytestmark = pytest.mark.slow
QUICK = ("model=ridge", "figures=none")
GRID = ("-m", "model=ridge", "figures=none", "model.alpha=0.1,1,10,100")


@pytest.fixture
def name(tmp_path: Path) -> str:
    return f"test-{tmp_path.name}"


def to(url: str, name: str, store: Path) -> tuple[str, ...]:
    return (
        f"tracking.uri={url}", f"tracking.local_uri=sqlite:///{store}", f"tracking.experiment_name={name}",
    )  # fmt: skip


def runs(uri: str, name: str) -> list[Run]:
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(name)
    return list(client.search_runs([experiment.experiment_id])) if experiment else []


def files(client: MlflowClient, run_id: str, path: str | None = None) -> list[str]:
    found = []
    for item in client.list_artifacts(run_id, path):
        found += files(client, run_id, item.path) if item.is_dir else [item.path]
    return sorted(found)


def in_a_process(folder: Path, *overrides: str) -> tuple[Result, float]:
    begun = time.monotonic()
    places = (f"hydra.run.dir={folder}/outputs", f"hydra.sweep.dir={folder}/multirun")
    return python("-m", "boston_exp.run", *overrides, *places, cwd=folder), time.monotonic() - begun


def test_what_is_on_the_server_is_what_is_here(command: Command, store: Path, server: Service, name: str) -> None:
    result = command("model.n_estimators=5", *to(server.url, name, store))
    assert result.code == 0, result.err
    (local,), (copy,) = runs(f"sqlite:///{store}", name), runs(server.url, name)
    assert f"published to {server.url} (from tracking.uri=)" in result.out
    page = f"{server.url}/#/experiments/{copy.info.experiment_id}/runs?workflowType=machine_learning"
    assert f"next        open {page}&viewStateShareKey=rmse" in result.out
    assert f" as {copy.info.run_id}" in result.out
    for what in ("status", "run_name", "start_time", "end_time"):
        assert getattr(copy.info, what) == getattr(local.info, what)
    assert copy.data.params == local.data.params
    assert copy.data.metrics == local.data.metrics
    own = {"sync.server", "sync.server_id", "sync.state", "sync.run_id", "boston_exp.process", "boston_exp.heartbeat"}
    kept = {key: value for key, value in local.data.tags.items() if key not in own}
    kept["mlflow.note.content"] = kept["mlflow.note.content"].replace(local.info.run_id, copy.info.run_id)
    assert {**copy.data.tags, **kept} == copy.data.tags
    assert copy.data.tags["sync.source"] == local.info.run_id
    assert copy.inputs.dataset_inputs[0].dataset.digest == local.inputs.dataset_inputs[0].dataset.digest
    clients = MlflowClient(server.url), MlflowClient(f"sqlite:///{store}")
    assert files(clients[0], copy.info.run_id) == files(clients[1], local.info.run_id)
    mlflow.set_tracking_uri(server.url)
    uri = f"runs:/{copy.info.run_id}/model"
    assert mlflow.sklearn.load_model(uri).n_estimators == 5
    assert mlflow.pyfunc.load_model(uri).metadata.run_id == copy.info.run_id


def test_a_sweep_is_whole_on_the_server_with_its_parent(
    command: Command, store: Path, server: Service, name: str
) -> None:
    result = command(*GRID, "tracking.log_model=all", *to(server.url, name, store))
    assert result.code == 0, result.err
    found = runs(server.url, name)
    (parent,) = [run for run in found if "sweep.key" in run.data.tags]
    children = [run for run in found if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert Counter(run.info.status for run in found) == {"FINISHED": 5}
    assert len(children) == 4
    assert all(run.outputs.model_outputs for run in children)
    assert parent.data.tags["best.run_id"] in {run.info.run_id for run in children}
    assert parent.data.metrics["n_points"] == 4
    mlflow.set_tracking_uri(server.url)
    for run_id in (parent.info.run_id, parent.data.tags["best.run_id"]):
        assert mlflow.pyfunc.load_model(f"runs:/{run_id}/model").metadata.run_id == run_id
    # the same sweep again runs nothing, and writes nothing twice
    again = command(*GRID, "tracking.log_model=all", *to(server.url, name, store))
    assert "4 reused" in again.out
    assert len(runs(server.url, name)) == 5


class Failing:
    """Connections that break from the nth request on: a server cannot be made to die at an exact moment."""

    def __init__(self, nth: int) -> None:
        self._request, self.left = requests.Session.request, nth
        self._counting = threading.Lock()

    def replacing(self) -> Callable[..., requests.Response]:
        """What takes the place of `requests.Session.request`."""

        def request(*arguments: Any, **named: Any) -> requests.Response:
            with self._counting:
                self.left -= 1
            if self.left < 0:
                raise requests.ConnectionError("broke")
            return self._request(*arguments, **named)

        return request


def test_a_publication_that_breaks_at_any_step_is_completed_and_nothing_is_there_twice(
    command: Command, store: Path, server: Service, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from boston_exp.tracking.destination import Destination
    from boston_exp.tracking.publishing.queue import PublishingQueue

    away = f"http://127.0.0.1:{services.free_port()}"
    assert command(*QUICK, *to(away, name, store)).code == 0
    (local,) = runs(f"sqlite:///{store}", name)
    where = Destination("mlflow", f"sqlite:///{store}", "", str(store.parent / "mlartifacts"), name, server=server.url)
    steps = 0
    while True:
        queue, failing = PublishingQueue(where, None), Failing(steps)
        with monkeypatch.context() as patched:
            patched.setattr(requests.Session, "request", failing.replacing())
            queue.publish(local.info.run_id)
        queue.stop()
        if failing.left >= 0:
            break
        steps += 1
        assert runs(f"sqlite:///{store}", name)[0].data.tags["sync.state"] == "pending"
        assert all(run.info.status == "RUNNING" for run in runs(server.url, name))
    assert steps > 30
    (copy,) = runs(server.url, name)
    assert copy.info.status == "FINISHED"
    assert (copy.data.params, copy.data.metrics) == (local.data.params, local.data.metrics)
    client = MlflowClient(server.url)
    assert len(files(client, copy.info.run_id)) == len(files(MlflowClient(f"sqlite:///{store}"), local.info.run_id))
    ready = [model.model_id for model in copy.outputs.model_outputs]
    assert [client.get_logged_model(model).status for model in ready] == ["READY"]
    mlflow.set_tracking_uri(server.url)
    assert mlflow.sklearn.load_model(f"runs:/{copy.info.run_id}/model").alpha == 1.0


def test_a_worker_on_another_machine_keeps_a_store_of_its_own_and_publishes(
    command: Command, store: Path, server: Service, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is one machine here, so the name that a worker finds for it is what is replaced."""
    from boston_exp.sweep import mailbox

    real = mailbox.read_task
    monkeypatch.setattr(mailbox, "host", lambda: "elsewhere")
    monkeypatch.setattr(mailbox, "read_task", lambda file: replace(real(file), main_host="main"))
    result = command(*GRID, *to(server.url, name, store))
    assert result.code == 0, result.err
    assert len(runs(f"sqlite:///{store}", name)) == 1  # the parent
    assert Counter(run.info.status for run in runs(f"sqlite:///{store.with_name('mlflow-elsewhere.db')}", name)) == {
        "FINISHED": 4
    }
    found = runs(server.url, name)
    (parent,) = [run for run in found if "sweep.key" in run.data.tags]
    children = [run for run in found if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(children) == 4
    assert parent.data.tags["best.run_id"] in {run.info.run_id for run in children}


@pytest.mark.timeout(60)  # MLflow's defaults: 247 s of silence, 1,200 s for a server that hangs
@pytest.mark.parametrize("trouble", ["absent", "hanging", "failing"])
def test_an_outage_is_known_before_the_training_and_costs_nothing_else(
    trouble: str, command: Command, store: Path, name: str
) -> None:
    if trouble == "absent":
        check(f"127.0.0.1:{services.free_port()}", "is not there: connection refused", command, store, name)
    elif trouble == "hanging":
        with services.hanging() as address:
            check(address, "does not answer within 3 s", command, store, name)
    else:
        with services.answering(503) as address:
            check(address, "answers 503", command, store, name)


def check(address: str, says: str, command: Command, store: Path, name: str) -> None:
    result = command(*QUICK, *to(f"http://{address}", name, store))
    assert result.code == 0
    assert f"1 run pending for http://{address} (from tracking.uri=): http://{address} {says}" in result.out
    (run,) = runs(f"sqlite:///{store}", name)
    assert (run.info.status, run.data.tags["sync.state"]) == ("FINISHED", "pending")


def test_a_sweep_of_an_outage_is_published_by_the_next_command(
    command: Command, store: Path, gateway: Service, name: str, tmp_path: Path
) -> None:
    """A parent points at its best child, which points at its parent: neither is on the server yet."""
    port = services.free_port()
    url = f"http://127.0.0.1:{port}"
    assert "5 runs pending" in command(*GRID, *to(url, name, store)).out
    folder = tmp_path / "server"
    folder.mkdir()
    with services.mlflow_server(folder, gateway.url, port=port) as server:
        process.reset()
        result = command(*QUICK, *to(server.url, name, store), "model.alpha=7")
        assert "with 5 that had been pending" in result.out, result.out
        found = runs(server.url, name)
        assert Counter(run.info.status for run in found) == {"FINISHED": 6}
        (parent,) = [run for run in found if "sweep.key" in run.data.tags]
        children = [run for run in found if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
        assert parent.data.tags["best.run_id"] in {run.info.run_id for run in children}
        # another clone's sweep takes what is there
        other = to(server.url, name, tmp_path / "other.db")
        again = command(*GRID, *other, "model.alpha=1,10,1000")
        assert "1 done, 2 reused" in again.out, again.out + again.err


def test_points_recorded_before_there_was_a_server_are_published_once(
    command: Command, store: Path, server: Service, name: str
) -> None:
    """A reused point brings its own parent along, and that its best child, which may be that very point."""
    here = (f"tracking.uri=sqlite:///{store}", f"tracking.experiment_name={name}")
    assert command(*GRID, *here).code == 0
    result = command(*GRID, *to(server.url, name, store), "model.alpha=0.1,1,10,100,1000000")
    assert "1 done, 4 reused" in result.out, result.err
    sources = Counter(run.data.tags["sync.source"] for run in runs(server.url, name))
    assert set(sources.values()) == {1}


def test_on_outage_fail_ends_before_the_training(command: Command, store: Path, name: str) -> None:
    url = f"http://127.0.0.1:{services.free_port()}"
    result = command(*QUICK, *to(url, name, store), "tracking.on_outage=fail")
    assert result.code == 2
    assert f"{url} is not there: connection refused, and tracking.on_outage is fail" in result.err
    assert runs(f"sqlite:///{store}", name) == []


def test_a_server_that_dies_in_a_sweep_is_caught_up_with_by_the_next_command(
    tmp_path: Path, store: Path, gateway: Service, name: str
) -> None:
    """What it had half of is completed, what it had is not written again, what it missed comes."""
    folder = tmp_path / "server"
    folder.mkdir()
    with services.mlflow_server(folder, gateway.url) as server:
        command = [sys.executable, "-m", "boston_exp.run", "-m", "model=ridge", "figures=none", "seed=range(20)"]
        command += [*to(server.url, name, store), "tracking.log_model=all", f"hydra.sweep.dir={tmp_path}/multirun"]
        sweep = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while len(runs(server.url, name)) < 5:
            assert sweep.poll() is None, sweep.communicate()
            time.sleep(0.1)
        services.kill(server.process)
        out, err = sweep.communicate(timeout=120)
    assert sweep.returncode == 0, err
    assert "grid of 20 points: 20 done" in out
    assert f"pending for {server.url}" in out
    local = runs(f"sqlite:///{store}", name)
    assert Counter(run.info.status for run in local) == {"FINISHED": 21}
    with services.mlflow_server(folder, gateway.url, port=int(server.url.rpartition(":")[2])) as server:
        result, _ = in_a_process(tmp_path, *QUICK, *to(server.url, name, store))
        assert "that had been pending" in result.out, result.out + result.err
        found = runs(server.url, name)
        assert Counter(run.info.status for run in found) == {"FINISHED": 22}
        assert Counter(run.data.tags["sync.source"] for run in found) == {
            run.info.run_id: 1 for run in runs(f"sqlite:///{store}", name)
        }
        assert all("sync.complete" in run.data.tags for run in found)
        assert all(run.outputs.model_outputs for run in found)


def test_a_dead_object_store_behind_the_server_is_an_outage(
    tmp_path: Path, command: Command, store: Path, name: str
) -> None:
    for folder in ("gateway", "server"):
        (tmp_path / folder).mkdir()
    with (
        services.gateway(tmp_path / "gateway") as objects,
        services.mlflow_server(tmp_path / "server", objects.url) as server,
    ):
        services.kill(objects.process)
        result = command(*QUICK, *to(server.url, name, store))
        assert result.code == 0
        assert f"{server.url} answers, but its object store" in result.out
    assert len(runs(f"sqlite:///{store}", name)) == 1


def test_a_wrong_password_is_no_outage(
    tmp_path: Path, command: Command, store: Path, gateway: Service, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting does not mend it; the right one, from the environment, gets in."""
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = EDIT\ndatabase_uri = sqlite:///{folder}/auth.db\n"
    )
    login = {"MLFLOW_TRACKING_USERNAME": "boss", "MLFLOW_TRACKING_PASSWORD": services.PASSWORD}
    more = {"MLFLOW_SERVER_OPTIONS": "--app-name basic-auth", "MLFLOW_FLASK_SERVER_SECRET_KEY": services.PASSWORD}
    config = {"MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini")}
    admin = {name.replace("TRACKING", "ADMIN"): value for name, value in login.items()}
    with services.mlflow_server(folder, gateway.url, **admin, **more, **config) as server:
        refused = command(*QUICK, *to(server.url, name, store))
        assert refused.code == 2
        assert f"{server.url} does not accept the user and password it was given" in refused.err
        assert "export MLFLOW_TRACKING_USERNAME=" in refused.err
        for variable, value in {**login, "MLFLOW_TRACKING_URI": server.url}.items():
            monkeypatch.setenv(variable, value)
        accepted = command(*QUICK, *to(server.url, name, store))
        assert f"published to {server.url}" in accepted.out, accepted.err
        assert [run.info.status for run in runs(server.url, name)] == ["FINISHED"]


def test_an_experiment_that_was_deleted_there_is_told_before_the_training(
    command: Command, store: Path, server: Service, name: str
) -> None:
    client = MlflowClient(server.url)
    client.delete_experiment(client.create_experiment(name))
    result = command(*QUICK, *to(server.url, name, store))
    assert result.code == 2
    assert f"The experiment {name} was deleted in {server.url}" in result.err
    assert f"MLFLOW_TRACKING_URI={server.url} mlflow experiments restore" in result.err
    assert runs(f"sqlite:///{store}", name) == []


def test_a_run_that_somebody_else_published_is_reused(
    command: Command, store: Path, server: Service, name: str, tmp_path: Path
) -> None:
    """`skip_finished` asks the server, too: the store of another clone knows nothing of it."""
    assert command(*QUICK, *to(server.url, name, store)).code == 0
    other = to(server.url, name, tmp_path / "other.db")
    result = command(*QUICK, *other, "skip_finished=true")
    assert "is recorded already, nothing was trained" in result.out, result.err
    assert len(runs(server.url, name)) == 1


def test_a_server_that_leaves_artifacts_to_its_clients_gets_them_with_the_key_for_artifacts(
    tmp_path: Path, command: Command, store: Path, gateway: Service, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in services.ENVIRONMENT.items():
        if not variable.startswith("MINIO_"):
            monkeypatch.setenv(variable, value)
    folder = tmp_path / "server"
    folder.mkdir()
    options = "--no-serve-artifacts --default-artifact-root s3://mlflow-artifacts/direct"
    with services.mlflow_server(folder, gateway.url, MLFLOW_SERVER_OPTIONS=options) as server:
        place = ("storage=minio", f"storage.endpoint_url={gateway.url}")
        result = command(*QUICK, *to(server.url, name, store), *place)
        assert f"published to {server.url}" in result.out, result.out + result.err
        (copy,) = runs(server.url, name)
        assert copy.info.artifact_uri.startswith("s3://mlflow-artifacts/direct/")
        assert "predictions.csv" in files(MlflowClient(server.url), copy.info.run_id)


def test_a_wrong_scheme_is_no_outage(command: Command, store: Path, server: Service, name: str) -> None:
    url = server.url.replace("http:", "https:")
    result = command(*QUICK, *to(url, name, store))
    assert result.code == 2
    assert f"{url} does not speak TLS" in result.err
    assert f"tracking.uri={server.url}" in result.err.partition("next: ")[2]


def test_another_program_on_the_port_is_no_outage(command: Command, store: Path, name: str, gateway: Service) -> None:
    with services.answering(200, b"<html>hello</html>") as address:
        result = command(*QUICK, *to(f"http://{address}", name, store))
    assert result.code == 2
    assert f"http://{address} answers, but it is no MLflow server" in result.err
