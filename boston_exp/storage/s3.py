"""S3 as the storage group describes it: our identity there, whether it answers, and what is wrong if it does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from boston_exp import process
from boston_exp.config.invocation import again, for_services
from boston_exp.config.schema import Storage
from boston_exp.config.settings import Typed, decide, setting
from boston_exp.errors import Fault, Kind
from boston_exp.redaction import redact
from boston_exp.storage import credentials

if TYPE_CHECKING:
    from botocore.client import BaseClient

UP = "make stack   (or docker compose -f compose/docker-compose.yml --env-file .env up)"
CONNECT, READ = 2.0, 3.0  # seconds; without retries an outage is known in five


@dataclass(frozen=True)
class Access:
    """Access to S3: an endpoint (None is AWS) and an identity as AWS's own variables; empty is AWS's own chain."""

    endpoint_url: str | None
    region: str | None
    ca_bundle: str | None
    identity: Mapping[str, str] = field(default_factory=dict, repr=False)
    shown_as: str = "storage"  # the override that doctor needs

    @cached_property
    def client(self) -> BaseClient:
        """A boto3 client that gives up within seconds. Raises what botocore does for a profile it cannot find."""
        import boto3
        from botocore.config import Config

        names = {"profile_name": "AWS_PROFILE"} if "AWS_ACCESS_KEY_ID" not in self.identity else {
            "aws_access_key_id": "AWS_ACCESS_KEY_ID",
            "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
            "aws_session_token": "AWS_SESSION_TOKEN",
        }  # fmt: skip
        session = boto3.Session(
            region_name=self.region, **{name: self.identity.get(variable) for name, variable in names.items()}
        )
        return session.client(
            "s3",
            endpoint_url=self.endpoint_url,
            verify=self.ca_bundle,
            config=Config(
                connect_timeout=CONNECT,
                read_timeout=READ,
                retries={"total_max_attempts": 1},
                request_checksum_calculation="when_required",  # older S3 servers know no trailing checksums
            ),
        )

    @property
    def where(self) -> str:
        return redact(self.endpoint_url or "AWS S3")

    def variables(self) -> dict[str, str]:
        """The same for MLflow, which reads the environment."""
        found = {
            "MLFLOW_S3_ENDPOINT_URL": self.endpoint_url,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_CA_BUNDLE": self.ca_bundle,
            **self.identity,
        }
        return {name: value for name, value in found.items() if value}

    def dvc_remote(self, bucket: str) -> dict[str, Any]:
        """The same for DVC, as a remote's section of its configuration."""
        names = {
            "access_key_id": "AWS_ACCESS_KEY_ID",
            "secret_access_key": "AWS_SECRET_ACCESS_KEY",
            "session_token": "AWS_SESSION_TOKEN",
            "profile": "AWS_PROFILE",
        }
        found = {name: self.identity.get(variable) for name, variable in names.items()}
        found |= {"endpointurl": self.endpoint_url, "region": self.region, "ssl_verify": self.ca_bundle}
        return {"url": f"s3://{bucket}", **{name: value for name, value in found.items() if value}}


def access(storage: Storage, typed: Typed, for_artifacts: bool = False) -> Access | None:
    """The access to S3 that this configuration and this environment give, or None without S3."""
    if storage.data_bucket is None:
        return None
    endpoint = decide("MLFLOW_S3_ENDPOINT_URL", "storage.endpoint_url", storage.endpoint_url or "", typed)
    region = storage.region or setting("AWS_DEFAULT_REGION")
    ca_bundle = setting("AWS_CA_BUNDLE")
    if storage.ca_bundle:
        ca_bundle = str((typed.folder("storage.ca_bundle") / Path(storage.ca_bundle).expanduser()).resolve())
    identity = credentials.artifacts() if for_artifacts else credentials.aws()
    return Access(endpoint.value.rstrip("/") or None, region, ca_bundle, identity, f"storage={storage.dvc_remote}")


def is_here(address: str) -> bool:
    """Whether an address is one of this machine."""
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:
        return False
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # a name
        return False


def fault(access: Access, bucket: str) -> Fault | None:
    """What keeps us from using a bucket, and how to mend it; None if it can be listed. Takes five seconds at most."""
    from botocore.exceptions import BotoCoreError, ClientError

    if access.ca_bundle and not Path(access.ca_bundle).is_file():
        return Fault(f"storage.ca_bundle={access.ca_bundle} does not exist.", f"ls {Path(access.ca_bundle).parent}")
    try:
        answer = process.within(CONNECT + READ, lambda: access.client.list_objects_v2(Bucket=bucket, MaxKeys=1))
    except TimeoutError:
        says = f"{access.where} does not end its answer within {CONNECT + READ:.0f} s."
        return Fault(says, _start(access, for_services("doctor", access.shown_as)))
    except (ClientError, BotoCoreError, ValueError) as error:
        return explained(error, access, bucket)
    return None if "Name" in answer else _another_program(access)  # boto3 takes a web page for an empty listing


