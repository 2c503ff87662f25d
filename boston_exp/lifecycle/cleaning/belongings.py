"""What belongs to runs outside of their store: Hydra's output folders, Optuna's studies, temporary folders."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from boston_exp.config.invocation import again
from boston_exp.config.settings import PROJECT_ROOT
from boston_exp.errors import Fault, StoreUnusable
from boston_exp.process import TEMPORARY
from boston_exp.tracking.liveness import is_running
from boston_exp.training.job import RUN_ID

PLACES = ("outputs/*/*", "multirun/*/*", "multirun/*/*/*")  # conf/hydra/output/project.yaml
HOUR = 3600.0
NAME = re.compile(rf"{re.escape(TEMPORARY)}(\d+)-[a-z0-9_]{{8}}")  # as process.temporary_folder names them


@dataclass(frozen=True)
class Output:
    """An output folder, and the run and store that it says it is of."""

    folder: Path
    run_id: str
    store: str


def outputs(root: Path = PROJECT_ROOT) -> list[Output]:
    """Every output folder that says whose it is."""
    found = []
    for place in PLACES:
        for note in root.glob(f"{place}/{RUN_ID}"):
            lines = note.read_text(encoding="utf-8", errors="replace").splitlines()
            if len(lines) == 2 and not note.is_symlink() and not note.parent.is_symlink():
                found.append(Output(note.parent, *lines))
    return found


def temporary(older_than: float | None = None) -> Iterator[Path]:
    """Temporary folders of this user whose process is gone.

    An hour old at least: a container that shares the folder has processes of its own, and none keeps one for so long.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{TEMPORARY}*"):
        process = NAME.fullmatch(folder.name)
        try:
            found = folder.lstat()
        except OSError:
            continue
        mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
        old = is_older(folder, max(HOUR, older_than or 0))
        if process and mine and old and not is_running(int(process[1])):
            yield folder


def is_older(folder: Path, seconds: float | None) -> bool:
    """Whether nothing was put into a folder, or taken from it, for so long."""
    return time.time() - folder.lstat().st_mtime >= (seconds or 0)


def remove_folder(folder: Path) -> None:
    """And the folder of its date, once that is empty. Raises StoreUnusable where it cannot be removed whole."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        says = f"{error.filename or folder} cannot be removed: {error.strerror}. What is left stays as it is."
        raise StoreUnusable(Fault(says, again())) from error
    parent = folder.parent
    if parent.is_relative_to(PROJECT_ROOT) and parent.is_dir() and not any(parent.iterdir()):
        parent.rmdir()
