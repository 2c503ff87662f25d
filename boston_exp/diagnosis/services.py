"""Services that a run would talk to: the MLflow server, S3, the DVC remote behind it."""

from __future__ import annotations

import email.utils
import time
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import requests  # here and not in a check's thread: its import filters warnings, which is not thread-safe

from boston_exp.config.invocation import again
from boston_exp.config.settings import PROJECT_ROOT
from boston_exp.diagnosis import ports
from boston_exp.diagnosis.finding import Finding, Patient, from_fault, ok, warning, wrong
from boston_exp.errors import Fault, Kind
from boston_exp.storage import credentials, s3
from boston_exp.storage.s3 import Access, is_here

SKEW = 60.0  # seconds that clocks may differ before a warning is due; S3 refuses at 900


def server(patient: Patient) -> Iterator[Finding]:
    """Health, version, database, artifacts and registry of the MLflow server."""
    uri = patient.destination.server
    if uri is None:
        return
    from boston_exp.tracking.publishing import health  # imports MLflow

    shown = patient.destination.shown_server
    registry = "/api/2.0/mlflow/registered-models/search?max_results=1"
    answers = health.answers_of(patient.destination, version="/version", registry=registry)
    alive, artifacts = answers["server"], answers.pop("object store")
    refused = next(
        (fault for answer in answers.values() if (fault := health.refusal(patient.destination, answer))), None
    )
    if alive.error and not refused:
        yield wrong("server", f"{shown} {alive.error}.", s3.UP if is_here(uri) else f"curl {shown}/health")
        return
    if refused:
        yield from_fault("server", _named(refused, uri))
        return
    if alive.status >= 500:
        yield wrong("server", f"{shown} answers {alive.status}.", "look at the server's log")
        return
    yield ok("server", f"{shown} is healthy, lets us in")
    if answers["version"].status == 200:
        yield version_of(answers["version"].text.strip(), shown)
    if '"lifecycle_stage": "deleted"' in answers["database"].text:
        name = patient.destination.experiment_name
        mend = again("tracking.experiment_name=<another>")
        mend += "   (or: mlflow experiments restore --experiment-id <its id>)"
        yield wrong("experiment", f"The experiment {name} was deleted on {shown}.", mend)
    for part in ("database", "registry"):
        answer = answers[part]
        if answer.error or answer.status >= 500:
            says = f"{shown} answers, but its {part} {answer.error or f'gives {answer.status}'}."
            yield wrong(f"server's {part}", says, "look at the server's log, and at its database")
        else:
            yield ok(f"server's {part}", "answers")
    said = health.object_store_fault(artifacts)
    if said:
        mend = "start its object store, or mend the keys that the server was started with: see the server's log"
        yield wrong("server's artifacts", f"{shown} answers, but {said}.", mend)
        return
    yield ok("server's artifacts", "can be listed")
    elsewhere = health.sends_elsewhere(patient.destination)
    if elsewhere and not ports.listens(elsewhere):
        says = f"{shown} sends its clients to {elsewhere} for downloads, which does not answer here."
        mend = "have it hand them through, as compose/mlflow/proxied_s3.py does, or give it an endpoint that all reach"
        yield wrong("server's downloads", says, f"{mend}   (MLFLOW_S3_ENDPOINT_URL of the server)")
    else:
        yield ok("server's downloads", f"from {elsewhere}, which answers" if elsewhere else "through the server")


def version_of(theirs: str, shown: str) -> Finding:
    from importlib import metadata

    ours = metadata.version("mlflow")
    if theirs == ours:
        return ok("server's version", f"{theirs}, as here")
    if theirs.split(".")[:1] == ours.split(".")[:1]:
        return ok("server's version", f"{theirs}, here {ours}")
    return warning(
        "server's version",
        f"{shown} runs MLflow {theirs}, this is {ours}.",
        f"pip install mlflow=={ours}   (on the server)",
    )


def _named(fault: Fault, uri: str) -> Fault:
    """With the process that listens on the port, where it is one of this machine."""
    if fault.kind is not Kind.OTHER_PROGRAM or not is_here(uri):
        return fault
    return Fault(f"{fault.says} Port {ports.taken(ports.port_of(uri))}.", _other_port("MLFLOW_PORT"))


def _other_port(variable: str) -> str:
    return f"end that program, or set another {variable} in .env and start the stack again: make stack"


