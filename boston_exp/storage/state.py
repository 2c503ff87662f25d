"""The user's own folder for what outlives a process and belongs to no project.

https://specifications.freedesktop.org/basedir-spec/latest/
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

NAME = "boston_exp"


def place() -> Path:
    """Where that folder is, or would be."""
    given = os.environ.get("XDG_STATE_HOME", "")
    home = os.path.expanduser("~/.local/state")  # noqa: PTH111 (Path.expanduser raises where there is no home)
    return Path(given if given.startswith("/") else home) / NAME


def state_folder() -> Path | None:
    """That folder, made if there is none; None where it cannot be written to."""
    folder = place()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def own_temporary_folder() -> Path:
    """Of this user alone, for who has no home; a new one where somebody else has made that."""
    folder = Path(tempfile.gettempdir()) / f"{NAME}-state-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o077:
        return Path(tempfile.mkdtemp(prefix=f"{NAME}-state-"))
    return folder
