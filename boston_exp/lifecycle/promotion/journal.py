"""What a promotion is about to do, written down before it does it: after a kill the next command undoes or finishes it.

Until it is `decided` (the commit is made, or, without one, the decision is written here) all can be undone; from then
on all that is left can be done again and again until it is done.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from boston_exp.config.invocation import again
from boston_exp.errors import Fault, InvalidConfig
from boston_exp.storage.promotion_files import FOLDER, JOURNAL, LOCK, MODELS

DVC_YAML = "dvc.yaml"


@dataclass
class Journal:
    """One promotion of a model: paths are relative to the project, `store` is the registry's."""

    root: str
    identity: str
    store: str
    name: str
    alias: str
    run_id: str
    git: str
    event: dict[str, Any]
    message: str  # of the commit
    about: str  # the registered model's description
    had: dict[str, bool] = field(default_factory=dict)  # which of the places were there before
    placed: dict[str, str] = field(default_factory=dict)  # digest of what each of them gets
    number: str | None = None  # of the version
    created: bool = False  # the version is new
    version_tag: str | None = None
    stage_tag: str | None = None
    commit: str | None = None
    previous: str | None = None  # number of the version that has the alias now
    decided: bool = False

    @property
    def pointer(self) -> str:
        return str(MODELS / f"{self.name}.dvc")

    @property
    def folder(self) -> str:
        return str(MODELS / self.name)

    @property
    def paths(self) -> list[str]:
        """What git gets."""
        return [self.pointer, DVC_YAML]

    @property
    def trailer(self) -> str:
        """The line of the commit's message by which it is known."""
        return f"Promotion: {self.identity}"

    def new(self, path: str) -> Path:
        """Where the new content of a place is made ready."""
        return Path(self.root) / FOLDER / "new" / Path(path).name

    def old(self, path: str) -> Path:
        """Where its old content is kept until the end."""
        return Path(self.root) / FOLDER / "old" / Path(path).name

    def place(self, path: str) -> Path:
        return Path(self.root) / path

    def save(self) -> None:
        """Whole or not at all, and on the disk."""
        file = Path(self.root) / JOURNAL
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(".new")
        with draft.open("w") as stream:
            json.dump(asdict(self), stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(file)

    def put(self, path: str) -> None:
        """Have the new content take its place, the old one kept aside."""
        place, new, old = self.place(path), self.new(path), self.old(path)
        if not new.exists():
            return
        old.parent.mkdir(parents=True, exist_ok=True)
        if place.is_file():  # which is never gone, not even for a moment
            draft = old.with_name(f"{old.name}.part")
            shutil.copy2(place, draft)
            draft.replace(old)
        elif place.exists():
            place.rename(old)
        new.replace(place)

    def take_back(self, path: str) -> None:
        """The reverse, whatever of it was done. What somebody has changed since stays as it is."""
        place, old = self.place(path), self.old(path)
        moved = old.exists() or (place.exists() and not self.had.get(path, True))
        if moved and place.exists() and digest(place) not in (self.placed.get(path), digest(old)):
            print(f"{path} was changed meanwhile: it stays as it is.", file=sys.stderr)
        elif old.exists():
            _remove(place)
            old.replace(place)
        elif not self.had.get(path, True):
            _remove(place)

    def close(self) -> None:
        """Forget it: it is done or undone."""
        (Path(self.root) / JOURNAL).unlink(missing_ok=True)
        shutil.rmtree(Path(self.root) / FOLDER, ignore_errors=True)


def digest(place: Path) -> str:
    """Of a file, or of all files in a folder; empty where there is none."""
    found = hashlib.sha256()
    files = sorted(place.rglob("*")) if place.is_dir() else [place]
    for file in files:
        if file.is_file():
            found.update(f"{file.relative_to(place.parent)}\0".encode() + file.read_bytes())
    return found.hexdigest() if place.exists() else ""


def left(root: Path) -> Journal | None:
    """Of a promotion that was interrupted. What an interrupted one had only made ready is removed."""
    file = root / JOURNAL
    try:
        return Journal(**{**json.loads(file.read_text()), "root": str(root)})
    except FileNotFoundError:
        shutil.rmtree(root / FOLDER, ignore_errors=True)
        return None
    except (OSError, ValueError, TypeError) as error:
        says = f"{file} cannot be read: {error}. It is of a promotion that was interrupted."
        raise InvalidConfig(
            Fault(says, f"git status   (and, once nothing of it is left: rm -r {file.parent})")
        ) from error


@contextmanager
def alone(root: Path) -> Iterator[int]:
    """One promotion of a project at a time; gives a file descriptor that holds the lock wherever it is open.

    Raises InvalidConfig while there is another, and where data/models cannot be written to.
    """
    file = root / LOCK
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        says = f"{file.parent} cannot be written to: {error.strerror}."
        raise InvalidConfig(Fault(says, f"ls -ld {file.parent}")) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        says = "Another promotion is at work in this project, or the git hook that it has started."
        raise InvalidConfig(Fault(says, f"{again()}   (once it has ended)")) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
