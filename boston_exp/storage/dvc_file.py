"""What a `.dvc` file records of the file or folder beside it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import yaml

from boston_exp.errors import Fault, InvalidData

TOP = {"outs", "meta", "desc", "md5"}  # keys of what `dvc add` writes
OUT = {
    "md5",
    "size",
    "nfiles",
    "hash",
    "path",
    "desc",
    "meta",
    "type",
    "labels",
    "remote",
    "cache",
    "persist",
    "push",
    "isexec",
}


def md5(content: bytes) -> str:
    """As DVC 3 computes it: of the bytes as they are."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def md5_of(path: Path) -> str:
    """The md5 of a file, which is not held in memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def recorded_md5(path: Path) -> str | None:
    """The md5 that `<path>.dvc` has for the file, or None where the file is not under DVC.

    Raises InvalidData if that file is not one that `dvc add` writes: DVC would also follow one that names other files,
    folders or repositories, and write there.
    """
    pointer = path.with_name(path.name + ".dvc")
    if not pointer.is_file():
        return None
    anew = f"dvc add {path}   (writes it anew)"
    try:
        content = yaml.safe_load(pointer.read_text())
        (out,) = content["outs"]
        md5, name, more = str(out["md5"]), str(out["path"]), {*content} - TOP | {*out} - OUT
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidData(Fault(f"{pointer} is not a .dvc file of one file.", anew)) from error
    if name != path.name or more or not re.fullmatch(r"[0-9a-f]{32}(\.dir)?", md5):
        wrong = f"it names {name}" if name != path.name else f"it has {', '.join(map(str, more)) or f'md5 {md5}'}"
        raise InvalidData(Fault(f"{pointer} is not what `dvc add {path.name}` writes: {wrong}.", anew))
    return md5
