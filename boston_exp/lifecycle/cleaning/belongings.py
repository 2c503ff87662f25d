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

from boston_exp.config.settings import PROJECT_ROOT
from boston_exp.process import TEMPORARY
from boston_exp.training.job import RUN_ID

PLACES = ("outputs/*/*", "multirun/*/*", "multirun/*/*/*")  # conf/hydra/output/project.yaml
DAY = 86400.0


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
    """Temporary folders of this user whose process is gone; of those that do not say whose they are, old ones."""
    for folder in Path(tempfile.gettempdir()).glob(f"{TEMPORARY}*"):
        try:
            found = folder.lstat()
        except OSError:
            continue
        age = time.time() - found.st_mtime
        process = re.match(rf"{re.escape(TEMPORARY)}(\d+)-", folder.name)
        gone = not _is_running(int(process[1])) if process else age > DAY
        mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
        if mine and gone and age >= (older_than or 0):
            yield folder


def remove_folder(folder: Path) -> None:
    """And the folder of its date, once that is empty."""
    shutil.rmtree(folder, ignore_errors=True)
    parent = folder.parent
    if parent.is_relative_to(PROJECT_ROOT) and parent.is_dir() and not any(parent.iterdir()):
        parent.rmdir()


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
