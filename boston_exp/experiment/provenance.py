"""Where a result comes from: commit, uncommitted changes, environment, and one digest of all that decides it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from boston_exp.config import Config
from boston_exp.settings import PROJECT_ROOT

# What can change the outcome of a fit besides the code of the estimator itself.
NUMERIC_LIBRARIES = ("numpy", "pandas", "scikit-learn", "scipy")


# The modules of this folder whose code decides a result. What draws, prints or describes one is not among them.
DECIDING = ("data", "evaluation", "models")

CODE = ("boston_exp", "conf")  # where a new file that nobody has added to git can change a result
PLAIN = ("--no-color", "--no-ext-diff", "--src-prefix=a/", "--dst-prefix=b/")  # whatever the user's own settings are


@dataclass(frozen=True)
class Code:
    """The state of the project's git repository; commit is None where there is none."""

    commit: str | None
    dirty: bool
    patch: bytes  # turns the commit into what ran; empty when the tree is clean


@cache
def code() -> Code:
    """Commit and uncommitted changes, new files of conf/ and boston_exp/ included, read once per process."""
    commit = _git("rev-parse", "HEAD").decode().strip()
    if not commit:
        return Code(None, False, b"")
    new = _git("ls-files", "--others", "--exclude-standard", "--", *CODE)
    if not new and not _git("status", "--porcelain", "--untracked-files=no"):
        return Code(commit, False, b"")
    index = Path(_git("rev-parse", "--path-format=absolute", "--git-path", "index").decode().strip())
    with tempfile.TemporaryDirectory() as folder:  # a copy of the index, so that the user's own stays as it is
        copy = Path(folder) / "index"
        if index.exists():
            shutil.copy(index, copy)
        environment = {"GIT_INDEX_FILE": str(copy)}
        _git("add", "--intent-to-add", "--", *CODE, environment=environment)
        patch = _git("diff", *PLAIN, "--binary", "HEAD", environment=environment)
    return Code(commit, True, patch)


def _git(*arguments: str, environment: dict[str, str] | None = None) -> bytes:
    """What git prints, or nothing where git or the repository is missing."""
    try:
        return subprocess.run(
            ["git", *arguments],
            cwd=PROJECT_ROOT,
            env=os.environ | (environment or {}),
            capture_output=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return b""


@cache
def environment() -> str:
    """Every installed distribution as `name==version`, sorted, one a line."""
    found = {f"{name}=={version}" for name, version in map(_name_and_version, metadata.distributions())}
    return f"# Python {platform.python_version()}\n" + "\n".join(sorted(found, key=str.lower)) + "\n"


def _name_and_version(distribution: metadata.Distribution) -> tuple[str, str]:
    """From the first lines: parsing the whole of two hundred METADATA files takes 0.15 s."""
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    fields = dict(line.partition(": ")[::2] for line in text[:2000].splitlines())
    return fields.get("Name", "unknown"), fields.get("Version", "unknown")


def fingerprint(config: Config, data_md5: str) -> str:
    """A digest of all that decides the result.

    In it: model, preprocess, evaluation, seed, how the table is read and split, the data's md5, versions of Python
    and the numeric libraries, code of the trusted packages, code of the DECIDING modules. Not in it: paths, names
    and labels, who records, where bytes live, figures, what is selected by.
    """
    data, evaluation = asdict(config.data), asdict(config.evaluation)
    for key in ("name", "path", "target_label", "target_unit", "allow_changed"):
        del data[key]
    data["drop"] = sorted(data["drop"])
    del evaluation["selection_metric"]
    decides = {
        "model": config.model,
        "preprocess": config.preprocess,
        "data": data,
        "evaluation": evaluation,
        "seed": config.seed,
        "md5": data_md5,
        "python": platform.python_version_tuple()[:2],
        "libraries": {name: _version(name) for name in NUMERIC_LIBRARIES},
        "trusted": {name: _package_state(name) for name in config.trusted_packages if name != "sklearn"},
        "code": code_digest(Path(__file__).parent),
    }
    text = json.dumps(decides, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@cache
def code_digest(folder: Path) -> str:
    """One digest over the source of the DECIDING modules in `folder`."""
    return hashlib.sha256("".join(_source_digest(folder / f"{name}.py") for name in DECIDING).encode()).hexdigest()


@cache
def _version(distribution: str) -> str:
    return metadata.version(distribution)


@cache
def _package_state(package: str) -> str:
    """The version of an installed package, or a digest of the source of one that is only on the path."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        module = import_module(package)
        return _source_digest(
            Path(str(module.__file__)).parent if hasattr(module, "__path__") else Path(str(module.__file__))
        )


@cache
def _source_digest(place: Path) -> str:
    digest = hashlib.sha256()
    for file in [place] if place.is_file() else sorted(place.rglob("*.py")):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def flat(node: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """A nested configuration as dotted names and text, lists as JSON: {'model.max_depth': '15'}."""
    params: dict[str, str] = {}
    for name, value in node.items():
        if isinstance(value, dict):
            params |= flat(value, f"{prefix}{name}.")
        else:
            params[f"{prefix}{name}"] = json.dumps(value) if isinstance(value, list) else str(value)
    return params
