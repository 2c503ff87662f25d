"""What runs leave on this machine: the sqlite store, Optuna's studies, runs that a server has not got yet."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from boston_exp.config.invocation import again, command_line
from boston_exp.config.settings import PROJECT_ROOT
from boston_exp.diagnosis.finding import Finding, Patient, from_fault, ok, warning
from boston_exp.tracking import backends, liveness, sqlite_store
from boston_exp.tracking import destination as destinations

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


def store(patient: Patient) -> Iterator[Finding]:
    """The store itself, and runs in it that nobody will end."""
    where = patient.destination
    faults = backends.faults(where)
    for fault in faults:
        yield from_fault("store", fault)
    path = where.sqlite_path
    if not faults and where.backend != "mlflow":
        yield ok("store", f"tracking={where.backend} needs none")
    if faults or path is None:
        return
    if not path.exists() or path.stat().st_size == 0:
        root = str(where.artifact_root)
        yield (
            ok("store", f"{where.shown_uri} will be made by the first run")
            if not patient.config.fix
            else warning(
                "store",
                f"{where.shown_uri} is not there yet.",
                again("fix=true"),
                lambda: sqlite_store.create(path, root),
            )
        )
        return
    yield ok("store", f"{where.shown_uri}, schema known, writable")
    kind = sqlite_store.network_file_system(path)
    if kind:
        says = f"{path} lies on a network file system ({kind}), where sqlite's locks do not hold."
        yield warning("store", says, again("tracking.uri=sqlite:////<a local disk>/mlflow.db") + "   (or a server's)")
    yield from _dead_runs(patient, path)
    of_workers = sorted(path.parent.glob(f"{path.stem}-*{path.suffix}"))  # of workers on other machines
    yield from _pending([path, *of_workers])


def _tags(path: Path, *wanted: str) -> dict[tuple[str, str], dict[str, str]]:
    """Tags of a store's runs by (id, status), read without MLflow, which takes two seconds to import."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=2)) as connection:
        rows = connection.execute(
            "SELECT tags.run_uuid, runs.status, tags.key, tags.value FROM tags JOIN runs USING (run_uuid) "  # noqa: S608
            f"WHERE runs.lifecycle_stage = 'active' AND tags.key IN ({','.join('?' * len(wanted))})",
            wanted,
        )
        for run_id, status, key, value in rows:
            found.setdefault((run_id, status), {})[key] = value
    return found


def _dead_runs(patient: Patient, path: Path) -> Iterator[Finding]:
    found = _tags(path, liveness.PROCESS, liveness.HEARTBEAT)
    dead = [run_id for (run_id, status), tags in found.items() if status == "RUNNING" and liveness.is_dead(tags)]
    if not dead:
        yield ok("runs", "none is left open")
        return

    def close() -> None:
        from boston_exp.tracking.mlflow.store import connect

        connect(patient.destination)

    says = f"{len(dead)} runs say RUNNING, and their processes are gone: {dead[0]}" + " …" * (len(dead) > 1)
    yield warning("runs", says, f"{again('fix=true')}   (the next run does it, too)", close)


def _pending(paths: list[Path]) -> Iterator[Finding]:
    waiting: Counter[tuple[str, Path]] = Counter()
    for path in paths:
        for (_, status), tags in _tags(path, destinations.STATE, destinations.SERVER).items():
            if tags.get(destinations.STATE) == destinations.PENDING and status != "RUNNING":
                waiting[tags.get(destinations.SERVER, ""), path] += 1
    for (server, path), count in waiting.items():
        more = [] if path == paths[0] else [f"tracking.local_uri=sqlite:///{path}"]
        mend = command_line("run", "tracking=server", f"tracking.uri={server}", *more)
        mend += "   (any run there publishes them)"
        yield warning("pending", f"{count} run{'s are' if count > 1 else ' is'} not on {server} yet", mend)
    if not waiting:
        yield ok("pending", "no run waits for a server")


def studies(patient: Patient) -> Iterator[Finding]:
    """Trials of Optuna that say RUNNING after their process is gone; of other machines' nobody here can tell."""
    path = PROJECT_ROOT / "optuna.db"
    if not path.exists():
        yield ok("studies", "no study yet")
        return
    from boston_exp.tracking.studies import stored_studies

    try:
        found = stored_studies(f"sqlite:///{path}")
        stale = [(study, trial) for study in found for trial in study.stale() if _is_of_here(trial)]
    except Exception as error:  # Optuna and SQLAlchemy raise all kinds for a file that is not theirs
        said = str(error).partition("\n")[0]
        yield warning("studies", f"{path} cannot be read: {said}", f"mv {path} {path}.broken")
        return
    if not stale:
        yield ok("studies", f"{len(found)} in {path.name}, no trial is left open")
        return

    def end() -> None:
        for study, trial in stale:
            study.give_back(trial.number, trial.params)

    says = f"{len(stale)} trials say RUNNING, and their processes are gone"
    yield warning("studies", says, f"{again('fix=true')}   (the same search does it, too)", end)


def _is_of_here(trial: FrozenTrial) -> bool:
    return liveness.is_of_here(str(trial.user_attrs.get(liveness.PROCESS, "")))
