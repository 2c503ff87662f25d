"""This machine: Python, libraries, git, the data file, free disk, being inside of a container."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from boston_exp.config.settings import PROJECT_ROOT
from boston_exp.diagnosis import ports
from boston_exp.diagnosis.finding import Finding, Patient, from_fault, ok, warning, wrong
from boston_exp.errors import InvalidData
from boston_exp.storage.s3 import is_here

OLDEST = (3, 11)
ROOM = 1e9  # bytes of free disk, below which a warning is due


def python(patient: Patient) -> Iterator[Finding]:
    version = platform.python_version()
    if sys.version_info < OLDEST:
        yield wrong("python", f"Python {version} is older than 3.11.", "make clean; make PYTHON=python3.12 run")
    else:
        yield ok("python", version)


def libraries(patient: Patient) -> Iterator[Finding]:
    """Installed versions against requirements.lock."""
    lock = PROJECT_ROOT / "requirements.lock"
    if not lock.is_file():
        yield ok("libraries", "no requirements.lock to compare with")
        return
    locked = list(_locked(lock.read_text()))
    differ = []
    for requirement in locked:
        try:
            installed = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            differ.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            differ.append(f"{requirement.name} {installed} (lock: {str(requirement.specifier).removeprefix('==')})")
    if differ:
        shown = ", ".join(differ[:4]) + (f" and {len(differ) - 4} more" if len(differ) > 4 else "")
        mend = f"{sys.executable} -m pip install --require-hashes -r requirements.lock"
        yield warning("libraries", f"not as in requirements.lock: {shown}", mend)
    else:
        yield ok("libraries", f"{len(locked)} as in requirements.lock")


def _locked(text: str) -> Iterator[Requirement]:
    for line in text.splitlines():
        if line and line[0].isalnum():
            try:
                requirement = Requirement(line.rstrip("\\ "))
            except InvalidRequirement:
                continue
            if requirement.marker is None or requirement.marker.evaluate():
                yield requirement


def git(patient: Patient) -> Iterator[Finding]:
    from boston_exp.training import provenance

    if shutil.which("git") is None:
        yield warning("git", "git is not installed: runs are recorded without a commit.", "install git")
        return
    code = provenance.code()
    if code.commit is None:
        mend = f"git -C {PROJECT_ROOT} init && git -C {PROJECT_ROOT} add . && git -C {PROJECT_ROOT} commit -m start"
        yield warning("git", "the project is in no repository: runs are recorded without a commit.", mend)
    else:
        kept = "too many to keep: commit them" if code.too_large else "runs keep them as git/diff.patch"
        changed = f", with changes: {kept}" if code.dirty else ""
        yield ok("git", f"commit {code.commit[:12]}{changed}")


def data_file(patient: Patient) -> Iterator[Finding]:
    """The file against what its .dvc records."""
    from boston_exp.storage import dvc_file

    data = patient.config.data
    if data.path is None:
        yield ok("data", f"{data.name} comes with scikit-learn")
        return
    path = Path(data.path)
    pointer = path.with_name(f"{path.name}.dvc")
    if not path.exists():
        if pointer.exists():
            remote = patient.config.storage.dvc_remote
            yield ok("data", f"{path.name} is not here yet: the next run fetches it from the DVC remote {remote}")
        else:
            yield wrong("data", f"data.path={path} does not exist.", f"ls {path.parent}")
        return
    try:
        recorded, found = dvc_file.recorded_md5(path), dvc_file.md5_of(path)
    except InvalidData as refusal:
        yield from_fault("data", refusal.faults[0])
        return
    except OSError as error:
        yield wrong("data", f"{path} cannot be read: {error.strerror}.", f"ls -l {path}")
        return
    if recorded is None:
        yield ok("data", f"{path.name}, not under DVC")
    elif recorded == found:
        yield ok("data", f"{path.name} is the file that {pointer.name} records")
    else:
        yield wrong(
            "data",
            f"{path} is not the file that {pointer.name} records.",
            f"dvc checkout --force {path}   (gets the recorded one back; to use this one: data.allow_changed=true)",
        )


def disk(patient: Patient) -> Iterator[Finding]:
    path = patient.destination.sqlite_path
    folder = next(
        folder for folder in ((path or PROJECT_ROOT).parent, *(path or PROJECT_ROOT).parents) if folder.is_dir()
    )
    free = shutil.disk_usage(folder).free
    if free < ROOM:
        yield warning("disk", f"{free / 1e9:.2f} GB are free in {folder}.", f"df -h {folder}   (free some space)")
    else:
        yield ok("disk", f"{free / 1e9:.0f} GB free in {folder}")


def container(patient: Patient) -> Iterator[Finding]:
    """In a container, localhost is the container itself."""
    if not in_container():
        return
    addresses = {
        "tracking.uri": patient.destination.server,
        "storage.endpoint_url": patient.config.storage.endpoint_url if patient.config.storage.data_bucket else None,
    }
    for key, address in addresses.items():
        if address and is_here(address) and not ports.listens(address):
            service = "mlflow:5000" if key == "tracking.uri" else "minio:9000"
            yield warning(
                "container",
                f"this is a container, where {address} means the container itself, not its host.",
                f"{key}=http://{service}   (the name of the service; of the host: host.docker.internal)",
            )


def in_container() -> bool:
    return any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv")) or "container" in os.environ
