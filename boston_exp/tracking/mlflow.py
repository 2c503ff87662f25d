"""Records in an MLflow store through MLflow's client: few calls, each of them public."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # a training run talks to nobody it was not told of

import mlflow.sklearn
import skops.io
from mlflow import MlflowClient
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import DatasetInput, InputTag, LoggedModelOutput, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import Model, infer_signature
from sqlalchemy.exc import SQLAlchemyError

from boston_exp.errors import ExpectedFailure, Fault, RecordingFailed, StoreUnusable
from boston_exp.tracking import liveness, sqlite_store
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.protocol import Outcome, Plan

log = logging.getLogger(__name__)
MAX_PARAM = 6000  # characters; MLflow refuses more
MAX_TAG = 8000
for noisy in ("mlflow", "alembic"):  # migrations and hints that a user of this runner can do nothing about
    logging.getLogger(noisy).setLevel(logging.ERROR)
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # its errors reach us as exceptions


class MlflowTracker:
    """A store and an experiment in it, ready to be written to.

    Opening it creates a local store where there is none and closes the runs of processes that are gone.
    """

    def __init__(self, destination: Destination, log_model: str) -> None:
        self._destination = destination
        self._log_model = log_model
        with _told_as(StoreUnusable, destination):
            self.client, self.experiment_id = _connect(destination)

    @contextmanager
    def start(self, plan: Plan) -> Iterator[MlflowRecording]:
        with _told_as(StoreUnusable, self._destination):
            run = self.client.create_run(self.experiment_id, run_name=plan.name, tags={**plan.tags, **liveness.tags()})
        run_id = run.info.run_id
        recording = MlflowRecording(self.client, self.experiment_id, run_id, self._destination, plan, self._log_model)
        try:
            with liveness.Heartbeat(lambda key, value: self.client.set_tag(run_id, key, value)):
                with _told_as(RecordingFailed, self._destination):
                    recording.log_plan()
                yield recording
                with _told_as(RecordingFailed, self._destination):
                    self.client.set_terminated(run_id, "FINISHED")
        except BaseException as error:
            status = "FAILED" if isinstance(error, Exception) else "KILLED"
            with suppress(Exception):  # the store may be what failed; the next command closes the run then
                _close(self.client, run_id, status, f"{type(error).__name__}: {error}")
            log.error("run %s is recorded as %s", run_id, status)
            raise


class MlflowRecording:
    def __init__(
        self,
        client: MlflowClient,
        experiment_id: str,
        run_id: str,
        destination: Destination,
        plan: Plan,
        log_model: str,
    ) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._destination = destination
        self._plan = plan
        self._log_model = log_model
        self.run_id = run_id
        self.where = f"{destination.shown_uri} ({destination.why}), experiment {destination.experiment_name}"

    @property
    def next_command(self) -> str:
        uri = self._destination.uri
        if uri.startswith("http"):
            return f"open {self._destination.shown_uri}/#/experiments/{self._experiment_id}/runs/{self.run_id}"
        beside = Path(sys.executable).with_name("mlflow")
        if shutil.which("mlflow") == str(beside):
            program = "mlflow"
        else:
            program = str(beside.relative_to(Path.cwd())) if beside.is_relative_to(Path.cwd()) else str(beside)
        return f"{shlex.quote(program)} ui --backend-store-uri {shlex.quote(self._destination.shown_uri)}"

    def log_plan(self) -> None:
        plan = self._plan
        params = [Param(name, value[:MAX_PARAM]) for name, value in plan.params.items()]
        for first in range(0, len(params), 100):  # MLflow takes 100 at a time
            self._client.log_batch(self.run_id, params=params[first : first + 100])
        with warnings.catch_warnings():  # that a path could be read by two of MLflow's source classes
            warnings.simplefilter("ignore", UserWarning)
            dataset = from_pandas(
                plan.table,
                source=plan.dataset_source,
                targets=plan.target,
                name=plan.dataset_name,
                digest=plan.dataset_md5,
            )
        entity = DatasetInput(dataset._to_mlflow_entity(), [InputTag("mlflow.data.context", "training")])
        self._client.log_inputs(self.run_id, datasets=[entity])

    def log(self, outcome: Outcome) -> None:
        with _told_as(RecordingFailed, self._destination):
            self._client.log_artifacts(self.run_id, str(outcome.files))
            model_id = self._save_model(outcome) if self._log_model == "all" else None
            now = int(time.time() * 1000)
            metrics = [
                Metric(
                    name,
                    value,
                    now,
                    step=0,
                    model_id=model_id,
                    dataset_name=self._plan.dataset_name,
                    dataset_digest=self._plan.dataset_md5,
                    run_id=self.run_id,
                )
                for name, value in outcome.metrics.items()
            ]
            self._client.log_batch(self.run_id, metrics=metrics)

    def _save_model(self, outcome: Outcome) -> str:
        """What `mlflow.sklearn.log_model` does, without its 4-8 s of guessing requirements in a subprocess."""
        model = self._client.create_logged_model(
            self._experiment_id,
            name="model",
            source_run_id=self.run_id,
            params=self._plan.params,
            model_type=type(outcome.estimator).__name__,
        )
        self._client.log_outputs(self.run_id, [LoggedModelOutput(model.model_id, step=0)])
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model"
            described = Model(
                artifact_path=model.artifact_location,
                run_id=self.run_id,
                model_uuid=model.model_id,
                model_id=model.model_id,
            )
            mlflow.sklearn.save_model(
                outcome.estimator,
                path,
                mlflow_model=described,
                signature=infer_signature(outcome.X, outcome.predicted),
                input_example=outcome.X.head(5),
                pip_requirements=list(outcome.requirements),
                serialization_format="skops",
                skops_trusted_types=_types_inside(outcome),
            )
            self._client.log_model_artifacts(model.model_id, str(path))
        self._client.finalize_logged_model(model.model_id, "READY")
        return model.model_id


@cache
def _connect(destination: Destination) -> tuple[MlflowClient, str]:
    """A client and the experiment's id, made once per process."""
    if destination.sqlite_path is not None and destination.artifact_root is not None:
        sqlite_store.create(destination.sqlite_path, destination.artifact_root)
    client = MlflowClient(destination.uri)
    experiment_id = _experiment(client, destination)
    for run in client.search_runs([experiment_id], "attributes.status = 'RUNNING'"):
        if liveness.is_dead(run.data.tags):
            last_seen = int(run.data.tags[liveness.HEARTBEAT]) * 1000
            _close(client, run.info.run_id, "KILLED", "the process ended without closing its run", last_seen)
            log.warning("run %s was left open by a process that is gone: closed as KILLED", run.info.run_id)
    return client, experiment_id


