"""Where a run comes from: commit and uncommitted changes, installed packages, the machine."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from boston_exp.config.settings import PROJECT_ROOT
from boston_exp.process import remembered

CODE = ("boston_exp", "conf")  # where a new file that nobody has added to git can change a result
PLAIN = ("--no-color", "--no-ext-diff", "--src-prefix=a/", "--dst-prefix=b/")  # whatever the user's own settings are


@dataclass(frozen=True)
class Code:
    """The state of the project's git repository; commit is None where there is none."""

    commit: str | None
    dirty: bool
    patch: bytes  # turns the commit into what ran; empty when the tree is clean


@remembered()
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


@remembered()
def environment() -> str:
    """Every installed distribution as `name==version`, sorted, one a line."""
    found = {f"{name}=={version}" for name, version in map(_name_and_version, metadata.distributions())}
    return f"# Python {platform.python_version()}\n" + "\n".join(sorted(found, key=str.lower)) + "\n"


def _name_and_version(distribution: metadata.Distribution) -> tuple[str, str]:
    """From the first lines: parsing the whole of two hundred METADATA files takes 0.15 s."""
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    fields = dict(line.partition(": ")[::2] for line in text[:2000].splitlines())
    return fields.get("Name", "unknown"), fields.get("Version", "unknown")


@remembered()
def machine() -> dict[str, Any]:
    """What makes two runs of one fingerprint comparable bit by bit: Python, OS, CPU, and the BLAS and OpenMP that
    NumPy and scikit-learn use, with their kernels and threads."""
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
        "libc": " ".join(platform.libc_ver()),
        "pools": sorted(pools, key=lambda pool: (pool["library"], pool["implementation"])),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())
