"""The local store is one sqlite file: checked before MLflow opens it, and created atomically."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

from boston_exp.config.invocation import again, current, for_services
from boston_exp.errors import Fault, Kind
from boston_exp.tracking import schema

NETWORK = (
    "nfs", "cifs", "smb", "9p", "afs", "ceph", "lustre", "beegfs", "gpfs", "glusterfs", "fuse.sshfs", "fuse.gluster",
    "fuse.ceph", "fuse.s3fs", "fuse.juicefs", "panfs", "orangefs",
)  # fmt: skip


def faults(path: Path) -> list[Fault]:
    """Why this file cannot be used as MLflow's store, found in milliseconds and without importing MLflow.

    MLflow itself would retry a corrupt file for minutes, fill another program's database with its tables, and
    create an empty store in a folder that was only misspelt.
    """
    elsewhere = again("tracking.uri=sqlite:///other.db")
    if not path.parent.is_dir():
        return [Fault(f"The folder of the tracking store {path} does not exist.", f"mkdir -p {path.parent}")]
    if path.is_dir():
        return [Fault(f"The tracking store {path} is a folder, not an sqlite file.", elsewhere)]
    if not is_there(path):
        if os.access(path if path.exists() else path.parent, os.W_OK) and _can_create_in(path.parent):
            return []
        return [Fault(f"The tracking store {path} cannot be created: no permission to write there.", elsewhere)]
    try:
        return _content_faults(path, elsewhere)
    except sqlite3.DatabaseError as error:
        # of any kind, such as SQLITE_BUSY_RECOVERY: https://www.sqlite.org/rescode.html#extended_result_code_list
        if (error.sqlite_errorcode & 0xFF) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return []  # locked by another process: MLflow retries until it gets the lock
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):  # the low byte is the kind
            free = shutil.disk_usage(path.parent).free
            says = f"The tracking store {path} cannot be used: {error}; its disk has {free // 1000:,} kB of room left."
            return [Fault(says, f"df -h {path.parent}   (free some space; then: {again()})")]
        if "readonly" in str(error) or "unable to open" in str(error):
            return [
                Fault(
                    f"The tracking store {path} cannot be written: {error}.",
                    f"ls -l {path}   (or {elsewhere})",
                )
            ]
        return [
            Fault(
                f"The tracking store {path} is not an intact sqlite database: {error}.",
                f"mv {path} {path}.broken   (then run again: a new store is created)",
            )
        ]


def is_there(path: Path) -> bool:
    """Whether there is a store: an empty file is none yet."""
    return path.exists() and path.stat().st_size > 0


def of_workers(path: Path) -> list[Path]:
    """Stores of workers on other machines, beside the main one: Destination.on_host names them."""
    return sorted(filter(is_there, path.parent.glob(f"{path.stem}-*{path.suffix}")))


def network_file_system(path: Path) -> str | None:
    """The kind of the network file system that a file lies on; None on a disk of this machine.

    sqlite's locks do not hold there, and its write-ahead log needs memory that all processes share:
    https://www.sqlite.org/useovernet.html
    """
    import psutil

    mounts = [mount for mount in psutil.disk_partitions(all=True) if path.is_relative_to(mount.mountpoint)]
    kind = max(mounts, key=lambda mount: len(mount.mountpoint)).fstype if mounts else ""
    return kind if kind.lower().startswith(NETWORK) else None


def create(path: Path, artifact_root: str) -> None:
    """Create an empty MLflow store at path unless it is there; safe for any number of processes at once.

    MLflow migrates in place, so that a second process sees, and then breaks, a half-made store. Here it is made
    under another name, under a file lock, and renamed when it is whole.
    """
    if is_there(path):
        return
    from filelock import FileLock
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with FileLock(path.with_name(f".{path.name}.lock")):
        if is_there(path):
            return
        unfinished = path.with_name(f".{path.name}.new")
        unfinished.unlink(missing_ok=True)
        SqlAlchemyStore(f"sqlite:///{unfinished}", artifact_root).engine.dispose()
        with sqlite3.connect(unfinished) as connection:  # readers and a writer at once, and cheaper commits
            connection.execute("PRAGMA journal_mode=WAL")
        connection.close()
        unfinished.replace(path)


def _can_create_in(folder: Path) -> bool:
    """Root may do everything, says os.access, even on a read-only file system."""
    probe = folder / f".write-test-{os.getpid()}"
    try:
        probe.touch()
        probe.unlink()
    except OSError:
        return False
    return True


def _content_faults(path: Path, elsewhere: str) -> list[Fault]:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=0)
    try:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")}
        if not {"alembic_version", "experiments"} <= tables:
            return [Fault(f"{path} is the database of another program, not an MLflow store.", elsewhere)]
        version = schema.version_of(connection)
        connection.execute("BEGIN IMMEDIATE")
        connection.rollback()
    finally:
        connection.close()
    if version not in schema.migrations():
        return [
            Fault(
                f"The tracking store {path} has schema {version}, which the installed MLflow does not know: "
                "a newer MLflow made it.",
                f"pip install --upgrade mlflow   (or {elsewhere})",
            )
        ]
    if version != schema.newest():
        says = f"The tracking store {path} has schema {version} of an older MLflow; the installed one wants another."
        fix = again("fix=true") if current().command == "doctor" else for_services("doctor", "fix=true")
        return [Fault(says, f"{fix}   (upgrades it, and keeps it as it was beside it)", Kind.OLD_SCHEMA)]
    return []
