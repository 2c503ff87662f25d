"""Locks that nobody will give up: held by a process that is stopped, or a file of git's that no git will remove.

A lock file that lies there is no fault: the operating system takes a lock from a process that ends.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from boston_exp.config.settings import PROJECT_ROOT
from boston_exp.diagnosis.finding import Finding, Patient, ok, warning
from boston_exp.storage import promotion_files
from boston_exp.storage.git import Git
from boston_exp.tracking import sqlite_store

HELD = Path("/proc/locks")  # Linux alone has it; elsewhere a stopped holder is named by the command that waits for it
LINE = re.compile(r"\d+: (?:FLOCK|POSIX) +\w+ +WRITE (?P<pid>\d+) (?P<device>\S+):(?P<inode>\d+) ")
OF_GIT = ("index.lock", "HEAD.lock", "packed-refs.lock", "config.lock")
MINUTE = 60.0  # seconds: a library that writes as git does holds its lock for a moment, and is no process called git


def locks(patient: Patient) -> Iterator[Finding]:
    """Of the stores, of promotion, of fetching data, of DVC and of git."""
    found = [*_stopped(_lock_files(patient)), *_of_git(Git(PROJECT_ROOT))]
    yield from found or [ok("locks", "none is held by a process that is stopped or gone")]


def _lock_files(patient: Patient) -> Iterator[Path]:
    store = patient.destination.sqlite_path
    for path in [store, *sqlite_store.of_workers(store)] if store is not None else []:
        yield from (path, path.with_name(f"{path.name}-shm"))  # sqlite's own are on bytes of these
        yield from path.parent.glob(f".{path.name}*.lock")
    yield PROJECT_ROOT / promotion_files.LOCK
    yield from (PROJECT_ROOT / "data" / "raw").glob(".*.lock")
    yield from (PROJECT_ROOT / ".dvc" / "tmp").glob("*lock*")


def _stopped(files: Iterable[Path]) -> Iterator[Finding]:
    for file, process in holders(files):
        with suppress(psutil.Error):
            if process.status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP):
                says = f"process {process.pid} ({process.name()}), which is stopped, holds {file}: others wait for it."
                yield warning("locks", says, f"kill -CONT {process.pid}   (or fg, where it was stopped with Ctrl-Z)")


def holders(files: Iterable[Path]) -> Iterator[tuple[Path, psutil.Process]]:
    """Who has locked which of the files, as the operating system knows it: nothing has to be locked for that."""
    by_inode = {file.stat().st_ino: file for file in files if file.is_file()}
    with suppress(OSError):
        for line in HELD.read_text().splitlines():
            lock = LINE.match(line)
            file = by_inode.get(int(lock["inode"])) if lock else None
            if lock and file:
                with suppress(psutil.Error, OSError):
                    process = psutil.Process(int(lock["pid"]))
                    if _has_open(process, file):  # other file systems have inodes of the same number
                        yield file, process


def _has_open(process: psutil.Process, file: Path) -> bool:
    with os.scandir(f"/proc/{process.pid}/fd") as descriptors:
        return any(os.path.realpath(each.path) == str(file.resolve()) for each in descriptors)


def _of_git(git: Git) -> Iterator[Finding]:
    """Files that keep every git command from writing for as long as they exist."""
    root = git.answer("rev-parse", "--show-toplevel")
    for lock in [git.path(name) for name in OF_GIT] if root else []:
        with suppress(FileNotFoundError):
            age = time.time() - lock.stat().st_mtime
            if age > MINUTE and not _git_at_work(Path(root)):
                says = f"{lock} exists since {age / 60:.0f} min, and no git is at work in {root}: it was killed there."
                yield warning("locks", says, f"rm {lock}   (git writes nothing here while it exists)")


def _git_at_work(root: Path) -> bool:
    """Whether there is a git process in a folder; of other users' processes nobody knows where they are."""
    for process in psutil.process_iter(["name"]):
        if process.info["name"] == "git":
            with suppress(psutil.NoSuchProcess):
                try:
                    if Path(process.cwd()).is_relative_to(root):
                        return True
                except psutil.AccessDenied:
                    return True
    return False
