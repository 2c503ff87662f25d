"""Commands in processes of their own, forked where the imports are done: they are most of what a command costs.

Each is the leader of a process group, so that it can be killed with all that it has started.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.conftest import ROOT

LIMIT = 90.0  # seconds that any command may take, whatever befalls it
PRELOAD = (
    "boston_exp.sweep.preload",
    "boston_exp.run",
    "boston_exp.promote",
    "boston_exp.reproduce",
    "boston_exp.lifecycle.reproduction.reproducing",
    "boston_exp.sync",
    "boston_exp.lifecycle.syncing.bringing",
    "boston_exp.lifecycle.promotion.promoting",
    "boston_exp.tracking.publishing.tracker",
    "boston_exp.tracking.mlflow.models",
)
multiprocessing.set_forkserver_preload(list(PRELOAD))
CONTEXT = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class Command:
    """`python -m boston_exp.<program> <overrides>` in `folder`, with temporary files in `temporary`; `project` is what
    a promotion takes for the project, where that is not this one."""

    program: str
    overrides: tuple[str, ...]
    folder: Path
    temporary: Path
    project: Path | None = None

    @property
    def log(self) -> Path:
        """Neither in its folder nor among its temporary files: these may be full."""
        return self.temporary.with_name(f"{self.temporary.name}.{self.program}.log")

    @property
    def said(self) -> str:
        """What the latest start of it has printed."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


class Started:
    """A command that runs."""

    def __init__(self, process: BaseProcess | subprocess.Popen[bytes]) -> None:
        assert process.pid is not None
        self.pid = process.pid
        self._process = process

    def code(self, patience: float) -> int | None:
        """Its exit code, or None while it runs."""
        if isinstance(self._process, subprocess.Popen):
            with suppress(subprocess.TimeoutExpired):
                return self._process.wait(patience)
            return None
        self._process.join(patience)
        return self._process.exitcode

    def kill(self) -> bool:
        """SIGKILL for the whole group, waited for; False if the command had ended before."""
        if self.code(0) is not None:
            return False
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:  # it was forked this moment, and leads no group yet
            os.kill(self.pid, signal.SIGKILL)
        killed = self.code(10) == -signal.SIGKILL
        self.settle()
        return killed

    def settle(self, patience: float = 10) -> None:
        """Wait until nothing that it has started is left, its fork server for instance."""
        until = time.monotonic() + patience
        with suppress(ProcessLookupError):
            while time.monotonic() < until:
                os.killpg(self.pid, 0)
                time.sleep(0.005)


def start(command: Command, whole: bool = False) -> Started:
    """Start a command; as a `whole` interpreter, with its imports, where that is asked for."""
    if not whole:
        process = CONTEXT.Process(target=_command, args=(command,))
        process.start()
        return Started(process)
    where = {"PYTHONPATH": str(ROOT), "TMPDIR": str(command.temporary)}
    arguments = (
        ["-m", f"boston_exp.{command.program}"]
        if command.project is None
        else ["-c", f"from tests.faults import forked; forked.main('{command.program}', '{command.project}')"]
    )
    with command.log.open("wb") as said:
        return Started(
            subprocess.Popen(
                [sys.executable, *arguments, *command.overrides],
                cwd=command.folder,
                env={**os.environ, **where},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        )


def done(command: Command, whole: bool = False) -> int:
    """Its exit code; -1 if it did not end within LIMIT, after which it is killed."""
    started = start(command, whole)
    code = started.code(LIMIT)
    if code is None:
        started.kill()
        return -1
    started.settle()
    return code


def main(program: str, project: str | None) -> None:
    """The command, in this process."""
    module = import_module(f"boston_exp.{program}")
    if project is not None:
        module.PROJECT_ROOT = Path(project)  # type: ignore[attr-defined]
    module.main()


def _command(command: Command) -> None:
    os.setsid()
    said = os.open(command.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(command.folder)
    os.environ["TMPDIR"] = str(command.temporary)
    os.environ["PYTHONPATH"] = str(ROOT)
    tempfile.tempdir = None
    sys.argv = [f"boston_exp.{command.program}", *command.overrides]
    main(command.program, None if command.project is None else str(command.project))


def last_words(said: str, count: int = 3) -> str:
    """The end of what a command has printed, on one line."""
    lines: Sequence[str] = [line.strip() for line in said.splitlines() if line.strip()]
    return " / ".join(lines[-count:])[-400:]
