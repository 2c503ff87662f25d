"""The database of Optuna's studies: another program's is left alone, and what it can throw is one clear message."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import sqlalchemy
from optuna.storages import BaseStorage
from sqlalchemy.exc import SQLAlchemyError

from boston_exp.config.invocation import again
from boston_exp.errors import Fault, InvalidConfig
from boston_exp.tracking.sqlite_store import network_file_system


def storage(url: str | None) -> BaseStorage:
    """Optuna's storage; `url=None` is memory.

    An sqlite file on a disk of this machine does not wait for the disk at each of a trial's ten commits: what was
    committed is safe from a killed process, and whole, if not the latest, after a loss of power.
    https://www.sqlite.org/pragma.html#pragma_synchronous
    """
    opened = optuna.storages.RDBStorage(url) if url and url.startswith("sqlite") else None
    if opened and not network_file_system(Path(str(opened.engine.url.database)).absolute()):
        sqlalchemy.event.listen(opened.engine, "connect", _write_ahead)
        opened.engine.dispose()  # its connections were made before
    return optuna.storages.get_storage(opened or url)


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
    if tables and "studies" not in tables:
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
    except (SQLAlchemyError, OSError, ImportError, RuntimeError, ValueError) as error:
        reason = str(getattr(error, "orig", None) or error).partition("\n")[0].rstrip(".")
        says = f"The study database {_shown(str(url))} cannot be used: {reason}."
        mend = again("hydra.sweeper.storage=sqlite:///optuna.db", multirun=True)
        raise InvalidConfig(Fault(says, mend)) from error
