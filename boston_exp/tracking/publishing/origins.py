"""Where runs are brought from: a database, a server, a folder of files of MLflow's earlier versions."""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from boston_exp.config.invocation import again
from boston_exp.errors import Fault, InvalidConfig, Kind, StoreUnusable
from boston_exp.process import temporary_folder
from boston_exp.redaction import redact
from boston_exp.storage import credentials
from boston_exp.storage.state import own_temporary_folder, state_folder
from boston_exp.tracking import schema, sqlite_store
from boston_exp.tracking.destination import SQLITE, Destination, without_user
from boston_exp.tracking.publishing import health
from boston_exp.tracking.publishing.source import Source

MIGRATION = 600.0  # seconds for MLflow to read a folder of files


@contextmanager
def opened(given: str, cwd: Path, destination: Destination) -> Iterator[tuple[str, Source]]:
    """A source of runs for a destination, shown as it was given; nothing is written to it.

    Raises InvalidConfig for what is none, StoreUnusable for one that cannot be read.
    """
    if given.startswith(("http://", "https://")):
        _log_in(given, destination)
        yield without_user(given), _answering(given.rstrip("/"))
    elif given.startswith(SQLITE):
        path = (cwd / given.removeprefix(SQLITE)).resolve()
        if not path.is_file():
            raise InvalidConfig(Fault(f"source={given} does not exist.", f"ls {path.parent}"))
        with temporary_folder() as name:
            copy = _copied(path, given, Path(name) / path.name)
            yield given, Source(MlflowClient(f"{SQLITE}{copy}"), beside=path.parent)
    elif re.match(r"(postgresql|mysql|mssql)\b.*://", given):
        yield redact(given), _answering(given)
    else:
        folder = (cwd / Path(given).expanduser()).resolve()
        if not folder.is_dir() or not given.strip():
            says = f"source={given or repr(given)} is neither a store's address nor a folder that exists."
            file = given if folder.is_file() else "<file>"
            raise InvalidConfig(Fault(says, again(f"source=sqlite:///{file}") + "   (or http://…, or a folder mlruns)"))
        with temporary_folder() as name:
            _migrate(folder, given, Path(name) / "migrated.db")
            yield given, Source(MlflowClient(f"{SQLITE}{name}/migrated.db"), beside=_with_runs(folder))


def place_of_lock(given: str, cwd: Path, target: str) -> Path:
    """Of all that bring runs from a source, which nothing is written beside, to the same target: in the user's own
    folder, since in one that everybody shares others could have put a link there."""
    name = given.removeprefix(SQLITE)
    source = given.rstrip("/") if "://" in name else str((cwd / Path(name).expanduser()).resolve())
    digest = hashlib.sha256(f"{source}\0{target}".encode()).hexdigest()[:16]
    folder = state_folder() or own_temporary_folder()
    return folder / f"sync-{digest}"


def _copied(path: Path, given: str, copy: Path) -> Path:
    """What the database has at this moment, as a database of the installed MLflow: opening it would write to it, also
    where there is nothing to upgrade, and it may be read-only."""
    written = path.with_name(f"{path.name}-wal").exists()  # without, sqlite reads it where it cannot write at all
    how = "mode=ro" if written else "immutable=1"
    try:
        with (
            closing(sqlite3.connect(f"{path.as_uri()}?{how}", uri=True, timeout=5)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            schema.copy_database(source, target)
    except sqlite3.Error as error:
        raise StoreUnusable(Fault(f"source={given} cannot be read: {error}.", f"ls -l {path}")) from error
    faults = sqlite_store.faults(copy)
    if faults and faults[0].kind is Kind.OLD_SCHEMA:
        schema.upgrade(copy)
    elif faults:
        raise StoreUnusable(
            *(Fault(fault.says.replace(str(copy), str(path)), again("source=<another>")) for fault in faults)
        )
    return copy


def _answering(uri: str) -> Source:
    """Raises StoreUnusable if it does not answer."""
    mend = again("source=<another>")
    if uri.startswith("http"):
        lost = health.lost(uri, without_user(uri))
        if lost:
            raise StoreUnusable(Fault(f"source: {lost}.", mend))
    client = MlflowClient(uri)
    try:
        client.search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError) as error:
        said = redact(str(error)).partition("\n")[0][:300]
        raise StoreUnusable(Fault(f"source={redact(without_user(uri))} cannot be read: {said}", mend)) from error
    return Source(client)


def _with_runs(folder: Path) -> Path:
    return folder / "mlruns" if (folder / "mlruns").is_dir() else folder


def _migrate(folder: Path, given: str, target: Path) -> None:
    """By MLflow's own `migrate-filestore`, into a database that goes again."""
    command = [sys.executable, "-m", "mlflow", "migrate-filestore", "--source", str(folder)]
    command += ["--target", f"{SQLITE}{target}", "--no-progress"]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"{SQLITE}{target}"}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=MIGRATION, check=False)
    except subprocess.TimeoutExpired as error:
        says = f"source={given} could not be read within {MIGRATION:.0f} s."
        raise StoreUnusable(Fault(says, f"mlflow migrate-filestore --source {folder} --target …")) from error
    if done.returncode:
        said = redact((done.stderr or done.stdout).strip().rpartition("\n")[2])[:300]
        says = f"source={given} is not a folder of MLflow's runs: {said}"
        raise StoreUnusable(Fault(says, again("source=sqlite:///<file>") + "   (or http://…, or a folder mlruns)"))


def _log_in(source: str, destination: Destination) -> None:
    """MLflow sends the login in the environment to every server that it talks to, so two servers cannot have two."""
    target, login = destination.server, credentials.login_for(source, from_conf=False)
    if target is None:
        login.into_environment()
    elif credentials.origin(source) != credentials.origin(target) and (login.variables or destination.login.variables):
        says = f"MLflow would send one login to both {without_user(source)} and {without_user(target)}."
        first, then = again("tracking.uri=sqlite:///between.db"), again("source=sqlite:///between.db")
        raise InvalidConfig(Fault(says, f"{first}   (with the login of the first; with that of the second: {then})"))
