"""How the main process and its jobs talk: two small files per point in the sweep's folder.

Every launcher has that folder in common, whatever its workers are (this process, a pool, Ray, Slurm), and a file tells
how a point ended even if the worker that wrote it is gone a moment later.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Container, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from boston_exp.redaction import redact

FOLDER = ".points"
NEWS = "news"


@dataclass(frozen=True)
class Task:
    """What a job is told."""

    key: str  # of the point, the same in every part of a sweep
    parent_run_id: str | None
    threads: int | None  # at most so many inside of the job; None leaves the libraries alone
    main_host: str
    trial: tuple[str, int, str] | None = None  # Optuna's study, trial number and metric, where it can be pruned
    asks_server: bool = False  # for finished runs
    experiment: str = ""  # of the sweep's run, in which its points are recorded, too
    swept: tuple[str, ...] = ()  # keys of the settings that the sweep varies
    ends_at: float | None = None  # seconds since 1970, after which it begins no stage; None where workers are ended
    followed: bool = False  # by a point with more trees, for the same worker
    overrides: tuple[str, ...] = ()  # of the point
    trial_number: int | None = None  # in Optuna's study, also where it cannot be pruned


@dataclass(frozen=True)
class State:
    """What a job says of itself."""

    status: str  # running, or one of plan.ENDED
    pid: int
    host: str
    run_id: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    message: str = ""
    trace: str = ""  # of what ended a point that failed


def sweep_dir_of(hydra: Any) -> Path:
    """The sweep's folder, by Hydra's own part of a configuration; wherever a job may have changed to."""
    return Path(hydra.runtime.cwd) / str(hydra.sweep.dir)


def write_task(sweep_dir: Path, number: int, task: Task) -> None:
    """Tell a job what it is; a state that another sweep has left under its number is removed."""
    _state_file(sweep_dir, number).unlink(missing_ok=True)
    _write(task_file(sweep_dir, number), asdict(task))


def read_task(file: Path) -> Task:
    return Task(**json.loads(file.read_text()))


def tasks(sweep_dir: Path, first: int) -> dict[int, Task]:
    """What jobs were told from that number on, and that was not withdrawn."""
    numbered = {int(file.stem): file for file in (sweep_dir / FOLDER).glob("*.task") if file.stem.isdigit()}
    return {number: read_task(file) for number, file in sorted(numbered.items()) if number >= first}


def withdraw_task(sweep_dir: Path, number: int) -> None:
    """A launcher that still has this point in its queue must not begin it."""
    task_file(sweep_dir, number).unlink(missing_ok=True)


def task_file(sweep_dir: Path, number: int) -> Path:
    return sweep_dir / FOLDER / f"{number}.task"


def _state_file(sweep_dir: Path, number: int) -> Path:
    return sweep_dir / FOLDER / f"{number}.state"


def write_state(sweep_dir: Path, number: int, state: State) -> None:
    """Say how a point is doing; an empty file in `news` tells the main process which state to read."""
    _write(
        _state_file(sweep_dir, number), asdict(replace(state, message=redact(state.message), trace=redact(state.trace)))
    )
    news = sweep_dir / FOLDER / NEWS / str(number)
    news.parent.mkdir(exist_ok=True)
    news.touch()


def read_state(sweep_dir: Path, number: int) -> State | None:
    """The latest that the job said, or None if it has not begun."""
    try:
        return State(**json.loads(_state_file(sweep_dir, number).read_text()))
    except FileNotFoundError:
        return None


def new_states(sweep_dir: Path, numbers: Container[int]) -> Iterator[tuple[int, State]]:
    """States written since the last look; costs what is new, however many points there are."""
    folder = sweep_dir / FOLDER / NEWS
    for entry in list(os.scandir(folder)) if folder.is_dir() else []:
        number = int(entry.name) if entry.name.isdigit() else -1  # a network file system leaves files of its own
        if number in numbers:
            Path(entry.path).unlink(missing_ok=True)  # first: what is said from now on is news again
            state = read_state(sweep_dir, number)
            if state:
                yield number, state


def first_free_number(sweep_dir: Path) -> int:
    """Job folders are numbered; those of an earlier part are never written to again."""
    jobs = [entry.name for entry in sweep_dir.iterdir()] if sweep_dir.is_dir() else []
    tasks = [file.stem for file in (sweep_dir / FOLDER).glob("*.task")]
    return max((int(name) for name in [*jobs, *tasks] if name.isdigit()), default=-1) + 1


def host() -> str:
    """This machine's name."""
    return socket.gethostname()


def _write(file: Path, content: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(f"{file.suffix}.{os.getpid()}")
    unfinished.write_text(json.dumps(content))
    unfinished.replace(file)  # atomically: a reader never sees half of it
