"""Where a run comes from: commit and uncommitted changes, installed packages, the machine."""

from __future__ import annotations

import getpass
import hashlib
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from boston_exp.config.settings import PROJECT_ROOT
from boston_exp.process import remembered, temporary_folder
from boston_exp.redaction import redact_source

CODE = ("boston_exp", "conf")  # where a new file that nobody has added to git can change a result
PROJECT = (".", ":(exclude)data")
LIMIT = 1_000_000  # bytes of a patch that a run keeps
WHOLE, SCRUBBED = "whole", "without secrets that were in it: it does not apply as it is"
NO_BINARY = "without binary files: what is in them cannot be seen"
TOO_LARGE = "left out, over 1 MB: git/changed_files.csv lists the files; the run cannot be reproduced from it"
PLAIN = ("--no-color", "--no-ext-diff", "--src-prefix=a/", "--dst-prefix=b/")  # whatever the user's own settings are


@dataclass(frozen=True)
class Code:
    """The state of the project in its git repository; commit is None where there is none.

    `patch` turns the commit into what ran: empty when the tree is clean, and when `too_large` names the changed files
    instead. `says` is what the tag git.patch tells of it.
    """

    commit: str | None
    dirty: bool
    patch: bytes
    says: str = WHOLE
    too_large: str = ""  # as CSV: path, sha256, bytes


@remembered()
def code() -> Code:
    """Commit and uncommitted changes, new files of conf/ and boston_exp/ included, read once per process.

    Of the project's folder alone, which may be one of many in a repository, and without data/: what a run has read is
    recorded by its md5.
    """
    commit = _git("rev-parse", "HEAD").decode().strip()
    if not commit:
        return Code(None, False, b"")
    new = _git("ls-files", "--others", "--exclude-standard", "--", *CODE)
    if not new and not _git("status", "--porcelain", "--untracked-files=no", "--", *PROJECT):
        return Code(commit, False, b"")
    index = Path(_git("rev-parse", "--path-format=absolute", "--git-path", "index").decode().strip())
    with temporary_folder() as folder:  # a copy of the index, so that the user's own stays as it is
        copy = Path(folder) / "index"
        if index.exists():
            shutil.copy(index, copy)
        environment = {"GIT_INDEX_FILE": str(copy)}
        _git("add", "--intent-to-add", "--", *CODE, environment=environment)
        patch = _git("diff", *PLAIN, "HEAD", "--", *PROJECT, environment=environment, limit=LIMIT)
        if len(patch) > LIMIT:
            changed = _git("diff", "--name-only", "--relative", "-z", "HEAD", "--", *PROJECT, environment=environment)
            return Code(commit, True, b"", TOO_LARGE, _digests(filter(None, changed.decode().split("\0"))))
    text = patch.decode("utf-8", "surrogateescape")
    clean = redact_source(text)
    binary = re.search(r"^Binary files .* differ$", text, re.MULTILINE)
    says = SCRUBBED if clean != text else NO_BINARY if binary else WHOLE
    return Code(commit, True, clean.encode("utf-8", "surrogateescape"), says)


def _digests(names: Iterable[str]) -> str:
    lines = ["path,sha256,bytes"]
    for name in names:
        file = PROJECT_ROOT / name
        content = file.read_bytes() if file.is_file() and not file.is_symlink() else None
        told = ("deleted", 0) if content is None else (hashlib.sha256(content).hexdigest(), len(content))
        lines.append(f'"{name}",{told[0]},{told[1]}')
    return "\n".join(lines) + "\n"


def _git(*arguments: str, environment: dict[str, str] | None = None, limit: int = -1) -> bytes:
    """What git prints, or nothing where git or the repository is missing; a little more than `limit` bytes at most."""
    command, told = ["git", *arguments], os.environ | (environment or {})
    try:
        with subprocess.Popen(
            command, cwd=PROJECT_ROOT, env=told, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as git:
            assert git.stdout is not None
            said = git.stdout.read(limit + 1 if limit >= 0 else -1)
            if len(said) > limit >= 0:
                git.kill()
                return said
    except OSError:
        return b""
    return b"" if git.returncode else said


def origin() -> dict[str, str]:
    """MLflow's own tags of who ran what, from which commit."""
    commit = code().commit
    told = {"mlflow.user": _user(), "mlflow.source.name": "boston_exp.run", "mlflow.source.type": "LOCAL"}
    return told | ({"mlflow.source.git.commit": commit} if commit else {})


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid that no passwd file knows, as in `docker run --user 12345`
        return f"uid {os.getuid()}"


@remembered()
def environment() -> str:
    """Every installed distribution as `name==version`, sorted, one a line; of several versions what is imported."""
    found: dict[str, str] = {}
    for name, version in map(_name_and_version, metadata.distributions()):
        found.setdefault(name, version)  # in the order of the path
    lines = sorted((f"{name}=={version}" for name, version in found.items()), key=str.lower)
    return f"# Python {platform.python_version()}\n" + "\n".join(lines) + "\n"


def _name_and_version(distribution: metadata.Distribution) -> tuple[str, str]:
    """From the first lines: parsing the whole of two hundred METADATA files takes 0.15 s."""
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    fields = dict(line.partition(": ")[::2] for line in text[:2000].splitlines())
    return fields.get("Name", "unknown"), fields.get("Version", "unknown")


@remembered()
def machine() -> dict[str, Any]:
    """What makes two runs of one fingerprint comparable bit by bit: Python, OS, CPU, the instructions that NumPy's own
    loops use, and the BLAS and OpenMP that NumPy and scikit-learn use, with their kernels and threads."""
    import numpy as np
    from threadpoolctl import threadpool_info

    pools = [
        {
            "library": pool["user_api"],
            "implementation": pool["internal_api"],
            "version": pool["version"],
            "kernel": pool.get("architecture"),
            "threads": pool["num_threads"],
        }
        for pool in threadpool_info()
    ]
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "os": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "numpy_simd": " ".join(np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])) or "none",
        "libc": " ".join(platform.libc_ver()),
        "pools": sorted(
            pools, key=lambda pool: tuple(str(pool[key]) for key in ("library", "implementation", "version"))
        ),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())