def buckets(patient: Patient) -> Iterator[Finding]:
    """S3: the endpoint, our clock against its, our keys, the buckets, and a round trip of one object."""
    storage, typed = patient.config.storage, patient.typed
    if storage.data_bucket is None:
        return
    needed = [(storage.data_bucket, False)]
    if patient.destination.artifact_root and patient.destination.artifact_root.startswith("s3://"):
        needed.append((patient.destination.artifact_root.removeprefix("s3://").partition("/")[0], True))
    told_before: set[Fault] = set()
    for bucket, for_artifacts in needed:
        access = s3.access(storage, typed, for_artifacts)
        assert access is not None
        what = f"bucket {bucket}"
        fault = s3.fault(access, bucket)
        if fault is None:
            yield _round_trip(access, bucket, what)
            continue
        if fault in told_before:  # the endpoint's, not the bucket's
            continue
        told_before.add(fault)
        if fault.kind is Kind.OTHER_PROGRAM and access.endpoint_url and is_here(access.endpoint_url):
            says = f"{fault.says} Port {ports.taken(ports.port_of(access.endpoint_url))}."
            fault = Fault(says, f"{_other_port('MINIO_PORT')}; or {fault.mend}")
        create = partial(_create, access, bucket) if fault.kind is Kind.BUCKET_MISSING else None
        yield from_fault(what, fault, create)
    if not told_before:
        yield from _clock(s3.access(storage, typed))


def _round_trip(access: Access, bucket: str, what: str) -> Finding:
    key, content = f"boston_exp-doctor-{uuid.uuid4().hex}", b"written by the doctor"
    try:
        access.client.put_object(Bucket=bucket, Key=key, Body=content)
        read = access.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        access.client.delete_object(Bucket=bucket, Key=key)
    except Exception as error:  # boto3's exceptions have no common base class
        return from_fault(what, s3.explained(error, access, bucket))
    if read != content:
        return wrong(what, f"{access.where} gives back something else than was put there.", "look at its log")
    return ok(what, f"at {access.where}: our key lists, writes, reads, deletes")


def _create(access: Access, bucket: str) -> None:
    """With the root user's key where .env has it: a key for one bucket may create none."""
    root = credentials.root() if access.endpoint_url and is_here(access.endpoint_url) else {}
    maker = Access(access.endpoint_url, access.region, access.ca_bundle, root) if root else access
    elsewhere = access.endpoint_url is None and access.region not in (None, "us-east-1")
    place = {"CreateBucketConfiguration": {"LocationConstraint": access.region}} if elsewhere else {}
    maker.client.create_bucket(Bucket=bucket, **place)


def _clock(access: Access | None) -> Iterator[Finding]:
    if access is None or access.endpoint_url is None:
        return
    try:
        answer = requests.head(access.endpoint_url, timeout=(s3.CONNECT, s3.READ), verify=access.ca_bundle or True)
        theirs = email.utils.parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (requests.RequestException, KeyError, ValueError):  # the bucket's line tells it
        return
    apart = abs(time.time() - theirs)
    if apart > SKEW:
        mend = "sudo timedatectl set-ntp true   (S3 refuses every request from 15 minutes on)"
        yield warning("clock", f"this machine and {access.where} differ by {apart:.0f} s.", mend)
    else:
        yield ok("clock", f"agrees with that of {access.where}")


def dvc_remote(patient: Patient) -> Iterator[Finding]:
    """Whether the DVC remote holds the data file."""
    from boston_exp.storage import dvc_file

    path = patient.config.data.path
    md5 = dvc_file.recorded_md5(Path(path)) if path else None
    if md5 is None:
        return
    storage, name = patient.config.storage, Path(str(path)).name
    push = f"dvc push --remote {storage.dvc_remote}"
    key = f"files/md5/{md5[:2]}/{md5[2:]}"
    if storage.data_bucket is None:
        folder = PROJECT_ROOT / "data" / "remote"
        if storage.dvc_remote == "embedded" and not (folder / key).exists():
            yield wrong("dvc remote", f"{folder} does not hold {name}.", f"git checkout {folder}   (or {push})")
        elif storage.dvc_remote == "embedded":
            yield ok("dvc remote", f"embedded, holds {name}")
        return
    access = s3.access(storage, patient.typed)
    assert access is not None
    try:
        access.client.head_object(Bucket=storage.data_bucket, Key=key)
    except Exception as error:  # boto3's exceptions have no common base class
        response = getattr(error, "response", None) or {}
        if response.get("Error", {}).get("Code") == "404":
            says = f"s3://{storage.data_bucket} does not hold {name} ({md5})."
            yield wrong("dvc remote", says, f"dotenv run -- {push}")
        else:
            yield wrong(
                "dvc remote", f"s3://{storage.data_bucket} cannot be asked for {name}.", "mend the bucket's line first"
            )
        return
    yield ok("dvc remote", f"s3://{storage.data_bucket} holds {name}")


def free_ports(patient: Patient) -> Iterator[Finding]:
    """Ports that `make stack` would find free; who has one that is taken is told with the service that is not there."""
    for variable, address in (
        ("MLFLOW_PORT", patient.destination.server),
        ("MINIO_PORT", patient.config.storage.endpoint_url),
    ):
        if not address or not is_here(address):
            continue
        port = ports.port_of(address)
        if urlsplit(address).scheme == "http" and not ports.listens(address):
            yield ok(f"port {port}", f"free for the stack ({variable})")
