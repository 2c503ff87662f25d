"""tracking.backend=mlflow: a local sqlite store, a database, or a local store whose runs are published to a server."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from boston_exp import process
from boston_exp.config.invocation import again
from boston_exp.errors import Fault, StoreUnusable
from boston_exp.storage import credentials, s3
from boston_exp.storage.s3 import Access, is_here
from boston_exp.tracking import sqlite_store
from boston_exp.tracking.destination import Destination, without_user
from boston_exp.tracking.protocol import Tracker
from boston_exp.tracking.recorded import Adopted, History, Registry, Removal
from boston_exp.tracking.synchronization import Synchronization

STORES_MODELS = "boston_exp.tracking.mlflow.models"  # imports mlflow.sklearn and skops: 0.4 s


def open_tracker(destination: Destination) -> Tracker:
    if destination.s3 is not None and str(destination.artifact_root).startswith("s3://"):
        _reach_artifacts(destination.s3, str(destination.artifact_root))
    if not destination.server:
        from boston_exp.tracking.mlflow.tracker import MlflowTracker

        return MlflowTracker(destination)
    from boston_exp.tracking.publishing.tracker import LocalFirstTracker, WorkerTracker

    return WorkerTracker(destination) if destination.worker else LocalFirstTracker(destination)


def open_history(destination: Destination, experiments: Sequence[str] = ()) -> History:
    """Of the server where there is one: what others have published is there, too."""
    from boston_exp.tracking.mlflow.history import MlflowHistory

    if destination.server:
        destination.login.into_environment()
    return MlflowHistory(destination, on_server=destination.server is not None, experiments=experiments)


def open_removal(destination: Destination) -> Removal:
    """Of the server where there is one, else of the local store."""
    from boston_exp.tracking.mlflow.history import MlflowHistory
    from boston_exp.tracking.mlflow.removal import MlflowRemoval

    on_server = destination.server is not None
    if on_server:
        destination.login.into_environment()
    history = MlflowHistory(destination, on_server)
    return MlflowRemoval(destination, history, on_server)


def open_registry(destination: Destination) -> Registry:
    """Of the server where there is one, else of the local store."""
    path = destination.sqlite_path
    if not destination.server and path is not None and not path.exists():  # MLflow would create it
        says = f"{destination.shown_uri} is not there: nothing was recorded in it, and nothing is registered."
        raise StoreUnusable(Fault(says, again("tracking.uri=<the store that was recorded in>")))
    from boston_exp.tracking.mlflow.registry import MlflowRegistry

    if destination.server:
        destination.login.into_environment()
    return MlflowRegistry(destination, destination.server or destination.uri)


def open_sync(
    destination: Destination, given: str | None, cwd: Path
) -> AbstractContextManager[Sequence[Synchronization]]:
    """Into its server where there is one, else into its store; from the store beside that server unless another source
    is given."""
    from boston_exp.tracking.publishing import opening

    return opening.opened(destination, given, cwd)


def adopt(destination: Destination, source: Destination, run_id: str, as_what: Adopted) -> str:
    """On the server where there is one, else in the local store."""
    from boston_exp.tracking.publishing import adoption

    if destination.server:
        destination.login.into_environment()
    return adoption.adopt(source, run_id, destination, as_what)


def faults(destination: Destination) -> list[Fault]:
    return [*_login_faults(destination), *_store_faults(destination)]


def _login_faults(destination: Destination) -> Iterator[Fault]:
    server = destination.server
    if server and re.search(r"[\\\s\x00-\x1f]", server):  # read in one way here, in another by who sends the request
        yield Fault(f"{destination.shown_server!r} is not an address.", again("tracking.uri=http://<host>:<port>"))
        return
    if not server or not server.startswith("http:") or is_here(server) or destination.allow_http:
        return
    if destination.login.sends_password:
        says = f"A user and password would go over plain http to {without_user(server)}, for everybody to read."
        secure = again(f"tracking.uri={without_user(server).replace('http:', 'https:', 1)}")
        yield Fault(says, f"{secure}   (or, on a network that you trust: {again('tracking.allow_http=true')})")


def _store_faults(destination: Destination) -> list[Fault]:
    path = destination.sqlite_path
    if path is not None:
        return sqlite_store.faults(path)
    if destination.server:
        says = (
            f"tracking.local_uri={destination.shown_uri!r} is not an sqlite file, which the store beside a server is."
        )
        return [Fault(says, again("tracking.local_uri=sqlite:///mlflow.db"))]
    if re.match(r"(postgresql|mysql|mssql)\b.*://", destination.uri):
        return []
    says = f"tracking.uri={destination.shown_uri!r} ({destination.why}) is not a store this version of MLflow has"
    if re.match(r"(https?:/*)?[\w.-]+:\d+/?$", destination.uri):
        host = destination.uri.rpartition("/")[2] or destination.uri
        return [Fault(f"{says}: http:// is missing.", again(f"tracking.uri=http://{host}"))]
    if destination.uri.startswith("file:") or "://" not in destination.uri:
        says += ": a folder of files has no model registry, and MLflow refuses it"
    mend = f"{again('tracking.uri=sqlite:///mlflow.db')}   (or http://host:port of an MLflow server"
    return [Fault(f"{says}.", f"{mend}; what is in an old folder: mlflow migrate-filestore)")]


def _reach_artifacts(access: Access, root: str) -> None:
    """Hand MLflow its keys to S3, which it takes from the environment; raise StoreUnusable if the bucket is out of
    reach."""
    if (access.endpoint_url, root) in _reached:
        return
    fault = s3.fault(access, root.removeprefix("s3://").partition("/")[0])
    if fault:
        raise StoreUnusable(fault)
    credentials.into_environment(access.variables())
    _reached.add((access.endpoint_url, root))


_reached: set[tuple[str | None, str]] = set()
process.on_reset(_reached.clear)
