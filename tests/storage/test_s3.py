"""What keeps a run from S3 is told in one line, within five seconds: every symptom produced on a real gateway."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from boston_exp import process
from boston_exp.config import settings
from boston_exp.storage import credentials, s3
from boston_exp.storage.s3 import Access
from tests import services
from tests.services import DATA_KEY, ENVIRONMENT, Service

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]  # boto3's defaults wait for minutes
BUCKET = "boston-housing-data"
OTHER = {**DATA_KEY, "AWS_ACCESS_KEY_ID": "notAKeyOfAnybody"}
WRONG = {**DATA_KEY, "AWS_SECRET_ACCESS_KEY": "not the secret of anybody"}
ROOT_KEY = {
    "AWS_ACCESS_KEY_ID": ENVIRONMENT["MINIO_ROOT_USER"],
    "AWS_SECRET_ACCESS_KEY": ENVIRONMENT["MINIO_ROOT_PASSWORD"],
}


@pytest.fixture
def way(gateway: Service) -> Access:
    return Access(gateway.url, "us-east-1", None, DATA_KEY, "storage=minio")


def told(way: Access, bucket: str = BUCKET) -> str:
    fault = s3.fault(way, bucket)
    assert fault is not None
    assert not any(secret in fault.says + fault.mend for secret in ENVIRONMENT.values())
    return f"{fault.says} {fault.mend}"


def test_a_key_that_is_right_finds_nothing_to_mend(way: Access) -> None:
    assert s3.fault(way, BUCKET) is None


@pytest.mark.parametrize(
    ("change", "bucket", "says"),
    [
        (lambda way: replace(way, identity=OTHER), BUCKET, "the access key is not known there"),
        (lambda way: replace(way, identity=WRONG), BUCKET, "the secret key is wrong"),
        (lambda way: way, "mlflow-artifacts", "this key has no right to use the bucket"),
        (lambda way: replace(way, identity=ROOT_KEY), "no-such-bucket", "the bucket does not exist"),
        (lambda way: replace(way, endpoint_url=way.endpoint_url.replace("http:", "https:")), BUCKET, "not speak TLS"),
        (lambda way: replace(way, endpoint_url="127.0.0.1"), BUCKET, "is not an address"),
        (lambda way: replace(way, identity={"AWS_PROFILE": "nobody"}), BUCKET, "or a profile"),
    ],
)
def test_what_is_wrong_is_named(change: Callable[[Access], Access], bucket: str, says: str, way: Access) -> None:
    assert says in told(change(way), bucket)


def test_nobody_there(way: Access) -> None:
    url = f"http://127.0.0.1:{services.free_port()}"
    said = told(replace(way, endpoint_url=url))
    assert f"{url} cannot be reached. make stack" in said


def test_an_endpoint_that_hangs_is_given_up(way: Access) -> None:
    with services.hanging() as address:
        assert "does not answer within 3 s" in told(replace(way, endpoint_url=f"http://{address}"))


@pytest.mark.parametrize(("status", "says"), [(200, "not as S3 does"), (404, "not as S3 does"), (503, "answers 503")])
def test_an_endpoint_that_is_something_else_or_ill(status: int, says: str, way: Access) -> None:
    with services.answering(status, b"<html>hello</html>") as address:
        assert says in told(replace(way, endpoint_url=f"http://{address}"))


def test_no_credentials_at_all(way: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    said = told(replace(way, identity={}))
    assert "needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile" in said
    assert "make env" in said


def test_an_unknown_ca_is_named_and_a_known_one_lets_in(way: Access, gateway: Service, tmp_path: Path) -> None:
    with services.tls_before(gateway.url, tmp_path) as (url, ca):
        assert "certificate that is not trusted" in told(replace(way, endpoint_url=url))
        trusting = replace(way, endpoint_url=url, ca_bundle=str(ca))
        assert s3.fault(trusting, BUCKET) is None
        trusting.client.put_object(Bucket=BUCKET, Key="over-tls", Body=b"hello")


def test_a_wrong_clock_is_named(way: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of this machine cannot be set by a test, so that of botocore's signatures is."""
    from botocore import auth

    real = auth.get_current_datetime
    monkeypatch.setattr(auth, "get_current_datetime", lambda *rest, **more: real(*rest, **more) - AN_HOUR)
    assert "differ by more than 15 minutes" in told(way)


AN_HOUR = datetime.timedelta(hours=1)


def test_the_environment_wins_over_the_file_and_halves_are_not_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("AWS_ACCESS_KEY_ID=file\nAWS_SECRET_ACCESS_KEY=of-the-file\nMLFLOW_PORT=5999\n")
    monkeypatch.setattr(settings, "PROJECT_ROOT", tmp_path)
    process.reset()
    try:
        assert credentials.aws() == {"AWS_ACCESS_KEY_ID": "file", "AWS_SECRET_ACCESS_KEY": "of-the-file"}
        monkeypatch.setenv("AWS_PROFILE", "mine")
        assert credentials.aws() == {"AWS_PROFILE": "mine"}
        monkeypatch.setenv("MLFLOW_S3_ACCESS_KEY_ID", "artifacts")
        monkeypatch.setenv("MLFLOW_S3_SECRET_ACCESS_KEY", "of-artifacts")
        found = {"AWS_ACCESS_KEY_ID": "artifacts", "AWS_SECRET_ACCESS_KEY": "of-artifacts"}
        assert credentials.artifacts() == found
    finally:
        monkeypatch.undo()
        process.reset()


def test_a_profile_of_aws_is_found(way: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, secret = DATA_KEY.values()
    (tmp_path / "credentials").write_text(f"[mine]\naws_access_key_id={key}\naws_secret_access_key={secret}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    assert s3.fault(replace(way, identity={"AWS_PROFILE": "mine"}), BUCKET) is None
