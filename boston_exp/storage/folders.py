"""Folders and files on this machine: how large they are, and who may read a new one."""

from __future__ import annotations

import os
from pathlib import Path


def bytes_in(folder: Path) -> int:
    """Of all files below a folder; links are counted as such and not followed."""
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_symlink() or file.is_file())


def new_file_mode() -> int:
    """The permissions that a file gets which is simply opened; those of a temporary one are its owner's alone."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
