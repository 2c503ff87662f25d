"""Small and read-only file systems: in a mount namespace of their own, which ends with its processes.

Root ignores a folder's mode, so that "read-only" has to be the file system's. Whoever is not root becomes it in a user
namespace, where the machine allows that.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PAGE = 4096  # bytes, that tmpfs gives room by


def namespace() -> list[str]:
    """What to put before a command that mounts."""
    return ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]


def obstacle() -> str | None:
    """Why nothing can be mounted here, or None."""
    try:
        tried = subprocess.run(
            [*namespace(), "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/mnt"],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        return f"no mount namespace: {error}"
    return None if tried.returncode == 0 else f"no mount namespace: {tried.stderr.strip()}"


@contextmanager
def small(folder: Path, megabytes: int) -> Iterator[Path]:
    """A disk of this size at `folder`, which is made."""
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nobody can write into the folder, which is there."""
    _mount("--bind", str(folder), str(folder))
    try:
        _mount("-o", "remount,ro,bind", str(folder))
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


def free(folder: Path) -> int:
    """Bytes of room."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


@contextmanager
def filled(folder: Path, room: int) -> Iterator[None]:
    """The disk of the folder with only so many bytes of room."""
    filler = folder / ".filler"
    size = free(folder) - room
    if size > 0:
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size // PAGE * PAGE)
    try:
        yield
    finally:
        filler.unlink(missing_ok=True)


def _mount(*arguments: str) -> None:
    command: Sequence[str] = ["mount", *arguments]
    subprocess.run(command, check=True, capture_output=True)
