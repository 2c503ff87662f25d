"""Environments of recorded versions: a whole one, or some packages that go before those that are installed.

Wheels alone: to build a package from its source is to run whatever is in it.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

from boston_exp.config.schema import TRUSTED
from boston_exp.errors import Fault, InvalidData
from boston_exp.lifecycle.reproduction.original import Original
from boston_exp.redaction import redact
from boston_exp.training.fingerprint import distribution
from boston_exp.training.provenance import environment

WHEELS = ("--only-binary", ":all:")
OWN = "boston-exp"
PINNED = re.compile(r"[A-Za-z0-9][\w.-]*==[\w.!+-]+")
PYTHON = re.compile(r"# Python (\d+\.\d+)\.\S+")
SHOWN = 6  # lines of what an installer has said


class CannotBuildError(Exception):
    """An installer that did not end well, with what it said."""


def recorded(original: Original, project: Path, folder: Path, trusted: Sequence[str]) -> Path:
    """A virtual environment of what the project needed then, in the recorded versions; returns its python.

    Raises InvalidData where it cannot be built, with what is missing here.
    """
    pins = pinned(original.requirements)
    version = PYTHON.match(original.requirements)
    if not pins or version is None:
        says = f"{original.shown} has recorded no versions."
        raise InvalidData(Fault(says, "python -m boston_exp.reproduce environment=current …"))
    with (project / "pyproject.toml").open("rb") as content:
        needed = list(tomllib.load(content)["project"]["dependencies"])
    needed += [distribution(name) for name in trusted if name not in TRUSTED]
    folder.mkdir()
    (folder / "constraints.txt").write_text("\n".join(f"{name}=={at}" for name, at in pins.items()) + "\n")
    (folder / "needed.txt").write_text("\n".join(needed) + "\n")
    python = folder / "venv" / "bin" / "python"
    try:
        _make(folder / "venv", version[1])
        _install(python, "--constraint", str(folder / "constraints.txt"), "--requirement", str(folder / "needed.txt"))
    except CannotBuildError as error:
        other = sorted(set(pins.items()) - set(pinned(environment()).items()))
        missing = ", ".join(f"{name}=={at}" for name, at in other) or "none"
        says = (
            f"The environment of {original.shown} cannot be built here. Of its versions are not installed: {missing}."
        )
        raise InvalidData(
            Fault(f"{says} {error}", "python -m boston_exp.doctor   (is there a way to a package index?)")
        ) from error
    return python


def overlay(requirements: Iterable[str], folder: Path) -> Path:
    """Packages of these versions, without what they need, in a folder for the front of the path. Raises
    CannotBuildError."""
    _install(Path(sys.executable), "--target", str(folder), "--no-deps", *requirements)
    return folder


def pinned(text: str) -> dict[str, str]:
    """Version by name, of what an environment/requirements.txt has; a line that says more is left out."""
    lines = (line.strip() for line in text.splitlines())
    pairs = (line.split("==") for line in lines if PINNED.fullmatch(line))
    return {name: version for name, version in pairs if name.lower().replace("_", "-") != OWN}


def _uv() -> str | None:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.is_file() else shutil.which("uv")


def _make(folder: Path, version: str) -> None:
    if uv := _uv():
        _run(uv, "venv", "--quiet", "--no-project", "--no-config", "--python", version, str(folder))
    elif version == ".".join(platform.python_version_tuple()[:2]):
        _run(sys.executable, "-m", "venv", str(folder))
    else:
        raise CannotBuildError(f"It was Python {version}, this is {platform.python_version()}, and there is no uv.")


def _install(python: Path, *arguments: str) -> None:
    if uv := _uv():
        _run(uv, "pip", "install", "--quiet", "--python", str(python), *WHEELS, *arguments)
    else:
        _run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *WHEELS, *arguments)


def _run(*command: str) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        name = Path(command[0]).name
        raise CannotBuildError(f"What {name} says: {redact(' '.join(lines[-SHOWN:]))}")
