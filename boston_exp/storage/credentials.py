"""Secrets, looked up at the moment of use: the environment, then .env, then AWS's own chain (profiles, roles).

None of them is ever part of the configuration, so none is in .hydra/, in MLflow or in a log.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from boston_exp import process
from boston_exp.config.settings import PROJECT_ROOT, dotenv
from boston_exp.errors import Fault, InvalidConfig
from boston_exp.redaction import hide

# An identity of AWS. Taken as a whole from one source: half of a pair from elsewhere would be a wrong one.
AWS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE")
# Keys for artifacts alone; where they are not set, AWS's are used for artifacts, too.
ARTIFACTS = {"AWS_ACCESS_KEY_ID": "MLFLOW_S3_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY": "MLFLOW_S3_SECRET_ACCESS_KEY"}
SERVER = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
LOGIN_FOR = "BOSTON_EXP_LOGIN_FOR"  # the server that a login in the environment is for, told to workers
MLFLOWS_FILE = Path("~/.mlflow/credentials")
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


@dataclass(frozen=True)
class Login:
    """Who we are to an MLflow server. `withheld` names the place of a login that was set for another one."""

    server: str
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    withheld: str | None = None

    @property
    def sends_password(self) -> bool:
        """Whoever gives it: the environment, .env, the address, MLflow's own file, requests' ~/.netrc."""
        if self.variables or "@" in self.server or MLFLOWS_FILE.expanduser().is_file():
            return True
        from requests.utils import get_netrc_auth

        return get_netrc_auth(self.server) is not None

    def into_environment(self) -> None:
        """Set it for MLflow, which sends what it finds in the environment to any server, and remember for which one."""
        for name in (*SERVER, LOGIN_FOR):
            os.environ.pop(name, None)
        tls = {name: value for name in SERVER_TLS if (value := dotenv().get(name))}
        os.environ.update(tls)
        if self.variables:
            os.environ.update({**self.variables, LOGIN_FOR: origin(self.server)})


def login_for(server: str, from_conf: bool) -> Login:
    """The login in the environment, else that in .env, if it was set for this server.

    It was if MLFLOW_TRACKING_URI beside it has the same origin; without one, if conf/ has this address (`from_conf`, or
    in one of its files, where it was typed). Raises InvalidConfig if MLflow's own file would send one elsewhere.
    """
    withheld = None
    beside_file = os.environ.get("MLFLOW_TRACKING_URI") or dotenv().get("MLFLOW_TRACKING_URI")
    for place, source, beside in (
        ("the environment", os.environ, os.environ.get(LOGIN_FOR) or beside_file),
        (".env", dotenv(), dotenv().get("MLFLOW_TRACKING_URI")),
    ):
        found = {name: source[name] for name in SERVER if source.get(name)}
        if not found:
            continue
        hide(*(value for name, value in found.items() if "USERNAME" not in name))
        if origin(beside) == origin(server) if beside else from_conf or _in_conf(server):
            return Login(server, found)
        withheld = withheld or place
    if MLFLOWS_FILE.expanduser().is_file() and not from_conf and origin(beside_file or "") != origin(server):
        says = f"MLflow would send the login in {MLFLOWS_FILE} to {origin(server)}, which was typed."
        raise InvalidConfig(
            Fault(says, f"export MLFLOW_TRACKING_URI={origin(server)}   (if it is meant for that server)")
        )
    return Login(server, withheld=withheld)


def origin(address: str) -> str:
    """Scheme, host and port of an address, without user and path."""
    with suppress(ValueError):  # which an address that is none gets elsewhere
        address = _origin(address)
    return address


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"


def _in_conf(server: str) -> bool:
    """Whether a file of conf/ has this address: what is in there is trusted."""
    from omegaconf import OmegaConf

    for folder, key in (("tracking", "uri"), ("env", "tracking.uri")):
        for file in (PROJECT_ROOT / "conf" / folder).glob("*.yaml"):
            given = OmegaConf.select(OmegaConf.load(file), key)
            if isinstance(given, str) and given.startswith("http") and origin(given) == origin(server):
                return True
    return False


def _together(names: Iterable[str]) -> dict[str, str]:
    for source in (os.environ, dotenv()):
        found = {name: source[name] for name in names if source.get(name)}
        if found:
            hide(*(value for name, value in found.items() if "PROFILE" not in name and "USERNAME" not in name))
            return found
    return {}