def _experiment(client: MlflowClient, destination: Destination) -> str:
    name = destination.experiment_name
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        root = destination.artifact_root
        location = root and (root if "://" in root else Path(root).as_uri()) + f"/{name}"
        try:
            return client.create_experiment(name, artifact_location=location)
        except MlflowException:  # another process was faster
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    if experiment.lifecycle_stage == "deleted":
        raise StoreUnusable(
            Fault(
                f"The experiment {name} was deleted in {destination.shown_uri}.",
                f"MLFLOW_TRACKING_URI={destination.shown_uri} mlflow experiments restore "
                f"--experiment-id {experiment.experiment_id}   (or choose another: tracking.experiment_name=<name>)",
            )
        )
    return experiment.experiment_id


def _close(client: MlflowClient, run_id: str, status: str, message: str, end_time: int | None = None) -> None:
    """End a run that did not finish, and the model that it may have been writing."""
    client.log_batch(run_id, tags=[RunTag("error", message[:MAX_TAG])])
    outputs = client.get_run(run_id).outputs
    for output in outputs.model_outputs if outputs else []:
        client.finalize_logged_model(output.model_id, "FAILED")
    client.set_terminated(run_id, status, end_time)


_types_by_class: dict[tuple[str, ...], list[str]] = {}


def _types_inside(outcome: Outcome) -> list[str]:
    """The types that skops wants to see named, all of them from trusted packages.

    Worked out once per process and kind of estimator: it takes a second dump of the model.
    """
    key = tuple(
        sorted({type(part).__qualname__ for part in (outcome.estimator, *outcome.estimator.get_params().values())})
    )
    if key not in _types_by_class:
        _types_by_class[key] = skops.io.get_untrusted_types(data=skops.io.dumps(outcome.estimator))
    found = _types_by_class[key]
    trusted = {"numpy", "scipy", "builtins", *outcome.trusted_packages}
    foreign = [name for name in found if name.partition(".")[0] not in trusted]
    if foreign:
        raise RecordingFailed(
            Fault(
                f"The model holds types that are not from trusted_packages: {', '.join(foreign)}.",
                "python -m boston_exp.run … tracking.log_model=none   (or name their package in trusted_packages)",
            )
        )
    return found


@contextmanager
def _told_as(kind: type[ExpectedFailure], destination: Destination) -> Iterator[None]:
    """What MLflow, SQLAlchemy and the disk can throw, as one clear message."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        text = str(error)
        reason = text.partition("\n")[0]
        mend = "python -m boston_exp.run … tracking.uri=sqlite:///other.db"
        if "No space left" in text or "disk is full" in text:
            mend = f"df -h {destination.artifact_root or '.'}   (free some space, then run again)"
        elif "out-of-date database schema" in text:
            mend = f"mlflow db upgrade {destination.shown_uri}   (after a backup of the file)"
        raise kind(Fault(f"{destination.shown_uri} cannot be used: {reason}", mend)) from error
