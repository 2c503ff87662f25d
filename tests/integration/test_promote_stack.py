"""Promotion with the real services: registry and artifacts on an MLflow server, models in an S3 bucket by DVC."""

from __future__ import annotations

import shutil
from pathlib import Path

import boto3
import pytest
from mlflow import MlflowClient

from boston_exp import promote as command_module
from tests import services
from tests.conftest import Command, git
from tests.services import Service

pytestmark = pytest.mark.slow


def test_from_a_run_to_a_champion_on_the_server_and_back(
    command: Command, store: Path, server: Service, gateway: Service, pristine: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    name = f"promoted-{tmp_path.name}".replace("_", "-")
    folder = tmp_path / "project"
    shutil.copytree(pristine, folder, ignore=shutil.ignore_patterns("docs", "tests"))
    git("config", "user.name", "T", cwd=folder)
    git("config", "user.email", "t@localhost", cwd=folder)
    monkeypatch.setattr(command_module, "PROJECT_ROOT", folder)
    for key, value in services.DATA_KEY.items():
        monkeypatch.setenv(key, value)
    here = (
        f"tracking.uri={server.url}", f"tracking.local_uri=sqlite:///{store}", f"tracking.experiment_name={name}",
        "storage=minio", f"storage.endpoint_url={gateway.url}",
    )  # fmt: skip
    for overrides in (("model=ridge",), ("model.n_estimators=20",)):
        result = command(*overrides, "evaluation=cv", "figures=none", *here)
        assert result.code == 0, result.err
        result = command("run_id=best", *here, program="promote")
        assert result.code == 0, result.err
    client = MlflowClient(server.url)
    assert {alias: str(number) for alias, number in client.get_registered_model(name).aliases.items()} == {
        "champion": "2", "previous": "1",
    }  # fmt: skip
    assert f"models:/{name}@champion in {server.url}" in result.out
    assert "pushed to the DVC remote minio" in result.out
    version = client.get_model_version_by_alias(name, "champion")
    assert {each.path for each in client.list_artifacts(version.run_id, "card")} == {"card/card.md", "card/card.html"}
    bucket = boto3.client(
        "s3", endpoint_url=gateway.url, aws_access_key_id=services.DATA_KEY["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=services.DATA_KEY["AWS_SECRET_ACCESS_KEY"], region_name="us-east-1",
    )  # fmt: skip
    stored = {each["Key"] for each in bucket.list_objects_v2(Bucket="boston-housing-data")["Contents"]}
    assert any(key.endswith(".dir") for key in stored)
    assert not any(services.DATA_KEY["AWS_SECRET_ACCESS_KEY"] in path.read_text(errors="ignore")
                   for path in (folder / "data").rglob("*") if path.is_file())  # fmt: skip

    forest = (folder / "data" / "models" / name / "model.skops").read_bytes()
    (tmp_path / "new.csv").write_text("CRIM,ZN,INDUS,CHAS,NOX,RM,AGE,DIS,RAD,TAX,PTRATIO,B,LSTAT\n" + "1," * 12 + "1\n")
    result = command(f"from_model=models:/{name}@champion", "input=new.csv", *here, program="predict")
    assert result.code == 0, result.err
    shutil.rmtree(folder / ".dvc" / "cache")  # another clone has none
    shutil.rmtree(folder / "data" / "models" / name)
    result = command("rollback=true", *here, program="promote")
    assert result.code == 0, result.err
    assert client.get_model_version_by_alias(name, "champion").version == client.get_model_version(name, "1").version
    assert (folder / "data" / "models" / name / "model.skops").read_bytes() != forest


def test_a_bucket_without_rights_changes_nothing(
    command: Command, store: Path, gateway: Service, pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "project"
    shutil.copytree(pristine, folder, ignore=shutil.ignore_patterns("docs", "tests"))
    git("config", "user.name", "T", cwd=folder)
    git("config", "user.email", "t@localhost", cwd=folder)
    monkeypatch.setattr(command_module, "PROJECT_ROOT", folder)
    assert command("model=ridge", "evaluation=cv", "figures=none").code == 0
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", services.ENVIRONMENT["MLFLOW_S3_ACCESS_KEY_ID"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", services.ENVIRONMENT["MLFLOW_S3_SECRET_ACCESS_KEY"])
    head, before = git("rev-parse", "HEAD", cwd=folder), git("status", "--porcelain", cwd=folder)
    result = command("run_id=best", "storage=minio", f"storage.endpoint_url={gateway.url}", program="promote")
    assert result.code == 2
    assert "has no right to use the bucket" in result.err
    assert git("rev-parse", "HEAD", cwd=folder) == head
    assert git("status", "--porcelain", cwd=folder) == before
    assert not MlflowClient(f"sqlite:///{store}").search_registered_models()


def test_a_registry_that_is_away(command: Command, clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_module, "PROJECT_ROOT", clone)
    result = command("run_id=best", f"tracking.uri=http://127.0.0.1:{services.free_port()}", program="promote")
    assert result.code == 2
    assert "cannot be used: it does not answer" in result.err
    assert "Traceback" not in result.err
