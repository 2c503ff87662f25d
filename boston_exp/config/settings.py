"""What the environment, .env and the command line say, and which of them wins.

Imports the standard library alone, until there is a .env to read.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from boston_exp.process import remembered

ROOT_VARIABLE = "BOSTON_EXP_ROOT"  # the project's folder, told to workers, which may stand elsewhere


def _project_root() -> Path:
    """The folder with conf/: that of the package, else, where it is installed without, the one that we stand in."""
    beside = Path(__file__).resolve().parents[2]
    told = os.environ.get(ROOT_VARIABLE)
    here = Path.cwd()
    for place in (beside, *([Path(told)] if told else []), here, *here.parents):
        if (place / "conf" / "config.yaml").is_file() and (place / "conf" / "doctor.yaml").is_file():
            return place
    return beside


PROJECT_ROOT = _project_root()


@dataclass(frozen=True)
class Typed:
    """Overrides as they were typed, and the folder they were typed in: typed paths start there, those of conf/ at the
    project."""

    overrides: tuple[str, ...] = ()
    cwd: Path = PROJECT_ROOT

    def has(self, key: str) -> bool:
        group = key.partition(".")[0] + "={"  # tracking={uri:…} says it, too
        return any(
            override.lstrip("+").split("=", 1)[0] == key or override.lstrip("+").startswith(group)
            for override in self.overrides
        )

    def folder(self, key: str) -> Path:
        """Where a relative path under this key starts."""
        return self.cwd if self.has(key) else PROJECT_ROOT

    def text(self, key: str) -> str | None:
        """The raw text of the last override of `key`, quotes removed; None if it was not typed.

        For ids: as values, Hydra reads 898e12 as a float and 1e999 as infinity.
        """
        found = [
            value for name, _, value in (each.partition("=") for each in self.overrides) if name.lstrip("+") == key
        ]
        return _unquoted(found[-1]) if found else None

    def texts(self, key: str) -> list[str]:
        """The raw items of a list, `runs=[898e12,7d0f]`; one item where no list was typed."""
        text = self.text(key)
        if text is None:
            return []
        inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
        return [_unquoted(item) for item in inner.split(",") if item.strip()]


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


@dataclass(frozen=True)
class Decided:
    """A setting, who decided it, and the folder that a relative path in it starts from."""

    value: str
    why: str
    folder: Path


def decide(variable: str, key: str, group_value: str, typed: Typed) -> Decided:
    """An override wins over the environment, that over .env, and that over the group's YAML."""
    if typed.has(key):
        return Decided(group_value, f"from {key}=", typed.cwd)
    if os.environ.get(variable):
        return Decided(os.environ[variable], f"from {variable}", typed.cwd)
    if dotenv().get(variable):
        return Decided(dotenv()[variable], f"from {variable} in .env", PROJECT_ROOT)
    return Decided(group_value, f"from conf/{key.partition('.')[0]}", PROJECT_ROOT)


@remembered()
def dotenv() -> dict[str, str]:
    """The project's .env, read once; empty where there is none. It is never put into the environment as a whole."""
    path = PROJECT_ROOT / ".env"
    if not path.is_file():
        return {}
    from dotenv import dotenv_values

    return {name: value for name, value in dotenv_values(path).items() if value}


def setting(name: str) -> str | None:
    """A variable of the environment, or of .env where it is not set there."""
    return os.environ.get(name) or dotenv().get(name)


def port(name: str, default: int) -> int:
    """A port of the stack, which .env can change. Only names that end in _PORT: no secret enters the configuration."""
    value = setting(name) if name.endswith("_PORT") else None
    return int(value) if value and value.isdigit() else default


# Passwords and keys that the environment or .env may hold.
SECRETS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "MLFLOW_S3_ACCESS_KEY_ID",
    "MLFLOW_S3_SECRET_ACCESS_KEY",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_ADMIN_PASSWORD",
    "MLFLOW_FLASK_SERVER_SECRET_KEY",
    "MLFLOW_DB_PASSWORD",
    "OPTUNA_DB_PASSWORD",
    "MINIO_ROOT_PASSWORD",
    "POSTGRES_PASSWORD",
)
