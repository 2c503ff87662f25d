"""Every symptom that docs/troubleshooting.md lists, produced for real: the doctor names its cause and its mend."""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from hydra import compose, initialize_config_dir

from boston_exp.config.commands import Doctor
from boston_exp.config.parsing import parse
from boston_exp.config.schema import CONF
from boston_exp.config.settings import Typed
from boston_exp.diagnosis import examination, installation, pending, services, stores
from boston_exp.diagnosis.examination import Check
from boston_exp.diagnosis.finding import Finding, Patient
from boston_exp.tracking import destination
from tests import services as real
from tests.conftest import ROOT, Command, Result, python
from tests.services import DATA_KEY, ENVIRONMENT, Service

MINIO = ("storage=minio", "tracking=none")
TROUBLESHOOTING = (ROOT / "docs" / "troubleshooting.md").read_text()


def patient(*overrides: str) -> Patient:
    with initialize_config_dir(str(CONF)):
        typed = Typed(overrides, Path.cwd())
        made = parse(compose("doctor", list(overrides)), typed, Doctor)
    return Patient(made, typed, destination.resolve(made, typed))


def found(check: Check, *overrides: str) -> list[Finding]:
    return list(check(patient(*overrides)))


def wrong(check: Check, *overrides: str) -> str:
    """What is wrong and its mend; the guide has the same words."""
    (finding,) = [finding for finding in found(check, *overrides) if finding.state != "ok"]
    assert finding.mend
    assert not any(secret in finding.says + finding.mend for secret in ENVIRONMENT.values())
    return f"{finding.says} → {finding.mend}"


def listed(words: str) -> str:
    """Words that the guide lists, where the doctor's differ from case to case: in plain text, `…` for what varies."""
    assert words in TROUBLESHOOTING, words
    return ".*".join(map(re.escape, words.split("…")))


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in DATA_KEY.items():
        monkeypatch.setenv(name, value)


def ran(folder: Path, *overrides: str, **environment: str) -> Result:
    return python("-m", "boston_exp.doctor", *overrides, cwd=folder, **environment)


def test_a_healthy_project_exits_0_and_leaves_nothing_behind(tmp_path: Path) -> None:
    result = ran(tmp_path, f"tracking.uri=sqlite:///{tmp_path}/new.db")
    assert result.code == 0, result.out + result.err
    assert "housing.csv is the file that housing.csv.dvc records" in result.out
    assert "will be made by the first run" in result.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_healthy_stack_has_nothing_but_ok(tmp_path: Path, gateway: Service, server: Service) -> None:
    overrides = ("storage=minio", f"storage.endpoint_url={gateway.url}", f"tracking.uri={server.url}", "format=json")
    result = ran(tmp_path, *overrides, f"tracking.local_uri=sqlite:///{tmp_path}/l.db", **DATA_KEY)
    assert result.code == 0, result.out
    told = json.loads(result.out)
    assert told["ok"] is True
    states = {finding["what"]: finding["state"] for finding in told["findings"]}
    assert {states[what] for what in states if what not in ("container", "libraries", "studies", "left over")} == {"ok"}
    for what in ("server", "server's registry", "server's artifacts", "bucket boston-housing-data", "clock"):
        assert what in states
    assert "holds housing.csv" in result.out


