"""What runs leave on this machine: the sqlite store with those of workers beside it, and Optuna's studies."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from boston_exp.config.invocation import again
from boston_exp.config.settings import PROJECT_ROOT
from boston_exp.diagnosis.finding import Finding, Patient, from_fault, ok, warning
from boston_exp.errors import Fault, Kind
from boston_exp.tracking import backends, liveness, schema, sqlite_store
from boston_exp.tracking.tagged import tagged_runs

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


def store(patient: Patient) -> Iterator[Finding]:
    """The store itself, and runs in it that nobody will end."""
    where = patient.destination
    faults = backends.faults(where)
    path = where.sqlite_path
    for fault in faults:
        yield _of_store(fault, path)
    if not faults and where.backend != "mlflow":
        yield ok("store", f"tracking={where.backend} needs none")
    for other in sqlite_store.of_workers(path) if path is not None else []:
        yield from (_of_store(fault, other) for fault in sqlite_store.faults(other) if fault.kind is Kind.OLD_SCHEMA)
    if faults or path is None:
        return
    if not sqlite_store.is_there(path):
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


def _of_store(fault: Fault, path: Path | None) -> Finding:
    fix = partial(schema.upgrade, path) if path is not None and fault.kind is Kind.OLD_SCHEMA else None
    return from_fault("store", fault, fix)


def _dead_runs(patient: Patient, path: Path) -> Iterator[Finding]:
    found = tagged_runs(path, liveness.PROCESS, liveness.HEARTBEAT)
    dead = [run.run_id for run in found if run.status == "RUNNING" and liveness.is_dead(run.tags)]
    if not dead:
        yield ok("runs", "none is left open")
        return

    def close() -> None:
        from boston_exp.tracking.mlflow.store import connect

        connect(patient.destination)

    says = f"{len(dead)} runs say RUNNING, and their processes are gone: {dead[0]}" + " …" * (len(dead) > 1)
    yield warning("runs", says, f"{again('fix=true')}   (the next run does it, too)", close)


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
