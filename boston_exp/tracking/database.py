"""A database server as the store: the first one that opens it makes MLflow's tables, and it has to be alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

LOCK = 0x626F73746F6E  # "boston": an advisory lock is a number, and each database has its own
PATIENCE = 120_000  # milliseconds for another one to make the tables, which takes seconds


@contextmanager
def alone(uri: str) -> Iterator[None]:
    """Hold a lock of the database while MLflow opens it: two that make the tables at once fail on each other's.
    Raises SQLAlchemyError where another one holds it for too long.

    PostgreSQL gives the lock back when the connection ends, however it ends; other databases have none.
    https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
    """
    if not uri.startswith("postgresql"):
        yield
        return
    from sqlalchemy import create_engine, text
    from sqlalchemy.pool import NullPool

    with create_engine(uri, poolclass=NullPool).connect() as connection:
        connection.execute(text(f"SET lock_timeout = {PATIENCE}"))
        connection.execute(text("SELECT pg_advisory_lock(:number)"), {"number": LOCK})
        yield
