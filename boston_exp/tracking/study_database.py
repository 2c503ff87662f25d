"""The database of Optuna's studies: another program's is left alone, and what it can throw is one clear message."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import optuna
import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy.exc import DatabaseError, IntegrityError, SQLAlchemyError

from boston_exp.config.invocation import again
from boston_exp.errors import Fault, InvalidConfig, StoreUnusable
from boston_exp.tracking.sqlite_store import network_file_system

Made = TypeVar("Made")
OPTUNAS = {"studies", "version_info"}  # tables, of which a database that is being made has one first
TRIES = 5  # to make the tables of a new database
LOCKED = 20  # seconds to wait for another program that has the file locked: sqlite's own 5 are soon over


def storage(url: str | None) -> BaseStorage:
    """Optuna's storage; `url=None` is memory.

    An sqlite file on a disk of this machine does not wait for the disk at each of a trial's ten commits: what was
    committed is safe from a killed process, and whole, if not the latest, after a loss of power.
    https://www.sqlite.org/pragma.html#pragma_synchronous
    """
    if not url or not url.startswith("sqlite"):
        return _made(lambda: optuna.storages.get_storage(url))
    opened = _made(lambda: RDBStorage(url, engine_kwargs={"connect_args": {"timeout": LOCKED}}))
    if not network_file_system(Path(str(opened.engine.url.database)).absolute()):
        sqlalchemy.event.listen(opened.engine, "connect", _write_ahead)
        opened.engine.dispose()  # its connections were made before
    return optuna.storages.get_storage(opened)


def _made(make: Callable[[], Made]) -> Made:
    """Optuna's storage; where several processes make the tables of a new database at once, all but one of them find
    there what they were about to make, and look again."""
    for _ in range(TRIES):
        try:
            return make()
        except DatabaseError as error:
            if not isinstance(error, IntegrityError) and "already exists" not in str(error):
                raise
            time.sleep(0.2)
    return make()


def _write_ahead(connection: sqlite3.Connection, record: object) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def refuse_foreign(url: str) -> None:
    """Optuna would put its tables into any database that it is given, MLflow's included."""
    engine = sqlalchemy.create_engine(url)
    try:
        tables = sqlalchemy.inspect(engine).get_table_names()
    finally:
        engine.dispose()
    if tables and not OPTUNAS & set(tables):
        says = f"hydra.sweeper.storage={_shown(url)} is the database of another program, not Optuna's."
        raise InvalidConfig(Fault(says, again("hydra.sweeper.storage=sqlite:///optuna.db", multirun=True)))


def _shown(url: str) -> str:
    try:
        return sqlalchemy.make_url(url).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return "<not a database URL>"


@contextmanager
def raised_as_config(url: str | None) -> Iterator[None]:
    """What a database can throw when it is opened, as one clear message."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError, OSError, ImportError, RuntimeError, ValueError) as error:
        raise InvalidConfig(_unusable(url, error)) from error


@contextmanager
def raised_as_unusable(url: str | None) -> Iterator[None]:
    """What Optuna throws when a database that was opened can no longer be written, as one clear message."""
    try:
        yield
    except StorageInternalError as error:
        raise StoreUnusable(_unusable(url, error)) from error


def _unusable(url: str | None, error: Exception) -> Fault:
    cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    reason = str(getattr(cause, "orig", None) or cause).partition("\n")[0].rstrip(".")
    if "is locked" in reason:
        mend = again() + "   (once the program that locks it has let go: all that was done is kept)"
    else:
        mend = again("hydra.sweeper.storage=sqlite:///optuna.db", multirun=True)
    return Fault(f"The study database {_shown(str(url))} cannot be used: {reason}.", mend)
