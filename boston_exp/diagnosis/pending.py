"""Runs that a server has not got yet: how many wait for which, since when, in which store; one that is gone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import requests  # here and not in a check's thread: its import filters warnings, which is not thread-safe

from boston_exp.config.invocation import again, command_line
from boston_exp.config.settings import PROJECT_ROOT
from boston_exp.diagnosis.finding import Finding, Patient, ok, warning
from boston_exp.errors import Fault, InvalidConfig
from boston_exp.storage import s3
from boston_exp.tracking import sqlite_store
from boston_exp.tracking.destination import PENDING, SERVER, SQLITE, STATE, without_user
from boston_exp.tracking.tagged import TaggedRun, tagged_runs

HEALTHY, CERTIFICATE = "OK", "a certificate that is not trusted here"
ALIVE = (HEALTHY, CERTIFICATE, "HTTP status 401", "HTTP status 403")  # one behind a certificate or a password is there


@dataclass(frozen=True)
class Waiting:
    """Ended runs of one store that are pending for one server, the oldest first; `beside` is the main store."""

    server: str
    path: Path
    beside: Path
    runs: tuple[TaggedRun, ...]

    @property
    def sync(self) -> str:
        """The command that publishes them, and with those of the main store those of workers beside it."""
        usual = self.beside == PROJECT_ROOT / "mlflow.db"
        store = [] if usual else [f"tracking.local_uri={SQLITE}{self.beside}"]
        return command_line("sync", "tracking=server", f"tracking.uri={self.server}", *store)


def pending(patient: Patient) -> Iterator[Finding]:
    """What waits for each server, in the store and in those of workers on other machines beside it."""
    path = patient.destination.sqlite_path
    if path is None or not path.parent.is_dir():
        return
    broken: list[Path] = []
    found = _waiting(path, broken)
    for store in broken:
        mend = f"mv {store} {store}.broken   (if it is no store of yours)"
        yield warning("pending", f"{store} cannot be read: runs that wait in it are not known.", mend)
    gone = _address(patient.config.forget)
    for each in found:
        number, first = len(each.runs), each.runs[0]
        since = datetime.fromtimestamp(first.start_time / 1000).strftime("%Y-%m-%d %H:%M")
        says = f"{number} run{'s are' if number > 1 else ' is'} not on {each.server} yet, "
        says += f"{'the oldest' if number > 1 else first.run_id[:8]} since {since}, in {each.path.name}"
        forget = again("fix=true", f"forget={each.server}")
        fix = partial(_forget, each) if each.server == gone else None
        yield warning("pending", says, f"{each.sync}\n  {forget}   (if that server is gone)", fix)
    if not found and not broken:
        yield ok("pending", "no run waits for a server")


def check_forgotten(patient: Patient) -> None:
    """Raise InvalidConfig if `forget` names a server that no run waits for, or one that answers."""
    gone = _address(patient.config.forget)
    if not gone:
        return
    path = patient.destination.sqlite_path
    found = _waiting(path, []) if path is not None and path.parent.is_dir() else []
    its = [each for each in found if each.server == gone]
    if not its:
        others = sorted({each.server for each in found})
        there = f"; there are runs that wait for {', '.join(others)}" if others else ""
        mend = again(f"forget={others[0]}") if others else again(without=["forget"])
        raise InvalidConfig(Fault(f"No run waits for {gone}{there}.", mend))
    status = _status(gone)
    if status in ALIVE:
        raise InvalidConfig(Fault(f"{gone} answers: what waits for it can be published.", its[0].sync))
    if status:
        says = f"{gone} answers with {status}: something is there, maybe that server behind a proxy, or starting."
        look = f"curl -i {gone}/health   (once nothing answers there: {again()})"
        raise InvalidConfig(Fault(says, look))


def _waiting(path: Path, broken: list[Path]) -> list[Waiting]:
    """By server and store; `broken` learns which stores cannot be read."""
    found: dict[tuple[str, Path], list[TaggedRun]] = {}
    for store in [*([path] if sqlite_store.is_there(path) else []), *sqlite_store.of_workers(path)]:
        try:
            runs = tagged_runs(store, STATE, SERVER)
        except sqlite3.Error:
            broken += [store] if store != path else []  # of the store itself the line `store` tells
            continue
        for run in runs:
            if run.tags.get(STATE) == PENDING and run.status != "RUNNING":
                found.setdefault((run.tags.get(SERVER, ""), store), []).append(run)
    return [Waiting(server, store, path, tuple(runs)) for (server, store), runs in found.items()]


def _forget(waiting: Waiting) -> str:
    from boston_exp.tracking.publishing.forgetting import forget

    number = forget(waiting.path, waiting.server)
    runs = "1 run" if number == 1 else f"{number} runs"
    return f"{runs} of {waiting.path.name} wait{'s' * (number == 1)} no longer for {waiting.server}"


def _address(typed: str | None) -> str:
    return without_user(typed.rstrip("/")) if typed else ""


def _status(server: str) -> str:
    """What answers there, asked without a login: one of ALIVE for an MLflow server, another HTTP status, a timeout;
    empty where nothing does."""
    try:
        answer = requests.get(f"{server}/health", timeout=(s3.CONNECT, s3.READ), allow_redirects=False)
    except requests.exceptions.SSLError:
        return CERTIFICATE
    except requests.ReadTimeout:
        return "nothing in time, but takes the connection"
    except (requests.RequestException, ValueError):
        return ""
    if answer.ok and answer.text.strip() == "OK":
        return HEALTHY
    return f"HTTP status {answer.status_code}"
