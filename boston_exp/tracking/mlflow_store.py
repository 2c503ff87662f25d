"""An MLflow store at hand: opened once per process, its runs opened and closed so that none is left half-way."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import (
    DatasetInput,
    Experiment,
    LoggedModel,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
    Param,
    Run,
    RunInfo,
    RunTag,
)
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy.exc import SQLAlchemyError

from boston_exp.errors import ExpectedFailure, Fault, Pruned, RecordingFailed, StoreUnusable, without_secrets
from boston_exp.tracking import liveness, sqlite_store
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.protocol import Finished

log = logging.getLogger(__name__)
Kind = TypeVar("Kind")
MAX_PARAM = 6000  # characters; MLflow refuses more
MAX_TAG = 8000
for noisy in ("mlflow", "alembic", "urllib3"):  # migrations and hints that a user of this runner can do nothing about
    logging.getLogger(noisy).setLevel(logging.ERROR)
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # its errors reach us as exceptions


def create_run(client: MlflowClient, experiment_id: str, name: str, tags: dict[str, str]) -> RunInfo:
    info: RunInfo = client.create_run(experiment_id, run_name=name, tags={**tags, **liveness.tags()}).info
    return info


def log_params(client: MlflowClient, run_id: str, params: dict[str, str]) -> None:
    entities = [Param(name, value[:MAX_PARAM]) for name, value in params.items()]
    for first in range(0, len(entities), 100):  # MLflow takes 100 at a time
        client.log_batch(run_id, params=entities[first : first + 100])


def log_metrics(
    client: MlflowClient, run_id: str, metrics: dict[str, float], at: int | None = None, **origin: Any
) -> None:
    """`at` is the time of measurement in ms, now by default; origin names the model and the data set."""
    at = int(time.time() * 1000) if at is None else at
    client.log_batch(
        run_id, metrics=[Metric(name, value, at, 0, run_id=run_id, **origin) for name, value in metrics.items()]
    )


def finished_on(client: MlflowClient, experiment_id: str, fingerprint: str, with_model: bool) -> Finished | None:
    """The newest FINISHED run with that fingerprint, with a stored model where one is wanted."""
    found = client.search_runs(
        [experiment_id],
        f"tags.fingerprint = '{fingerprint}' and attributes.status = 'FINISHED'",
        max_results=20 if with_model else 1,
    )
    return next((finished(run) for run in found if not with_model or stored_model(client, run)), None)


def find_run(client: MlflowClient, run_id: str) -> Run | None:
    """The run, or None where the store has no such run."""
    return _found(client.get_run, run_id)


def find_model(client: MlflowClient, model_id: str) -> LoggedModel | None:
    """The model, or None where it was deleted."""
    return _found(client.get_logged_model, model_id)


def _found(get: Callable[[str], Kind], wanted: str) -> Kind | None:
    try:
        return get(wanted)
    except MlflowException as error:
        if error.get_http_status_code() != 404:
            raise
        return None


def stored_model(client: MlflowClient, run: Run) -> LoggedModel | None:
    """A model of the run that is whole, and was not deleted."""
    outputs = run.outputs.model_outputs if run.outputs else []
    found = [find_model(client, output.model_id) for output in outputs]
    return next((model for model in found if model and model.status == LoggedModelStatus.READY), None)


def finished(run: Run) -> Finished:
    return Finished(run.info.run_id, run.data.metrics)


def log_datasets(client: MlflowClient, run_id: str, inputs: list[DatasetInput]) -> None:
    try:
        client.log_inputs(run_id, datasets=inputs)
    except MlflowException as error:  # another process was adding the same data set at this moment: it is there now
        if "UNIQUE constraint" not in str(error) and "duplicate key" not in str(error):
            raise
        client.log_inputs(run_id, datasets=inputs)


@contextmanager
def new_model(
    client: MlflowClient, experiment_id: str, run_id: str, **described: Any
) -> Iterator[tuple[LoggedModel, Path]]:
    """A model of the run, READY once what is then in its folder is stored; PENDING if that fails."""
    model = client.create_logged_model(experiment_id, source_run_id=run_id, **described)
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    with tempfile.TemporaryDirectory(prefix="boston_exp-") as name:
        folder = Path(name) / "model"
        yield model, folder
        # not by the client, which would ask the store where the model belongs
        place = get_artifact_repository(model.artifact_location, tracking_uri=client.tracking_uri)
        place.log_artifacts(str(folder))
    client.finalize_logged_model(model.model_id, "READY")


def copy_model(source: LoggedModel, copy: LoggedModel, folder: Path) -> None:
    """A model's stored bytes as they are; only MLmodel, which names model, run and place, is written anew."""
    shutil.copytree(download_artifacts(artifact_uri=source.artifact_location), folder)
    described = folder / "MLmodel"
    text = described.read_text(encoding="utf-8")
    for old, new in (
        (source.artifact_location, copy.artifact_location),
        (source.model_id, copy.model_id),
        (str(source.source_run_id), str(copy.source_run_id)),
    ):
        text = text.replace(old, new)
    described.write_text(text, encoding="utf-8")


@contextmanager
def open_run(client: MlflowClient, run_id: str, destination: Destination) -> Iterator[None]:
    """A run from here to FINISHED, or to FAILED or KILLED by whatever ends it."""
    try:
        with liveness.Heartbeat(lambda key, value: client.set_tag(run_id, key, value)):
            yield
        with told_as(RecordingFailed, destination):
            client.set_terminated(run_id, "FINISHED")
    except Pruned as pruned:  # KILLED is what MLflow's own Optuna storage makes of a pruned trial
        close_run(client, run_id, "KILLED", str(pruned), {"pruned": "true"})
        raise
    except BaseException as error:
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
        with suppress(Exception):  # the store may be what failed; the next command closes the run then
            close_run(client, run_id, status, f"{type(error).__name__}: {error}")
        log.error("run %s is recorded as %s", run_id, status)
        raise