@pytest.mark.slow
def test_a_server_that_sends_its_clients_where_they_cannot_go_is_told(
    server: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Presigned URLs are made from the server's own endpoint. That no name here is known to the one and not to the
    other is why `listens` is replaced."""

    def downloads() -> Finding:
        findings = found(services.server, f"tracking.uri={server.url}")
        return next(each for each in findings if each.what == "server's downloads")

    artifact = f"{server.url}/api/2.0/mlflow-artifacts/artifacts/0/run/artifacts/a.txt"
    assert requests.put(artifact, data=b"x", timeout=10).status_code == 200
    assert downloads().says.endswith("which answers")
    monkeypatch.setattr(services.ports, "listens", lambda address: False)
    assert downloads().state == "wrong"
    assert "sends its clients to http://127.0.0.1:" in downloads().says


@pytest.mark.slow
def test_everything_down_or_hanging_is_told_within_ten_seconds(tmp_path: Path) -> None:
    with real.hanging() as address:
        overrides = ("storage=minio", f"storage.endpoint_url=http://{address}", f"tracking.uri=http://{address}")
        result = ran(tmp_path, *overrides, f"tracking.local_uri=sqlite:///{tmp_path}/l.db", **DATA_KEY)
    assert result.code == 1
    assert f"http://{address} does not answer within 3 s" in result.out
    assert f"http://{address} accepts connections and does not answer within 3 s" in result.out


@pytest.mark.usefixtures("keys")
def test_the_endpoint_cannot_be_reached() -> None:
    url = f"http://127.0.0.1:{real.free_port()}"
    said = wrong(services.buckets, *MINIO, f"storage.endpoint_url={url}")
    assert re.search(listed("… cannot be reached."), said)
    assert "make stack" in said


@pytest.mark.slow
@pytest.mark.usefixtures("keys")
def test_a_bucket_does_not_exist_and_fix_creates_it(gateway: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key for one bucket may not even learn that another is missing; the root user's, found in .env, creates it."""
    for name in ("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"):
        monkeypatch.setenv(name, ENVIRONMENT[name])
    bucket = f"new-{secrets.token_hex(4)}"
    overrides = (*MINIO, f"storage.endpoint_url={gateway.url}", f"storage.data_bucket={bucket}")
    assert "or there is no such bucket" in wrong(services.buckets, *overrides)
    (finding,) = [finding for finding in found(services.buckets, *overrides) if finding.fix]
    examination.fix([finding])
    assert "no right to use the bucket" in wrong(services.buckets, *overrides)  # it is there, with a policy of its own
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ENVIRONMENT["MINIO_ROOT_USER"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", ENVIRONMENT["MINIO_ROOT_PASSWORD"])
    assert [finding.state for finding in found(services.buckets, *overrides)] == ["ok", "ok"]
    said = wrong(services.buckets, *overrides[:-1], "storage.data_bucket=another-one")
    assert re.search(listed("the bucket does not exist"), said)
    assert "fix=true" in said


@pytest.mark.slow
def test_a_signature_does_not_match(gateway: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", DATA_KEY["AWS_ACCESS_KEY_ID"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not the one of anybody")
    said = wrong(services.buckets, *MINIO, f"storage.endpoint_url={gateway.url}")
    assert re.search(listed("the signature does not match: the secret key is wrong"), said)
    assert "correct AWS_SECRET_ACCESS_KEY" in said


@pytest.mark.slow
def test_a_key_is_not_known(gateway: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "notAKeyOfAnybody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x" * 20)
    said = wrong(services.buckets, *MINIO, f"storage.endpoint_url={gateway.url}")
    assert re.search(listed("the access key is not known there"), said)


@pytest.mark.slow
@pytest.mark.usefixtures("keys")
def test_a_policy_denies(gateway: Service) -> None:
    overrides = (*MINIO, f"storage.endpoint_url={gateway.url}", "storage.data_bucket=mlflow-artifacts")
    said = wrong(services.buckets, *overrides)
    assert re.search(listed("this key has no right to use the bucket, or there is no such bucket"), said)


@pytest.mark.slow
@pytest.mark.usefixtures("keys")
def test_a_certificate_is_not_trusted(gateway: Service, tmp_path: Path) -> None:
    with real.tls_before(gateway.url, tmp_path) as (url, ca):
        said = wrong(services.buckets, *MINIO, f"storage.endpoint_url={url}")
        assert re.search(listed("shows a certificate that is not trusted"), said)
        trusting = (*MINIO, f"storage.endpoint_url={url}", f"storage.ca_bundle={ca}")
        assert [finding.state for finding in found(services.buckets, *trusting)] == ["ok", "ok"]


@pytest.mark.slow
@pytest.mark.usefixtures("keys")
def test_the_remote_lacks_the_data(gateway: Service) -> None:
    place = ("storage=minio", f"storage.endpoint_url={gateway.url}")
    assert [finding.state for finding in found(services.dvc_remote, *place)] == ["ok"]
    said = wrong(services.dvc_remote, *place, f"data.path={ROOT}/data/raw/housing.csv", "storage.data_bucket=nowhere")
    assert "cannot be asked" in said
    from boston_exp.storage.s3 import Access

    way = Access(gateway.url, "us-east-1", None, DATA_KEY)
    key = next(
        item["Key"]
        for item in way.client.list_objects_v2(Bucket="boston-housing-data")["Contents"]
        if "md5" in item["Key"]
    )
    content = way.client.get_object(Bucket="boston-housing-data", Key=key)["Body"].read()
    way.client.delete_object(Bucket="boston-housing-data", Key=key)
    try:
        said = wrong(services.dvc_remote, *place)
        assert re.search(listed("does not hold housing.csv"), said)
        assert "dotenv run -- dvc push --remote minio" in said
    finally:
        way.client.put_object(Bucket="boston-housing-data", Key=key, Body=content)


def test_the_ui_does_not_open() -> None:
    url = f"http://127.0.0.1:{real.free_port()}"
    said = wrong(services.server, f"tracking.uri={url}")
    assert re.search(listed("is not there: connection refused"), said)
    assert "make stack" in said


def test_a_port_is_taken_by_another_program_which_is_named() -> None:
    with real.answering(404) as address:
        said = wrong(services.server, f"tracking.uri=http://{address}")
    assert re.search(listed("answers, but it is no MLflow server. Port … is taken by …"), said)
    assert re.search(r"\(pid \d+\)", said)
    assert "MLFLOW_PORT in .env" in said


@pytest.mark.usefixtures("keys")
def test_the_port_of_s3_is_taken_by_another_program() -> None:
    with real.answering(404) as address:
        said = wrong(services.buckets, *MINIO, f"storage.endpoint_url=http://{address}")
    assert re.search(listed("answers, but not as S3 does"), said)
    assert "MINIO_PORT in .env" in said


@pytest.mark.slow
def test_a_host_name_is_not_allowed(tmp_path: Path, gateway: Service) -> None:
    allowed = {"MLFLOW_SERVER_ALLOWED_HOSTS": "mlflow:5000"}
    with real.mlflow_server(tmp_path, gateway.url, **allowed) as strict:
        said = wrong(services.server, f"tracking.uri={strict.url}")
    assert re.search(listed("does not accept the host name"), said)
    assert f"--allowed-hosts {strict.url.removeprefix('http://')}" in said


@pytest.mark.slow
def test_the_server_has_lost_its_object_store(tmp_path: Path) -> None:
    for name in ("gateway", "server"):
        (tmp_path / name).mkdir()
    with real.gateway(tmp_path / "gateway") as objects, real.mlflow_server(tmp_path / "server", objects.url) as server:
        real.kill(objects.process)
        said = wrong(services.server, f"tracking.uri={server.url}")
    assert re.search(listed("answers, but its object store"), said)


@pytest.mark.slow
def test_the_server_has_wrong_keys(tmp_path: Path, gateway: Service) -> None:
    with real.mlflow_server(tmp_path, gateway.url, MLFLOW_S3_SECRET_ACCESS_KEY="x" * 20) as server:
        said = wrong(services.server, f"tracking.uri={server.url}")
    assert re.search(listed("answers, but its object store gives 401"), said)


def test_the_registry_of_a_file_store() -> None:
    said = wrong(stores.store, "tracking.uri=./mlruns")
    assert re.search(listed("a folder of files has no model registry, and MLflow refuses it"), said)
    assert "sqlite:///mlflow.db" in said


def test_the_store_is_of_a_newer_mlflow(store: Path) -> None:
    with sqlite3.connect(store) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'fromthefuture'")
    said = wrong(stores.store, f"tracking.uri=sqlite:///{store}")
    assert re.search(listed("which the installed MLflow does not know"), said)


@pytest.mark.slow
def test_runs_of_dead_processes_are_closed_by_fix(store: Path, tmp_path: Path) -> None:
    """A process that was killed leaves its run RUNNING; so does the one here, which ends without a word."""
    code = (
        "import os; from boston_exp.tracking import destination;"
        "from boston_exp.tracking.mlflow import runs, store;"
        f"where = destination.Destination('mlflow', 'sqlite:///{store}', '', '{tmp_path}/a', 'x');"
        "client, experiment = store.connect(where);"
        "runs.create_run(client, experiment.experiment_id, 'left', {}); os._exit(0)"
    )
    assert python("-c", code, cwd=tmp_path).code == 0
    overrides = (
        f"tracking.uri=sqlite:///{store}",
        f"tracking.artifact_root={tmp_path}/a",
        "tracking.experiment_name=x",
    )
    said = wrong(stores.store, *overrides)
    assert re.search(listed("runs say RUNNING, and their processes are gone"), said)
    result = ran(tmp_path, *overrides, "fix=true")
    assert "fixed: runs" in result.err
    assert [finding.state for finding in found(stores.store, *overrides)] == ["ok", "ok"]


@pytest.mark.slow
def test_runs_that_wait_for_a_server(command: Command, store: Path) -> None:
    url = f"http://127.0.0.1:{real.free_port()}"
    places = (f"tracking.uri={url}", f"tracking.local_uri=sqlite:///{store}")
    result = command("model=dummy", "figures=none", *places)
    assert result.code == 0, result.err
    said = wrong(pending.pending, *places)
    assert re.search(listed("1 run is not on … yet"), said)
    assert f"python -m boston_exp.sync tracking=server tracking.uri={url} tracking.local_uri=sqlite:///{store}" in said


@pytest.mark.slow
def test_fix_initialises_the_store(tmp_path: Path) -> None:
    result = ran(tmp_path, f"tracking.uri=sqlite:///{tmp_path}/new.db", "fix=true")
    assert result.code == 0, result.out + result.err
    assert (tmp_path / "new.db").stat().st_size > 0


def test_the_data_file_was_changed(tmp_path: Path) -> None:
    for name in ("housing.csv", "housing.csv.dvc"):
        (tmp_path / name).write_bytes((ROOT / "data" / "raw" / name).read_bytes())
    with (tmp_path / "housing.csv").open("a") as file:
        file.write("\n")
    said = wrong(installation.data_file, f"data.path={tmp_path}/housing.csv")
    assert re.search(listed("is not the file that housing.csv.dvc records"), said)
    assert "dvc checkout --force" in said


def test_localhost_inside_of_a_container_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests run inside and outside of containers, so the marks of one are what is replaced."""
    monkeypatch.setattr(installation, "in_container", lambda: True)
    said = wrong(installation.container, f"tracking.uri=http://127.0.0.1:{real.free_port()}")
    assert re.search(listed("means the container itself, not its host"), said)
    assert "tracking.uri=http://mlflow:5000" in said


def test_libraries_that_differ_from_the_lock_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = (ROOT / "requirements.lock").read_text()
    (tmp_path / "requirements.lock").write_text(re.sub(r"^mlflow==\S+", "mlflow==0.0.1", lock, flags=re.MULTILINE))
    monkeypatch.setattr(installation, "PROJECT_ROOT", tmp_path)
    said = wrong(installation.libraries)
    assert re.search(listed("not as in requirements.lock"), said)
    assert "mlflow" in said


def test_a_server_of_another_major_version_is_named() -> None:
    """Only one MLflow is installed here, so what the other says is made up."""
    finding = services.version_of("2.22.0", "http://server")
    assert finding.state == "warning"
    assert re.search(listed("runs MLflow …, this is …"), finding.says)


@pytest.mark.timeout(30)
def test_a_check_that_hangs_or_breaks_does_not_hold_the_others_up() -> None:
    def hangs(patient: Patient) -> Iterator[Finding]:
        threading.Event().wait(120)
        yield from ()

    def breaks(patient: Patient) -> Iterator[Finding]:
        raise RuntimeError("at https://me:secret@host")
        yield

    findings = examination.examine(patient(), (hangs, breaks, installation.python), deadline=0.5)
    assert [(each.what, each.state) for each in findings] == [
        ("breaks", "wrong"), ("python", "ok"), ("hangs", "wrong"),
    ]  # fmt: skip
    assert "secret" not in findings[0].says


def test_bad_input_is_refused_as_everywhere(tmp_path: Path) -> None:
    result = ran(tmp_path, "format=xml")
    assert result.code == 2
    assert "format=xml is not possible: choose one of table, json" in result.err
    assert "Traceback" not in result.err
