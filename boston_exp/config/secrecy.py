"""Keeps secrets out of the configuration: refuses what was typed, and what was composed, before it is written down.

What is composed ends up in .hydra/, in MLflow and in messages; passwords and keys are looked up where they are used.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from boston_exp.config.settings import SECRETS, setting
from boston_exp.errors import Fault, InvalidConfig, Kind
from boston_exp.redaction import has_password, hide

NAMES = (
    r"(?:password|passwd|passphrase|(?:^|_)(?:pass|pwd)|secret|token|access_?key(?:_?id)?|(?:secret|api|private)_?key)"
)
SECRET = re.compile(rf"{NAMES}$", re.IGNORECASE)
IN_A_MAPPING = re.compile(rf"\{{.*{NAMES}['\"]?\s*:", re.IGNORECASE)
VARIABLE = re.compile(r"\$\{\s*oc\.env\s*:\s*(\w+)")
HYDRAS = ("job.env_set", "job.env_copy", "sweeper", "launcher")  # where Hydra's own part can have one
URIS = re.compile(r"(?:uri|url|storage)$")  # keys whose value may be made of secret variables
# values of variables with such a name that are no secret: to hide them would blank out words
COMMON = ("postgres", "password", "minioadmin", "username", "mlflow", "changeme")
BY_ENVIRONMENT = "export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…   (or in .env: see .env.example for every name)"


def known() -> dict[str, str]:
    """The secrets that the environment and .env hold, by name; from here on they are hidden in all text."""
    found = {name: value for name in SECRETS if (value := setting(name))}
    own = {name: value for name, value in os.environ.items() if SECRET.search(name) and name not in found}
    found |= {name: value for name, value in own.items() if len(value) > 11 and value.strip("/~.") == value}
    found = {name: value for name, value in found.items() if value not in COMMON}
    hide(*found.values())
    return found


def refuse_typed(arguments: list[str]) -> None:
    """Raise InvalidConfig for a password or key that was typed, before Hydra writes what was typed into .hydra/."""
    secrets, faults = known(), []
    for argument in arguments:
        key, given, value = argument.partition("=")
        name = key.rpartition(".")[2]
        if given and has_password(value):
            mend = f"export URI='<all of it>' and type '{key}=${{oc.env:URI}}'"
            mend += "   (tracking.uri: export MLFLOW_TRACKING_URI)"
            says = f"{key} was given with a password, which would end up in files and logs."
            faults.append(Fault(says, mend, Kind.SECRET))
        elif given and value and (SECRET.search(name) or IN_A_MAPPING.search(value)):
            says = f"{key} is a secret, and what is typed ends up in files and logs."
            faults.append(Fault(says, BY_ENVIRONMENT, Kind.SECRET))
        elif given and name == "env_copy":
            faults += _copied(key, re.findall(r"\w+", value), secrets)
        else:
            faults += _values(key, argument, secrets)
    if faults:
        raise InvalidConfig(*faults)


def refuse_composed(cfg: DictConfig) -> None:
    """Raise InvalidConfig for a password, a key or a secret variable in a composed configuration, wherever it is from.

    `${oc.env:…}` inside of a URI is accepted: the configuration does not hold what it stands for.
    """
    secrets = known()
    faults = [fault for key, value in _leaves(OmegaConf.to_container(cfg)) for fault in _faults(key, value, secrets)]
    if faults:
        raise InvalidConfig(*faults)


def refuse_hydras(hydra: DictConfig) -> None:
    """The same for Hydra's own part: variables that it sets and copies, settings of sweeper and launcher."""
    nodes = {f"hydra.{name}": OmegaConf.select(hydra, name) for name in HYDRAS}
    copied = [str(name) for name in nodes["hydra.job.env_copy"] or []]
    faults = _copied("hydra.job.env_copy", copied, known())
    if faults:
        raise InvalidConfig(*faults)
    rest = {key: node for key, node in nodes.items() if node and key[-4:] != "copy"}
    folders = {f"hydra.{name}": OmegaConf.to_container(hydra[name], resolve=False) for name in ("run", "sweep")}
    refuse_composed(OmegaConf.create({**rest, **folders}))


def remove_composed(hydra: Any) -> None:
    """Remove what Hydra has written of a configuration that was refused for a secret in it."""
    if hydra.output_subdir is not None and hydra.runtime.get("output_dir"):
        shutil.rmtree(Path(hydra.runtime.output_dir) / str(hydra.output_subdir), ignore_errors=True)


def _faults(key: str, value: object, secrets: dict[str, str]) -> Iterator[Fault]:
    text = "" if value is None else str(value)
    if text in ("", "???"):
        return
    variables = [name for name in VARIABLE.findall(text) if SECRET.search(name)]
    if has_password(re.sub(r"\$\{[^}]*\}", "", text)):
        says = f"{key} holds a URI with a password, which would end up in files and logs."
        yield Fault(says, f"export URI='<all of it>' and set {key} to ${{oc.env:URI}}", Kind.SECRET)
    elif SECRET.search(key.rpartition(".")[2]):
        yield Fault(f"{key} is a secret, and the configuration ends up in files and logs.", BY_ENVIRONMENT, Kind.SECRET)
    elif variables and not ("://" in text and URIS.search(key)):
        says = f"{key} takes the value of {variables[0]}, a secret, which would end up in files and logs."
        yield Fault(says, f"set {key} to something else: {variables[0]} is found where it is needed", Kind.SECRET)
    else:
        yield from _values(key, text, secrets)


def _values(key: str, text: str, secrets: dict[str, str]) -> Iterator[Fault]:
    for name, secret in secrets.items():
        if len(secret) > 7 and re.search(rf"(?<!\w){re.escape(secret)}(?!\w)", text):
            mend = f"type it without; {name} is found in the environment or .env when it is needed"
            yield Fault(f"{key} was given with the value of {name}, a secret.", mend, Kind.SECRET)


def _copied(key: str, names: list[str], secrets: dict[str, str]) -> list[Fault]:
    return [
        Fault(
            f"{key} would write the value of {name}, a secret, into .hydra/.",
            f"leave {name} out: jobs find it in the environment or in .env",
            Kind.SECRET,
        )
        for name in names
        if SECRET.search(name) or name in secrets
    ]


def _leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, object]]:
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, value in pairs:
        key = f"{prefix}{name}" if isinstance(node, dict) else prefix.rstrip(".")
        if isinstance(value, dict | list):
            yield from _leaves(value, f"{key}.")
        else:
            yield key, value