@cache
def connect(destination: Destination) -> tuple[MlflowClient, str]:
    """A client and the experiment's id, made once per process."""
    if destination.sqlite_path is not None and destination.artifact_root is not None:
        sqlite_store.create(destination.sqlite_path, destination.artifact_root)
    client = MlflowClient(destination.uri)
    experiment_id = _experiment(client, destination)
    everywhere = [experiment.experiment_id for experiment in client.search_experiments()]
    for run in client.search_runs(everywhere, "attributes.status = 'RUNNING'"):
        if liveness.is_dead(run.data.tags):
            last_seen = max(int(run.data.tags[liveness.HEARTBEAT]) * 1000, run.info.start_time)
            message = "the process ended without closing its run"
            close_run(client, run.info.run_id, "KILLED", message, end_time=last_seen)
            log.warning("run %s was left open by a process that is gone: closed as KILLED", run.info.run_id)
    return client, experiment_id


def _experiment(client: MlflowClient, destination: Destination) -> str:
    name, root = destination.experiment_name, destination.artifact_root
    location = root and (root if "://" in root else Path(root).as_uri()) + f"/{quote(name, safe='')}"
    experiment = experiment_on(client, name, destination.shown_uri, location)
    _check_place(experiment, destination)
    return str(experiment.experiment_id)


def experiment_on(client: MlflowClient, name: str, shown_uri: str, location: str | None = None) -> Experiment:
    """The experiment of that name, made if there is none; raises StoreUnusable if it was deleted."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return client.get_experiment(client.create_experiment(name, artifact_location=location))
        except MlflowException:  # another process was faster
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    if experiment.lifecycle_stage == "deleted":
        raise StoreUnusable(
            Fault(
                f"The experiment {name} was deleted in {shown_uri}.",
                f"MLFLOW_TRACKING_URI={shown_uri} mlflow experiments restore "
                f"--experiment-id {experiment.experiment_id}   (or choose another: tracking.experiment_name=<name>)",
            )
        )
    return experiment


def _check_place(experiment: Experiment, destination: Destination) -> None:
    """Where an experiment's artifacts go was decided when it was made: another wish would be ignored in silence.

    MLflow keeps absolute paths, so after a project folder was moved it would write to the old place, and not say so.
    """
    location, root = experiment.artifact_location, destination.artifact_root or ""
    if destination.sqlite_path and root.startswith("s3://") and not location.startswith(f"{root}/"):
        raise StoreUnusable(
            Fault(
                f"The experiment {experiment.name} in {destination.shown_uri} keeps its artifacts in {location}, "
                f"not in {root}: that was decided when it was made.",
                f"python -m boston_exp.run … tracking.experiment_name={experiment.name}-s3   (makes one in {root})",
            )
        )
    path = Path(unquote(location.removeprefix("file://")))
    if destination.sqlite_path is None or not location.startswith("file://") or path.parent.is_dir():
        return
    if destination.artifact_root != str(path.parent):
        raise StoreUnusable(
            Fault(
                f"The artifacts of {destination.shown_uri} belong into {path.parent}, which is gone: was it moved?",
                f"mv {destination.artifact_root} {path.parent}   (or begin anew: tracking.experiment_name=<name>)",
            )
        )


def close_run(
    client: MlflowClient,
    run_id: str,
    status: str,
    message: str,
    tags: dict[str, str] | None = None,
    end_time: int | None = None,
) -> None:
    """End a run that did not finish, and the model that it may have been writing."""
    said = {"error": without_secrets(message), **(tags or {})}
    client.log_batch(run_id, tags=[RunTag(name, value[:MAX_TAG]) for name, value in said.items()])
    outputs = client.get_run(run_id).outputs
    for output in outputs.model_outputs if outputs else []:
        model = find_model(client, output.model_id)
        if model and model.status == LoggedModelStatus.PENDING:
            client.finalize_logged_model(output.model_id, "FAILED")
    client.set_terminated(run_id, status, end_time)


def _forget_connections() -> None:
    """In a forked worker: a connection of the parent must neither be used nor closed here.

    https://docs.sqlalchemy.org/en/20/core/pooling.html#using-connection-pools-with-multiprocessing-or-os-fork
    """
    for engine in SqlAlchemyStore._engine_map.values():
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_forget_connections)


@contextmanager
def told_as(kind: type[ExpectedFailure], destination: Destination) -> Iterator[None]:
    """What MLflow, SQLAlchemy and the disk can throw, as one clear message."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        text = without_secrets(str(error))
        place, mend = destination.shown_uri, "python -m boston_exp.run … tracking.uri=sqlite:///other.db"
        if isinstance(error, OSError) and error.filename:
            place, mend = (
                str(error.filename),
                "python -m boston_exp.run … tracking.artifact_root=<a folder to write to>",
            )
        if "No space left" in text or "disk is full" in text:
            mend = f"df -h {destination.artifact_root or '.'}   (free some space, then run again)"
        elif "out-of-date database schema" in text:
            mend = f"mlflow db upgrade {destination.shown_uri}   (after a backup of the file)"
        elif isinstance(error, ImportError):
            mend = f"{sys.executable} -m pip install {error.name}"
        elif destination.uri.startswith("http"):
            mend = "start the server, or record here: python -m boston_exp.run … tracking.uri=sqlite:///mlflow.db"
        reason = text.partition("\n")[0]
        raise kind(Fault(f"{place} cannot be used: {reason}", mend)) from error
