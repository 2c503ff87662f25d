"""The Compose file, without a container engine: valid, and its very commands run against the real programs."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import jsonschema
import mlflow
import psutil
import pytest
import yaml
from minio import Minio
from minio.error import S3Error
from mlflow import MlflowClient

from boston_exp.storage import s3
from boston_exp.storage.s3 import Access
from tests import services
from tests.conftest import git, python
from tests.services import ENVIRONMENT, ROOT, Service

FILE = ROOT / "compose" / "docker-compose.yml"
VARIABLE = re.compile(r"\$\{(\w+)(:?[-?])?([^}]*)\}")


def interpolated(value: str, environment: dict[str, str]) -> str:
    """`${NAME:-default}` and `${NAME:?message}` as Compose has them; `$$` is a dollar sign."""

    def replace(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        found = environment.get(name, "")
        if not found and kind == ":?":
            raise KeyError(f"{name}: {rest}")
        return found or (rest if kind == ":-" else "")

    return VARIABLE.sub(replace, value.replace("$$", "\0")).replace("\0", "$")


def test_the_file_is_what_the_specification_asks_for() -> None:
    schema = json.loads(Path(__file__).with_name("compose-spec.json").read_text())
    errors = list(jsonschema.Draft7Validator(schema).iter_errors(yaml.safe_load(FILE.read_text())))
    assert errors == []


def test_nothing_is_open_to_the_network_and_no_password_has_a_default() -> None:
    composed = yaml.safe_load(FILE.read_text())
    ports = [port for service in composed["services"].values() for port in service.get("ports", [])]
    assert len(ports) == 4
    assert all(port.startswith("127.0.0.1:${") for port in ports)
    secret = re.compile(r"PASSWORD|SECRET|ACCESS_KEY|ROOT_USER")
    for service in composed["services"].values():
        given = [name for name in service.get("environment", {}) if secret.search(name)]
        assert all(name.endswith("_FILE") for name in given), given
        assert set(service.get("secrets", ())) <= set(composed["secrets"])
        assert (service["cap_drop"], service["security_opt"]) == (["ALL"], ["no-new-privileges:true"])
        assert service["read_only"]
        assert service["mem_limit"]
    for name, where in composed["secrets"].items():
        assert where == {"file": f"../.secrets/{name}"}


def test_data_lie_in_named_volumes_where_the_images_keep_them() -> None:
    composed = yaml.safe_load(FILE.read_text())
    mounted = [volume for service in composed["services"].values() for volume in service.get("volumes", [])]
    assert not [volume for volume in mounted if volume.startswith(".")]  # files of a clone may be the owner's alone
    named = {volume.split(":")[0]: volume.split(":")[1] for volume in mounted if ":" in volume}
    assert named == {"minio": "/data", "postgres": "/var/lib/postgresql/data"}
    assert set(composed["volumes"]) == set(named)
    assert composed["services"]["minio"]["command"].split()[1] == "/data"


def test_every_variable_is_in_the_example() -> None:
    used = {match[1] for match in re.finditer(r"\$\{(\w+)", FILE.read_text())}
    used |= {name.upper() for name in yaml.safe_load(FILE.read_text())["secrets"]}
    example = (ROOT / ".env.example").read_text()
    assert [name for name in sorted(used) if f"{name}=" not in example] == []


def test_the_image_has_the_versions_of_the_lock_with_their_hashes() -> None:
    def versions(name: str) -> dict[str, str]:
        return dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))

    image, lock = versions("compose/mlflow/requirements.lock"), versions("requirements-dev.lock")
    assert {"mlflow", "psycopg2-binary", "boto3", "minio"} <= image.keys()
    assert {name: version for name, version in image.items() if lock.get(name, version) != version} == {}
    text = (ROOT / "compose/mlflow/requirements.lock").read_text()
    assert len(re.findall(r"^[\w.-]+==", text, re.MULTILINE)) == len(re.findall(r"\\\n    --hash(?:.*\\\n)*", text))
    assert "--require-hashes" in (ROOT / "compose/mlflow/Dockerfile").read_text()


def test_make_env_fills_what_is_empty_keeps_what_is_there_and_shows_nobody(tmp_path: Path) -> None:
    for name in (".env.example", "compose/make_env.py", "compose/docker-compose.yml", ".dvc/config"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    git("init", "--quiet", cwd=tmp_path)
    made = [sys.executable, str(tmp_path / "compose/make_env.py")]
    (tmp_path / ".env").write_text("MLFLOW_PORT=5001\nMINIO_PORT=9100\nMY_OWN=x\nAWS_ACCESS_KEY_ID=mine\n")
    subprocess.run(made, check=True, capture_output=True)
    first = (tmp_path / ".env").read_text()
    settings = dict(line.split("=", 1) for line in first.splitlines() if re.match(r"[A-Z]", line))
    assert settings["MLFLOW_PORT"] == "5001"
    assert settings["AWS_ACCESS_KEY_ID"] == "mine"
    assert settings["MY_OWN"] == "x"
    assert all(settings.values())
    assert len({settings[name] for name in ENVIRONMENT}) == len(ENVIRONMENT)
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    subprocess.run(made, check=True, capture_output=True)
    assert (tmp_path / ".env").read_text() == first
    for file in (tmp_path / ".secrets").iterdir():
        assert file.read_text() == settings.get(file.name.upper(), "")
    assert (tmp_path / ".secrets").stat().st_mode & 0o777 == 0o700
    assert "endpointurl = http://127.0.0.1:9100" in (tmp_path / ".dvc/config.local").read_text()
    assert "MINIO_ROOT_PASSWORD=\n" in (ROOT / ".env.example").read_text()


@pytest.mark.slow
def test_each_key_reaches_its_own_bucket_and_no_other(gateway: Service) -> None:
    """compose/setup.py, as the fixture ran it; a second time it changes nothing."""
    place = {"endpoint": gateway.url.removeprefix("http://"), "secure": False}
    keys = {
        "mlflow-artifacts": (ENVIRONMENT["MLFLOW_S3_ACCESS_KEY_ID"], ENVIRONMENT["MLFLOW_S3_SECRET_ACCESS_KEY"]),
        "boston-housing-data": (ENVIRONMENT["AWS_ACCESS_KEY_ID"], ENVIRONMENT["AWS_SECRET_ACCESS_KEY"]),
    }
    setup = [sys.executable, str(ROOT / "compose/setup.py")]
    environment = services.plain_environment(**ENVIRONMENT, S3_ENDPOINT=gateway.url)
    subprocess.run(setup, env=environment, check=True, capture_output=True)
    for bucket, (key, secret) in keys.items():
        client = Minio(access_key=key, secret_key=secret, **place)
        (other,) = set(keys) - {bucket}
        assert list(client.list_objects(bucket_name=bucket)) is not None
        client.stat_object(bucket, client.put_object(bucket, "a", __import__("io").BytesIO(b"x"), 1).object_name)
        client.remove_object(bucket_name=bucket, object_name="a")
        for forbidden in (
            lambda client=client, other=other: list(client.list_objects(bucket_name=other)),
            lambda client=client: client.make_bucket(bucket_name="a-new-one"),
        ):
            with pytest.raises(S3Error) as refused:
                forbidden()
            assert refused.value.code == "AccessDenied"
    way = Access(gateway.url, "us-east-1", None, services.DATA_KEY)
    assert "files/md5" in str(way.client.list_objects_v2(Bucket="boston-housing-data")["Contents"])
    assert s3.fault(way, "mlflow-artifacts") is not None


def test_a_taken_port_is_told_with_who_has_it() -> None:
    with services.answering(200) as address:
        port = address.rpartition(":")[2]
        free = {"MINIO_PORT": str(services.free_port()), "PYTHONPATH": str(ROOT)}
        environment = services.plain_environment(MLFLOW_PORT=port, **free)
        check = [sys.executable, str(ROOT / "compose/ports.py")]
        done = subprocess.run(check, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert re.search(rf"error: port {port} is taken by .*\(pid \d+\)", done.stderr)
    assert "set another MLFLOW_PORT in .env" in done.stderr


# -- the services, run natively ---------------------------------------------------------------------------------


def started_with() -> dict[str, str]:
    """The variables that compose/mlflow/start.py fills from files."""
    text = (ROOT / "compose/mlflow/start.py").read_text()
    return dict(re.findall(r'^    "(\w+)": "(\w+)",$', text, re.MULTILINE))


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory, gateway: Service) -> Iterator[Service]:
    """The mlflow service of the file: its command, environment and health check, PostgreSQL and the S3 gateway real."""
    if not services.postgres_binary("initdb"):
        pytest.skip("PostgreSQL is not installed")
    folder = tmp_path_factory.mktemp("composed")
    own = {
        **ENVIRONMENT,
        "MLFLOW_DB_PASSWORD": services.PASSWORD,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": services.PASSWORD,
    }
    service = services.compose_service("mlflow")
    with ExitStack() as stack:
        database = stack.enter_context(services.postgres())
        port = services.free_port()
        # the only changes: addresses of containers become addresses of this machine
        command = interpolated(service["command"], own)
        command = command.replace("--host 0.0.0.0 --port 5000", f"--host 127.0.0.1 --port {port}")
        command = command.replace("python /compose/start.py", "")
        environment = {name: interpolated(value, own) for name, value in service["environment"].items()}
        environment |= {"PGHOST": "127.0.0.1", "PGPORT": str(database), "MLFLOW_S3_ENDPOINT_URL": gateway.url}
        environment["MLFLOW_AUTH_CONFIG_PATH"] = str(ROOT / "compose/mlflow/basic_auth.ini")
        environment |= {name: own.get(secret, "") for name, secret in started_with().items()}  # as start.py does
        environment["PYTHONPATH"] = str(ROOT / "compose/mlflow")  # where the image has the plugin
        plain = services.plain_environment(**environment)
        started = stack.enter_context(services.process(shlex.split(command), folder, plain))
        check = [part.replace(":5000", f":{port}") for part in service["healthcheck"]["test"]]
        check = [part.replace("/compose/", f"{ROOT}/compose/") for part in check]
        assert check[:2] == ["CMD", "python"]
        until = time.monotonic() + 120
        while subprocess.run(check[1:], env=plain, capture_output=True, check=False).returncode:
            assert started.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until, (folder / "log").read_text()
            time.sleep(0.5)
        yield Service(f"http://127.0.0.1:{port}", started, folder)


@pytest.mark.slow
def test_the_password_of_the_database_is_in_no_process_list_and_no_log(composed: Service) -> None:
    processes = [psutil.Process(composed.process.pid), *psutil.Process(composed.process.pid).children(recursive=True)]
    lines = " ".join(" ".join(each.cmdline()) for each in processes)
    assert "mlflow" in lines
    for text in (lines, (composed.folder / "log").read_text()):
        assert not [secret for secret in (services.PASSWORD, *ENVIRONMENT.values()) if secret in text]


@pytest.mark.slow
def test_a_joblib_sweep_of_36_points_loses_nothing_on_postgresql_and_minio(
    tmp_path: Path, store: Path, composed: Service, gateway: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who trains holds no key to the artifacts, and hears of no retry."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    result = python(
        "-m", "boston_exp.run", "-m", "search=grid_random_forest", "evaluation=holdout", "figures=none",
        "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "tracking=server", f"tracking.uri={composed.url}",
        f"tracking.local_uri=sqlite:///{store}", "tracking.log_model=all", f"hydra.sweep.dir={tmp_path}/multirun",
        cwd=tmp_path,
    )  # fmt: skip
    assert result.code == 0, result.err
    assert "grid of 36 points: 36 done" in result.out
    assert f"published to {composed.url}" in result.out
    assert not re.search(r"retry|retries|warning|error", result.err, re.IGNORECASE), result.err
    client = MlflowClient(composed.url)
    runs = client.search_runs([client.get_experiment_by_name("boston-housing").experiment_id])
    (parent,) = [run for run in runs if "sweep.key" in run.data.tags]
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert Counter(run.info.status for run in runs) == {"FINISHED": 37}
    assert len(children) == 36
    assert all(len(run.outputs.model_outputs) == 1 for run in children)
    assert parent.info.artifact_uri.startswith("mlflow-artifacts:/")
    mlflow.set_tracking_uri(composed.url)
    assert mlflow.sklearn.load_model(f"runs:/{parent.data.tags['best.run_id']}/model").n_estimators == 50
    objects = Access(gateway.url, "us-east-1", None, {
        "AWS_ACCESS_KEY_ID": ENVIRONMENT["MLFLOW_S3_ACCESS_KEY_ID"],
        "AWS_SECRET_ACCESS_KEY": ENVIRONMENT["MLFLOW_S3_SECRET_ACCESS_KEY"],
    })  # fmt: skip
    prefix = f"{parent.info.experiment_id}/{parent.info.run_id}/artifacts/"
    listed = objects.client.list_objects_v2(Bucket="mlflow-artifacts", Prefix=prefix)["Contents"]
    names = [item["Key"].removeprefix(prefix) for item in listed]
    assert [name for name in names if not name.startswith("model/")] == ["results.csv"]
    assert "model/model.skops" in names


@pytest.mark.slow
def test_the_health_check_and_the_databases_of_postgresql() -> None:
    """pg_isready as the file calls it, and setup.py's roles: twice, and neither reaches the other's database."""
    pg_isready = services.postgres_binary("pg_isready")
    if not pg_isready:
        pytest.skip("PostgreSQL is not installed")
    check = services.compose_service("postgres")["healthcheck"]["test"][1:]
    passwords = {"MLFLOW_DB_PASSWORD": services.PASSWORD, "OPTUNA_DB_PASSWORD": services.PASSWORD[::-1]}
    with services.postgres("postgres", database="unused") as port:
        environment = services.plain_environment(PGPORT=str(port), POSTGRES_PASSWORD=services.PASSWORD, **passwords)
        environment["PATH"] = f"{Path(pg_isready).parent}{os.pathsep}{environment['PATH']}"
        assert subprocess.run(check, env=environment, capture_output=True, check=False).returncode == 0
        code = f"import setup; setup.databases('127.0.0.1', {port})"
        for _ in range(2):
            subprocess.run([sys.executable, "-c", code], cwd=ROOT / "compose", env=environment, check=True)
        import psycopg

        for name, password in (("mlflow", "MLFLOW_DB_PASSWORD"), ("optuna", "OPTUNA_DB_PASSWORD")):
            place = f"host=127.0.0.1 port={port} user={name} password={passwords[password]}"
            psycopg.connect(f"{place} dbname={name}").close()
            (other,) = {"mlflow", "optuna"} - {name}
            with pytest.raises(psycopg.OperationalError, match="permission denied"):
                psycopg.connect(f"{place} dbname={other}")
    assert subprocess.run(check, env=environment, capture_output=True, check=False).returncode != 0


@pytest.mark.slow
def test_each_process_of_the_stack_is_given_its_own_variables(tmp_path: Path) -> None:
    (tmp_path / "compose").mkdir()
    (tmp_path / "compose" / "given.py").write_text((ROOT / "compose/given.py").read_text())
    (tmp_path / ".env").write_text("MINIO_PORT=9100\nMINIO_ROOT_PASSWORD=hush\nPOSTGRES_PASSWORD=hush\n")
    command = [
        sys.executable,
        "compose/given.py",
        "MINIO_PORT",
        "--",
        sys.executable,
        "-c",
        "import os; print(dict(os.environ))",
    ]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert "'MINIO_PORT': '9100'" in done.stdout
    assert "hush" not in done.stdout
    lines = (ROOT / "compose/Procfile").read_text().splitlines()
    assert all("compose/given.py" in line for line in lines if not line.startswith("#"))