def explained(error: Exception, access: Access, bucket: str) -> Fault:
    """Cause and mend of what boto3 raised."""
    doctor = for_services("doctor", access.shown_as)
    place = f"s3://{bucket} at {access.where}"
    response = getattr(error, "response", None) or {}
    code = str(response.get("Error", {}).get("Code", ""))
    said = redact(str(error)).partition("\n")[0]
    kind = type(error).__name__
    if code == "InvalidAccessKeyId":
        return Fault(f"{place}: the access key is not known there.", _keys("AWS_ACCESS_KEY_ID", doctor))
    if code == "SignatureDoesNotMatch":
        return Fault(
            f"{place}: the signature does not match: the secret key is wrong.", _keys("AWS_SECRET_ACCESS_KEY", doctor)
        )
    if code in ("404", "405", "501") or "API port" in said or (response and not code) or kind == "ResponseParserError":
        return _another_program(access)
    if code == "NoSuchBucket":
        mend = f"{doctor} fix=true   (creates it, if your key may)"
        return Fault(f"{place}: the bucket does not exist.", mend, Kind.BUCKET_MISSING)
    if code in ("AccessDenied", "403", "AllAccessDisabled"):
        return Fault(
            f"{place}: this key has no right to use the bucket, or there is no such bucket.",
            f"give its user the policy of compose/policy.json for {bucket}, or use another key; then: {doctor}",
            Kind.BUCKET_MISSING,
        )
    if code == "RequestTimeTooSkewed":
        return Fault(
            f"{place}: the clock of this machine and that of the server differ by more than 15 minutes.",
            "sudo timedatectl set-ntp true   (or set the clock of the server)",
        )
    if kind in ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "CredentialRetrievalError"):
        return Fault(
            f"{place} needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile: {said}.",
            f"make env   (for your own stack; else fill .env, see .env.example); then: {doctor}",
        )
    if kind == "SSLError":
        if "WRONG_VERSION_NUMBER" in said or "record layer" in said:
            plain = f"http://{access.where.rpartition('://')[2]}"
            return Fault(f"{access.where} does not speak TLS.", again(f"storage.endpoint_url={plain}"))
        return Fault(
            f"{access.where} shows a certificate that is not trusted: {said}",
            f"{again('storage.ca_bundle=<file with the certificate of its CA>')}   (or export AWS_CA_BUNDLE)",
        )
    if kind in ("EndpointConnectionError", "ConnectTimeoutError", "ProxyConnectionError"):
        return Fault(f"{access.where} cannot be reached.", _start(access, doctor))
    if kind == "ConnectionClosedError":
        secure = f"https://{access.where.rpartition('://')[2]}"
        says = f"{access.where} closes the connection: does it want https?"
        return Fault(says, again(f"storage.endpoint_url={secure}"))
    if kind == "ReadTimeoutError":
        return Fault(
            f"{access.where} accepts connections and does not answer within {READ:.0f} s.", _start(access, doctor)
        )
    if code.startswith("5") or code in ("InternalError", "ServiceUnavailable", "SlowDown"):
        return Fault(f"{access.where} answers {code}.", _start(access, doctor))
    if isinstance(error, ValueError) or kind == "EndpointResolutionError":
        return Fault(f"storage.endpoint_url={access.where} is not an address: {said}", _s3_port())
    return Fault(f"{place}: {said}", doctor)


def _s3_port() -> str:
    return (
        f"{again('storage.endpoint_url=http://127.0.0.1:9000')}   (MinIO's S3 port; 9001 is its console, 5000 MLflow)"
    )


def _another_program(access: Access) -> Fault:
    return Fault(f"{access.where} answers, but not as S3 does: it is another program.", _s3_port(), Kind.OTHER_PROGRAM)


def _keys(variable: str, doctor: str) -> str:
    return f"correct {variable} in the environment or .env (`make stack` reads .env when it starts); then: {doctor}"


def _start(access: Access, doctor: str) -> str:
    if access.endpoint_url is None or not is_here(access.endpoint_url):
        return f"is storage.endpoint_url right, and does a firewall or a proxy stand between? then: {doctor}"
    return f"{UP}; then: {doctor}"
