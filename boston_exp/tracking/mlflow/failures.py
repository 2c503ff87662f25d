"""What MLflow, SQLAlchemy and the disk can throw, as one clear message."""

from __future__ import annotations

import re
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from boston_exp.config.invocation import again, current
from boston_exp.errors import ExpectedFailure, Fault
from boston_exp.redaction import redact
from boston_exp.tracking.destination import Destination


def written_meanwhile(error: MlflowException) -> bool:
    """Whether another process has written the same row at this moment: it is there now."""
    return "UNIQUE constraint" in str(error) or "duplicate key" in str(error)


@contextmanager
def raised_as(kind: type[ExpectedFailure], destination: Destination) -> Iterator[None]:
    """Raise what goes wrong with the store in here as an expected failure of this kind."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError, ImportError) as error:
        text = redact(str(error))
        place, mend = destination.shown_uri, again("tracking.uri=sqlite:///other.db")
        if isinstance(error, OSError) and error.filename:
            place, mend = str(error.filename), again("tracking.artifact_root=<a folder to write to>")
        if "No space left" in text or "disk is full" in text:
            places = f"{destination.artifact_root or '.'} {tempfile.gettempdir()}"
            mend = f"df -h {places}   (free some space; then: {again()})"
        elif "out-of-date database schema" in text:
            mend = f"mlflow db upgrade {destination.shown_uri}   (after a backup of the file)"
        elif isinstance(error, ImportError):
            mend = f"{sys.executable} -m pip install {error.name}"
        elif destination.uri.startswith("http"):
            verb = "record" if current().command == "run" else "look"
            mend = f"start the server, or {verb} here: {again('tracking.uri=sqlite:///mlflow.db')}"
        lines = text.splitlines() or [""]
        reason = next((line for line in lines if "No space left" in line), lines[0]).strip()  # MLflow lists several
        refused = re.search(r"Max retries exceeded.*?\[Errno -?\d+\] ([^')\"]+)", text)
        if refused:
            reason = f"it does not answer, {refused[1][0].lower()}{refused[1][1:]}"
        raise kind(Fault(f"{place} cannot be used: {reason}", mend)) from error
