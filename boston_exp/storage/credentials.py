"""Secrets, looked up at the moment of use: the environment, then .env, then AWS's own chain (profiles, roles).

None of them is ever part of the configuration, so none is in .hydra/, in MLflow or in a log.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from boston_exp import process
from boston_exp.config.settings import dotenv
from boston_exp.redaction import hide

# An identity of AWS. Taken as a whole from one source: half of a pair from elsewhere would be a wrong one.
AWS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE")
# Keys for artifacts alone; where they are not set, AWS's are used for artifacts, too.
ARTIFACTS = {"AWS_ACCESS_KEY_ID": "MLFLOW_S3_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY": "MLFLOW_S3_SECRET_ACCESS_KEY"}
SERVER = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
SERVER_TLS = ("MLFLOW_TRACKING_SERVER_CERT_PATH", "MLFLOW_TRACKING_INSECURE_TLS", "MLFLOW_TRACKING_CLIENT_CERT_PATH")


def aws() -> dict[str, str]:
    """The variables of our S3 identity; empty where only AWS's own chain (a default profile, a role) has one."""
    return dict(_previous) if _previous is not None else _together(AWS)


def artifacts() -> dict[str, str]:
    """The same for the bucket of artifacts."""
    own = _together(ARTIFACTS.values())
    return {name: own[source] for name, source in ARTIFACTS.items() if source in own} if own else aws()


def root() -> dict[str, str]:
    """The object store's own administrator, where the stack is ours."""
    own = _together(("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"))
    names = {"AWS_ACCESS_KEY_ID": "MINIO_ROOT_USER", "AWS_SECRET_ACCESS_KEY": "MINIO_ROOT_PASSWORD"}
    return {name: own[source] for name, source in names.items()} if len(own) == len(names) else {}


def into_environment(variables: dict[str, str]) -> None:
    """Set variables for MLflow, which reads only os.environ. Keep the previous AWS identity: DVC still needs it."""
    global _previous
    if variables.keys() & set(AWS):
        _previous = aws()
        for name in AWS:  # a token or a profile of the other identity would invalidate this one
            os.environ.pop(name, None)
    os.environ.update(variables)


_previous: dict[str, str] | None = None


def _forget() -> None:
    global _previous
    _previous = None


process.on_reset(_forget)


def for_server() -> dict[str, str]:
    """Who we are to an MLflow server, and which certificates we trust."""
    return {**_together(SERVER), **{name: value for name in SERVER_TLS if (value := dotenv().get(name))}}


def _together(names: Iterable[str]) -> dict[str, str]:
    for source in (os.environ, dotenv()):
        found = {name: source[name] for name in names if source.get(name)}
        if found:
            hide(*(value for name, value in found.items() if "PROFILE" not in name and "USERNAME" not in name))
            return found
    return {}
