"""What a `.dvc` file records of the file beside it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import yaml

from boston_exp.errors import Fault, InvalidData


def md5(content: bytes) -> str:
    """As DVC 3 computes it: of the bytes as they are."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def md5_of(path: Path) -> str:
    """The md5 of a file."""
    return md5(path.read_bytes())


def recorded_md5(path: Path) -> str | None:
    """The md5 that `<path>.dvc` has for the file, or None where the file is not under DVC.

    Raises InvalidData if that file is not one of DVC's.
    """
    pointer = path.with_name(path.name + ".dvc")
    if not pointer.is_file():
        return None
    try:
        outs = yaml.safe_load(pointer.read_text())["outs"]
        return next((out.get("md5") for out in outs if out.get("path") == path.name), None)
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise InvalidData(Fault(f"{pointer} is not a .dvc file.", f"dvc add {path}   (writes it anew)")) from error
