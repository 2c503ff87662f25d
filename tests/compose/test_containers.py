"""The Compose file in a real container engine: skipped, and said so, where none answers.

On a machine that can pull no image, MINIO_IMAGE, POSTGRES_IMAGE and PYTHON_IMAGE name stand-ins (docs/stack.md).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests import services
from tests.conftest import Result, git, python

FILE = "compose/docker-compose.yml"
SWEEP = ("-m", "model=ridge", "figures=none", "seed=range(12)", "evaluation=holdout", "tracking.log_model=all")


def engine() -> bool:
    if not shutil.which("docker"):
        return False
    return subprocess.run(["docker", "info"], check=False, capture_output=True, timeout=30).returncode == 0


pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("containers"),
    pytest.mark.skipif(not engine(), reason="no container engine answers here"),
]


@dataclass
class Stack:
    folder: Path
    name: str

    def compose(self, *arguments: str) -> str:
        command = ["docker", "compose", "-p", self.name, "-f", FILE, "--env-file", ".env", *arguments]
        done = subprocess.run(command, cwd=self.folder, check=False, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def up(self) -> None:
        subprocess.run([sys.executable, "compose/make_env.py"], cwd=self.folder, check=True, capture_output=True)
        self.compose("up", "--build", "--wait")

    def kill(self, service: str) -> None:
        subprocess.run(["docker", "kill", f"{self.name}-{service}-1"], check=True, capture_output=True)

    def set(self, **values: str) -> None:
        text = (self.folder / ".env").read_text()
        for name, value in values.items():
            text = re.sub(rf"(?m)^#?{name}=.*\n", "", text) + f"{name}={value}\n"
        (self.folder / ".env").write_text(text)

    def get(self, name: str) -> str:
        found = re.search(rf"(?m)^{name}=(.*)$", (self.folder / ".env").read_text())
        assert found
        return found[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.get('MLFLOW_PORT')}"

    def command(self, command: str, *overrides: str) -> Result:
        return python("-m", f"boston_exp.{command}", "env=compose", *overrides, cwd=self.folder, project=self.folder)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, pristine: Path) -> Iterator[Stack]:
    """A clone made under umask 077, on ports of its own."""
    folder = tmp_path_factory.mktemp("containers") / "clone"
    before = os.umask(0o077)
    try:
        git("clone", "--quiet", str(pristine), str(folder), cwd=folder.parent)
    finally:
        os.umask(before)
    stack = Stack(folder, f"boston-test-{os.getpid()}")
    (folder / ".env").touch(mode=0o600)
    ports = ("MLFLOW_PORT", "MINIO_PORT", "MINIO_CONSOLE_PORT", "POSTGRES_PORT")
    stack.set(**{name: str(services.free_port()) for name in ports})
    try:
        stack.up()
        yield stack
    finally:
        subprocess.run(
            ["docker", "compose", "-p", stack.name, "-f", FILE, "--env-file", ".env", "down", "-v"],
            cwd=folder, check=False, capture_output=True,
        )  # fmt: skip


def recorded(stack: Stack) -> Counter[str]:
    client = MlflowClient(stack.url)
    experiment = client.get_experiment_by_name("boston-housing")
    found = client.search_runs([experiment.experiment_id], max_results=1000)
    assert set(Counter(run.data.tags["sync.source"] for run in found).values()) == {1}
    return Counter(run.info.status for run in found)


def test_no_secret_is_in_inspect_and_no_service_may_more_than_it_needs(stack: Stack) -> None:
    names = stack.compose("ps", "--all", "--format", "{{.Name}}").split()
    assert len(names) == 4
    inspected = subprocess.run(["docker", "inspect", *names], check=True, capture_output=True, text=True).stdout
    for line in (stack.folder / ".env").read_text().splitlines():
        name, _, value = line.partition("=")
        if re.search("PASSWORD|SECRET|KEY_ID|ROOT_USER", name) and value:
            assert value not in inspected, name
    for container in json.loads(inspected):
        host = container["HostConfig"]
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert host["ReadonlyRootfs"]
        assert host["Memory"] > 0
    images = {each["Image"] for each in json.loads(inspected) if "mlflow" in each["Name"] or "setup" in each["Name"]}
    assert len(images) == 1
    assert "uid=10001" in stack.compose("exec", "-T", "mlflow", "id")


def test_the_doctor_finds_all_of_it_and_dvc_by_hand_as_well(stack: Stack) -> None:
    result = stack.command("doctor", "format=json")
    assert result.code == 0, result.out + result.err
    dvc = [sys.executable, "-m", "dvc", "push", "--remote", "minio"]
    keys = {name: stack.get(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    done = subprocess.run(
        dvc, cwd=stack.folder, env={**os.environ, **keys}, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert git("status", "--porcelain", cwd=stack.folder) == ""


def test_a_run_and_a_sweep_are_published_and_load_back_on_the_host(stack: Stack) -> None:
    run = stack.command("run", "figures=none")
    assert f"published to {stack.url}" in run.out, run.out + run.err
    sweep = stack.command("run", *SWEEP)
    assert f"published to {stack.url}" in sweep.out, sweep.out + sweep.err
    assert recorded(stack) == {"FINISHED": 14}
    code = (
        "import mlflow, sys, time; mlflow.set_tracking_uri(sys.argv[1]); client = mlflow.MlflowClient()\n"
        "experiment = client.get_experiment_by_name('boston-housing').experiment_id\n"
        "run = client.search_runs([experiment], \"tags.model_type = 'RandomForestRegressor'\")[0].info.run_id\n"
        "begun = time.monotonic()\n"
        "assert mlflow.sklearn.load_model(f'runs:/{run}/model').n_estimators == 100\n"
        "mlflow.artifacts.download_artifacts(run_id=run, artifact_path='config/config.yaml')\n"
        "version = mlflow.register_model(f'runs:/{run}/model', 'boston-housing').version\n"
        "client.set_registered_model_alias('boston-housing', 'champion', version)\n"
        "assert mlflow.pyfunc.load_model('models:/boston-housing@champion')\n"
        "print(time.monotonic() - begun)"
    )
    loaded = python("-c", code, stack.url, cwd=stack.folder)
    assert loaded.code == 0, loaded.err
    assert float(loaded.out.split()[-1]) < 30  # not the 63 s of a name that only containers know


@pytest.mark.parametrize("service", ["minio", "postgres"])
def test_what_dies_in_a_sweep_costs_nothing(stack: Stack, service: str) -> None:
    before = recorded(stack)["FINISHED"]
    alpha = {"minio": "model.alpha=3", "postgres": "model.alpha=5"}[service]
    call = [sys.executable, "-m", "boston_exp.run", "env=compose", *SWEEP, alpha]
    sweep = subprocess.Popen(
        call, cwd=stack.folder, env={**os.environ, "PYTHONPATH": str(stack.folder)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while recorded(stack)["FINISHED"] < before + 2:
        assert sweep.poll() is None, sweep.communicate()
        time.sleep(0.2)
    stack.kill(service)
    out, err = sweep.communicate(timeout=180)
    assert sweep.returncode == 0, err
    assert "grid of 12 points: 12 done" in out
    assert "pending for" in out
    stack.compose("up", "--wait")
    again = stack.command("run", *SWEEP, alpha)
    assert "12 reused" in again.out, again.out + again.err
    assert "pending for" not in again.out
    assert recorded(stack) == {"FINISHED": before + 13}


def test_the_history_survives_down_and_up(stack: Stack) -> None:
    before = recorded(stack)
    stack.compose("down")
    stack.up()
    assert recorded(stack) == before


def test_each_role_reaches_its_own_database(stack: Stack) -> None:
    import psycopg

    place = f"host=127.0.0.1 port={stack.get('POSTGRES_PORT')} connect_timeout=5"
    for name, other in (("mlflow", "optuna"), ("optuna", "mlflow")):
        login = f"{place} user={name} password={stack.get(f'{name.upper()}_DB_PASSWORD')}"
        psycopg.connect(f"{login} dbname={name}").close()
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(f"{login} dbname={other}")


def test_with_a_login_runs_have_a_user_who_is_no_administrator(stack: Stack) -> None:
    stack.set(
        MLFLOW_SERVER_OPTIONS="--app-name basic-auth",
        MLFLOW_TRACKING_USERNAME="runner",
        MLFLOW_TRACKING_PASSWORD=services.PASSWORD,
    )
    stack.up()
    result = stack.command("run", "model=ridge", "model.alpha=11", "figures=none")
    assert f"published to {stack.url}" in result.out, result.out + result.err
    import requests

    get = f"{stack.url}/api/2.0/mlflow/users/get?username=admin"
    admin = ("admin", stack.get("MLFLOW_ADMIN_PASSWORD"))
    assert requests.get(get, timeout=10).status_code == 401
    assert requests.get(get, auth=("runner", services.PASSWORD), timeout=10).status_code == 403
    assert requests.get(get, auth=admin, timeout=10).status_code == 200
