"""What belongs to runs outside of their store: Hydra's output folders."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from boston_exp.config.invocation import again
from boston_exp.config.settings import PROJECT_ROOT
from boston_exp.errors import Fault, StoreUnusable
from boston_exp.training.job import RUN_ID

PLACES = ("outputs/*/*", "multirun/*/*", "multirun/*/*/*")  # conf/hydra/output/project.yaml


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
