"""Opens an MLflow store to write to: once per process, with its experiment, closing what dead processes left open."""

from __future__ import annotations

import hashlib
import logging
import re
from pathlib import Path
from urllib.parse import quote, unquote

from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException

from boston_exp.config.invocation import again, quoted
from boston_exp.errors import Fault, StoreUnusable
from boston_exp.process import remembered
from boston_exp.tracking import database, liveness, sqlite_store
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.mlflow.runs import all_runs, close_run

log = logging.getLogger(__name__)
# migrations and hints that a user of this runner can do nothing about; psycopg tells of a row that is written again
for noisy in ("mlflow", "alembic", "urllib3", "psycopg"):
    logging.getLogger(noisy).setLevel(logging.ERROR)
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # its errors reach us as exceptions


@remembered()
def connect(destination: Destination) -> tuple[MlflowClient, Experiment]:
    """A client and the experiment. Creates a local store and the experiment where there is none, and closes the
    runs of dead processes.

    Raises StoreUnusable if the experiment was deleted, or keeps its artifacts elsewhere than is asked for.
    """
    if destination.sqlite_path is not None and destination.artifact_root is not None:
        sqlite_store.create(destination.sqlite_path, destination.artifact_root)
        kind = None if destination.worker else sqlite_store.network_file_system(destination.sqlite_path)
        if kind:
            log.warning("%s lies on a network file system (%s): for one machine at a time", destination.shown_uri, kind)
    with database.alone(destination.uri):
        client = MlflowClient(destination.uri)
    experiment = _experiment(client, destination)
    if not destination.worker:  # it would race with the main process, which marks the runs of killed workers FAILED
        close_dead_runs(client)
    return client, experiment


def close_dead_runs(client: MlflowClient) -> None:
    """Close as KILLED, in every experiment, the runs whose process is gone."""
    everywhere = [experiment.experiment_id for experiment in client.search_experiments()]
    for run in all_runs(client, everywhere, "attributes.status = 'RUNNING'"):
        if liveness.is_dead(run.data.tags):
            last_seen = max(int(run.data.tags[liveness.HEARTBEAT]) * 1000, run.info.start_time)
            message = "the process ended without closing its run"
            close_run(client, run.info.run_id, "KILLED", message, end_time=last_seen)
            log.warning("run %s was left open by a process that is gone: closed as KILLED", run.info.run_id)


def _experiment(client: MlflowClient, destination: Destination) -> Experiment:
    name, root = destination.experiment_name, destination.artifact_root
    location = root and (root if "://" in root else Path(root).as_uri()) + f"/{_folder_of(name)}"
    experiment = experiment_named(client, name, destination.shown_uri, location)
    _check_place(experiment, destination)
    return experiment


def _folder_of(name: str) -> str:
    """A folder for an experiment of any name, beside the others': `../x` and `team/x` would be elsewhere."""
    if re.fullmatch(r"[^\W_][^/\\\0]*", name) and ".." not in name:
        return quote(name, safe="")
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9]+', '-', name).strip('-')[:40]}-{digest}"


def experiment_named(client: MlflowClient, name: str, shown_uri: str, location: str | None = None) -> Experiment:
    """The experiment of that name, created if there is none; raises StoreUnusable if it was deleted."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return client.get_experiment(client.create_experiment(name, artifact_location=location))
        except MlflowException:  # another process was faster
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    if experiment.lifecycle_stage == "deleted":
        restore = (
            f"MLFLOW_TRACKING_URI={shown_uri} mlflow experiments restore --experiment-id {experiment.experiment_id}"
        )
        another = again(f"tracking.experiment_name={quoted(name + '-2')}")
        says = f"The experiment {name} was deleted in {shown_uri}."
        raise StoreUnusable(Fault(says, f"{restore}   (or record in another: {another})"))
    return experiment


def _check_place(experiment: Experiment, destination: Destination) -> None:
    """Raise StoreUnusable if artifacts would go elsewhere than is asked for: that was decided with the experiment.

    MLflow keeps absolute paths, so after a project folder was moved it would write to the old place, and not say so.
    """
    location, root = experiment.artifact_location, destination.artifact_root or ""
    if destination.sqlite_path and root.startswith("s3://") and not location.startswith(f"{root}/"):
        another = again(f"tracking.experiment_name={quoted(experiment.name + '-s3')}")
        raise StoreUnusable(
            Fault(
                f"The experiment {experiment.name} in {destination.shown_uri} keeps its artifacts in {location}, "
                f"not in {root}: that was decided when it was made.",
                f"{another}   (makes one in {root})",
            )
        )
    path = Path(unquote(location.removeprefix("file://")))
    if destination.sqlite_path is None or not location.startswith("file://") or path.parent.is_dir():
        return
    if destination.artifact_root != str(path.parent):
        another = again(f"tracking.experiment_name={quoted(experiment.name + '-2')}")
        raise StoreUnusable(
            Fault(
                f"The artifacts of {destination.shown_uri} belong into {path.parent}, which is gone: was it moved?",
                f"mv {destination.artifact_root} {path.parent}   (or begin anew: {another})",
            )
        )
