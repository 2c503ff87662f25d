"""Opens what brings runs to a destination, once it is known that the destination takes them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from mlflow import MlflowClient

from boston_exp.config.invocation import again, command_line
from boston_exp.errors import Fault, InvalidConfig, StoreUnusable
from boston_exp.tracking import sqlite_store
from boston_exp.tracking.destination import SQLITE, Destination
from boston_exp.tracking.mlflow.failures import raised_as
from boston_exp.tracking.mlflow.store import connect
from boston_exp.tracking.publishing import health, origins
from boston_exp.tracking.publishing.experiments import ServerExperiments
from boston_exp.tracking.publishing.listing import Foreign, Pending
from boston_exp.tracking.publishing.lock import PublishLock
from boston_exp.tracking.publishing.marks import Marks
from boston_exp.tracking.publishing.source import Source
from boston_exp.tracking.publishing.syncing import MlflowSynchronization

log = logging.getLogger(__name__)
Lost = Callable[[], str | None]


@contextmanager
def opened(destination: Destination, given: str | None, cwd: Path) -> Iterator[list[MlflowSynchronization]]:
    """One for each store that runs are brought from: beside a server's store lie those of workers on other machines.

    Raises ServerRefuses or StoreUnusable where the destination does not take runs, InvalidConfig for a source that is
    none.
    """
    if given is not None and _is_target(given, cwd, destination):
        says = f"source={given} is where runs are brought to."
        raise InvalidConfig(Fault(says, again("source=<another store>")))
    with raised_as(StoreUnusable, replace(destination, uri=destination.server or destination.uri)):
        if destination.server is None:
            yield from _into_store(destination, given, cwd)
        else:
            yield from _into_server(destination, given, cwd)


def _into_server(destination: Destination, given: str | None, cwd: Path) -> Iterator[list[MlflowSynchronization]]:
    outage = health.outage(destination)
    shown, uri = destination.shown_server, str(destination.server)
    if outage:
        mend = command_line("doctor", f"tracking.uri={shown}")
        raise StoreUnusable(Fault(f"{outage}: nothing can be brought there now.", mend))
    target = MlflowClient(uri)
    places = ServerExperiments(target, destination)
    lost = partial(health.lost, uri, shown)
    own = destination.sqlite_path
    assert own is not None
    if given is None or (given.startswith(SQLITE) and (cwd / given.removeprefix(SQLITE)).resolve() == own):
        paths = [path for path in (own, *sqlite_store.of_workers(own)) if sqlite_store.is_there(path)]
        faults = {path: found for path in paths if (found := sqlite_store.faults(path))}
        if own in faults:
            raise StoreUnusable(*faults[own])
        for path, found in faults.items():
            log.warning("%s is left out: %s", path, found[0].says)
        yield [_of_own(path, target, places, lost, destination) for path in paths if path not in faults]
        return
    with origins.opened(given, cwd, destination) as (name, source):
        lock = PublishLock(origins.place_of_lock(given, cwd, uri))
        yield [_of_other(name, source, target, places.id_of, lock, lost, destination)]


def _into_store(destination: Destination, given: str | None, cwd: Path) -> Iterator[list[MlflowSynchronization]]:
    if given is None:
        says = f"{destination.shown_uri} ({destination.why}) is no server, and no source was named to bring runs from."
        mend = again("tracking=server") + "   (or source=sqlite:///<file>, ./mlruns, http://…)"
        raise InvalidConfig(Fault(says, mend))

    def experiment(name: str) -> str:
        return str(connect(replace(destination, experiment_name=name))[1].experiment_id)

    with origins.opened(given, cwd, destination) as (name, source):
        if destination.sqlite_path and destination.artifact_root:
            sqlite_store.create(destination.sqlite_path, destination.artifact_root)
        lock = PublishLock(origins.place_of_lock(given, cwd, destination.uri))
        yield [_of_other(name, source, MlflowClient(destination.uri), experiment, lock, lambda: None, destination)]


def _of_own(
    path: Path, target: MlflowClient, places: ServerExperiments, lost: Lost, destination: Destination
) -> MlflowSynchronization:
    own, server = replace(destination, uri=f"{SQLITE}{path}"), destination.shown_server
    local = MlflowClient(own.uri)
    marks, listed = Marks(local, server, places.ids), Pending(local, target, places, server)
    lock, source = PublishLock(path), Source(local)
    return MlflowSynchronization(own.shown_uri, source, target, places.id_of, marks, listed, lock, lost, destination.s3)


def _of_other(
    name: str,
    source: Source,
    target: MlflowClient,
    experiment: Callable[[str], str],
    lock: PublishLock,
    lost: Lost,
    destination: Destination,
) -> MlflowSynchronization:
    listed = Foreign(source.client, target)
    return MlflowSynchronization(name, source, target, experiment, listed.ledger, listed, lock, lost, destination.s3)


def _is_target(given: str, cwd: Path, destination: Destination) -> bool:
    if given.startswith("http"):
        return destination.server is not None and given.rstrip("/") == destination.server
    if destination.server is None and given.startswith(SQLITE):
        return (cwd / given.removeprefix(SQLITE)).resolve() == destination.sqlite_path
    return given == destination.uri
