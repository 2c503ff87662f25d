"""Folders and files on this machine: how large they are, who may read a new one, which a killed process has left."""

from __future__ import annotations

import fcntl
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from boston_exp.process import TEMPORARY, is_running

HOUR = 3600.0
NAME = re.compile(rf"{re.escape(TEMPORARY)}(\d+)-[a-z0-9_]{{8}}")  # as process.temporary_folder names them


def bytes_in(folder: Path) -> int:
    """Of all files below a folder; links are counted as such and not followed."""
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_symlink() or file.is_file())


def new_file_mode() -> int:
    """The permissions that a file gets which is simply opened; those of a temporary one are its owner's alone."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def left_behind(older_than: float | None = None) -> Iterator[Path]:
    """Temporary folders of this user whose process is gone.

    An hour old at least: a container that shares the folder has processes of its own, and the folders of earlier
    versions are not locked.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{TEMPORARY}*"):
        if was_left(folder) and is_older(folder, max(HOUR, older_than or 0)):
            yield folder


def left_lately() -> int:
    """How many there are that only are too young to be told from those of another container."""
    folders = Path(tempfile.gettempdir()).glob(f"{TEMPORARY}*")
    return sum(was_left(folder) and not is_older(folder, HOUR) for folder in folders)


def was_left(folder: Path) -> bool:
    """Whether it is a temporary folder of this user that nobody uses: neither is its process running, nor its lock
    held."""
    process = process_of(folder)
    if process is None or is_running(process):
        return False
    try:
        found = folder.lstat()
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not _is_locked(folder)
    except OSError:
        return False


def process_of(folder: Path) -> int | None:
    """The process that a temporary folder is named after; None for any other name."""
    found = NAME.fullmatch(folder.name)
    return int(found[1]) if found else None


def is_older(folder: Path, seconds: float | None) -> bool:
    """Whether nothing was put into a folder, or taken from it, for so long."""
    return time.time() - folder.lstat().st_mtime >= (seconds or 0)


def _is_locked(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
