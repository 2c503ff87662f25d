"""The schema of an sqlite store: which one it has, which the installed MLflow wants, and bringing the one to the other.

An upgrade is made in a copy, and the copy is written back in one transaction of sqlite's: killed at any moment, the
store is as it was or as it has to be, and a program that has it open sees either.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path

from boston_exp.config.invocation import again
from boston_exp.errors import Fault, StoreUnusable
from boston_exp.process import remembered
from boston_exp.tracking import liveness
from boston_exp.tracking.tagged import tagged_runs

DEADLINE = 1800.0  # seconds for MLflow's migrations: a store of 10,000 runs takes some 10
PATIENCE = 10.0  # seconds for a lock that another process has
KEPT = ("experiments", "runs", "metrics", "params", "tags", "logged_models", "registered_models", "model_versions")


@remembered()
def migrations() -> dict[str, str]:
    """Every schema that the installed MLflow knows, and the one before it: read from its migration files, in two
    milliseconds; to import MLflow takes two seconds."""
    spec = find_spec("mlflow")
    assert spec is not None
    assert spec.origin is not None
    found = {}
    for file in (Path(spec.origin).parent / "store" / "db_migrations" / "versions").glob("*.py"):
        text = file.read_text(encoding="utf-8")
        named = [re.search(rf"^{key}\b.*?= *['\"]?(\w+)", text, re.MULTILINE) for key in ("revision", "down_revision")]
        if named[0] and named[1]:
            found[named[0][1]] = named[1][1]
    return found


def newest() -> str:
    """The schema that the installed MLflow wants."""
    (head,) = migrations().keys() - set(migrations().values())
    return head


def version_of(connection: sqlite3.Connection) -> str:
    """The schema that a store says it has."""
    (version,) = connection.execute("SELECT version_num FROM alembic_version").fetchone() or ("none",)
    return str(version)


def upgrade(path: Path, deadline: float = DEADLINE) -> str:
    """Bring a store to the newest schema; says from which, and where the store as it was is kept.

    Raises StoreUnusable, and the store is as it was, while a process records runs in it, and where MLflow's migrations
    fail, lose rows or take too long.
    """
    from filelock import FileLock, Timeout

    try:
        with FileLock(path.with_name(f".{path.name}.lock"), timeout=PATIENCE), closing(_opened(path)) as store:
            version = version_of(store)
            if version == newest():  # another process was faster
                return f"has schema {version}"
            _refuse_while_written(path)
            seen = _commits(store)
            with _backed_up(store, path, version) as backup, _draft(path, "upgrade") as draft:
                shutil.copy(backup, draft)
                _migrate(path, draft, deadline)
                _check(path, store, draft)
                if _commits(store) != seen:
                    raise _failed(path, "it was written to meanwhile", again())
                with closing(_opened(draft)) as upgraded:
                    copy_database(upgraded, store)
    except Timeout as error:
        raise _failed(path, "another process creates or upgrades it at this moment", again()) from error
    except (OSError, sqlite3.Error) as error:
        raise _failed(path, str(error), f"df -h {path.parent}; ls -l {path}") from error
    return f"from schema {version} to {newest()}; as it was before: {backup}"


def _refuse_while_written(path: Path) -> None:
    """A run that says RUNNING and that other programs opened tells nothing of its process: it is not waited for."""
    for run in tagged_runs(path, liveness.PROCESS, liveness.HEARTBEAT):
        if run.status == "RUNNING" and not liveness.is_dead(run.tags):
            pid = run.tags.get(liveness.PROCESS, "? ?").split(" ")[1]
            raise _failed(path, f"process {pid} records run {run.run_id} in it", f"{again()}   (once that has ended)")


def _commits(store: sqlite3.Connection) -> int:
    """A number that is another one once somebody else has written: https://www.sqlite.org/pragma.html#pragma_data_version"""
    return int(store.execute("PRAGMA data_version").fetchone()[0])


@contextmanager
def _backed_up(store: sqlite3.Connection, path: Path, version: str) -> Iterator[Path]:
    """A copy beside the store, under a name that nothing has and that is no store's: `clean` looks at those. It goes
    where the store stays as it was."""
    with _draft(path, "backup") as draft:
        with closing(sqlite3.connect(draft)) as copy:
            copy_database(store, copy)
        shutil.copymode(path, draft)
        backup = next(_free(path, version))
        draft.replace(backup)
    try:
        yield backup
    except BaseException:
        backup.unlink()
        raise


def _free(path: Path, version: str) -> Iterator[Path]:
    for number in ("", *(f".{number}" for number in range(2, 1000))):
        name = path.with_name(f"{path.name}.{version}{number}.backup")
        try:
            name.touch(exist_ok=False)  # it is this process's now
        except FileExistsError:
            continue
        yield name


@contextmanager
def _draft(path: Path, purpose: str) -> Iterator[Path]:
    """A file beside the store, which goes; those of attempts that were killed, too. Not under their name: MLflow may be
    at work on one still."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{purpose}")

    def remove() -> None:
        for file in path.parent.glob(f".{path.name}.*.{purpose}*"):  # with -wal, -shm, -journal
            file.unlink(missing_ok=True)

    remove()
    try:
        yield draft
    finally:
        remove()


def _migrate(path: Path, draft: Path, deadline: float) -> None:
    """MLflow's own command: https://mlflow.org/docs/latest/cli.html#mlflow-db-upgrade"""
    command = [sys.executable, "-P", "-m", "mlflow", "db", "upgrade", f"sqlite:///{draft}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=deadline, check=False)
    except subprocess.TimeoutExpired as error:
        raise _failed(path, f"`mlflow db upgrade` takes longer than {deadline:.0f} s", again()) from error
    if done.returncode:
        said = re.findall(r"^[\w.]+(?:Error|Exception)\b.*", done.stderr, re.MULTILINE) or [f"code {done.returncode}"]
        raise _failed(path, f"`mlflow db upgrade` says: {said[-1]}", again("tracking.uri=sqlite:///other.db"))


def _check(path: Path, store: sqlite3.Connection, draft: Path) -> None:
    with closing(_opened(draft)) as upgraded:
        (intact,) = upgraded.execute("PRAGMA quick_check").fetchone()
        if intact != "ok" or version_of(upgraded) != newest():
            says = f"`mlflow db upgrade` left schema {version_of(upgraded)}, and sqlite says {intact}"
            raise _failed(path, says, again("tracking.uri=sqlite:///other.db"))
        lost = [table for table in KEPT if _rows(upgraded, table) < _rows(store, table)]
    if lost:
        raise _failed(path, f"rows of {', '.join(lost)} would be lost", again("tracking.uri=sqlite:///other.db"))


def _rows(connection: sqlite3.Connection, table: str) -> int:
    (there,) = connection.execute("SELECT COUNT(*) FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    return int(connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]) if there else 0  # noqa: S608


def copy_database(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """All pages in one transaction; Python's `backup` would wait for a lock for ever."""
    source.backup(target, progress=_until(time.monotonic() + PATIENCE))


def _until(end: float) -> Callable[[int, int, int], None]:
    def look(status: int, remaining: int, pages: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and time.monotonic() > end:
            raise sqlite3.OperationalError("another process holds its lock")

    return look


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=PATIENCE)


def _failed(path: Path, why: str, mend: str) -> StoreUnusable:
    return StoreUnusable(Fault(f"{path} was not upgraded and is as it was: {why}.", mend))
