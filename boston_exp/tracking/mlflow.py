"""Records in an MLflow store through MLflow's client: few calls, each of them public."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from urllib.parse import quote, unquote

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # a training run talks to nobody it was not told of
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# MLflow's own 7 retries of 120 s each would hold a training up for minutes of silence
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")

import pandas as pd
from mlflow import MlflowClient
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy.exc import SQLAlchemyError

from boston_exp.errors import ExpectedFailure, Fault, Pruned, RecordingFailed, StoreUnusable, without_secrets
from boston_exp.tracking import liveness, sqlite_store
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.protocol import Finished, Outcome, Plan, SweepPlan

log = logging.getLogger(__name__)
MAX_PARAM = 6000  # characters; MLflow refuses more
MAX_TAG = 8000
MODEL_OF = "best.model_of"
RESULTS = "results.csv"  # of a sweep, on its parent: also the memory of which points were reused
for noisy in ("mlflow", "alembic", "urllib3"):  # migrations and hints that a user of this runner can do nothing about
    logging.getLogger(noisy).setLevel(logging.ERROR)
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # its errors reach us as exceptions


class MlflowTracker:
    """A store and an experiment in it, ready to be written to.

    Opening it creates a local store where there is none and closes the runs of processes that are gone.
    """

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        with _told_as(StoreUnusable, destination):
            self._client, self._experiment_id = _connect(destination)

    @contextmanager
    def start(self, plan: Plan) -> Iterator[MlflowRecording]:
        with _told_as(StoreUnusable, self._destination):
            run_id = _create(self._client, self._experiment_id, plan.name, plan.tags)
        recording = MlflowRecording(self._client, self._experiment_id, run_id, self._destination, plan)
        with _open(self._client, run_id, self._destination):
            with _told_as(RecordingFailed, self._destination):
                recording.log_plan()
            yield recording

    def find_finished(self, fingerprint: str, with_model: bool) -> Finished | None:
        with _told_as(StoreUnusable, self._destination):
            found = self._client.search_runs(
                [self._experiment_id],
                f"tags.fingerprint = '{fingerprint}' and attributes.status = 'FINISHED'",
                max_results=20 if with_model else 1,
            )
        for run in found:
            if not with_model or (run.outputs and run.outputs.model_outputs):
                return Finished(run.info.run_id, run.data.metrics)
        return None

    @contextmanager
    def sweep(self, plan: SweepPlan) -> Iterator[MlflowSweepRecording]:
        with _told_as(StoreUnusable, self._destination):
            run_id = self._parent(plan)
        with _open(self._client, run_id, self._destination):
            try:
                yield MlflowSweepRecording(self._client, self._experiment_id, run_id, self._destination, plan)
            finally:
                with suppress(MlflowException, SQLAlchemyError):  # the next command on this store would do it
                    self._close_what_workers_left(run_id)

    def _parent(self, plan: SweepPlan) -> str:
        found = self._client.search_runs(
            [self._experiment_id], f"tags.`sweep.key` = '{plan.key}'", max_results=1, order_by=["start_time ASC"]
        )
        if not found:
            run_id = _create(self._client, self._experiment_id, plan.name, {**plan.tags, "sweep.key": plan.key})
            _log_params(self._client, run_id, plan.params)
            return run_id
        (run,) = found
        run_id = run.info.run_id
        if run.info.status == "RUNNING" and not liveness.is_dead(run.data.tags):
            raise StoreUnusable(
                Fault(
                    f"This very sweep is running already, in process {run.data.tags.get(liveness.PROCESS)}.",
                    "wait for it, or end it and run this command again: it will go on where that one stopped",
                )
            )
        for name, value in liveness.tags().items():
            self._client.set_tag(run_id, name, value)
        self._client.update_run(run_id, status="RUNNING")
        self._close_what_workers_left(run_id)
        return run_id

    def _close_what_workers_left(self, parent_id: str) -> None:
        unfinished = f"tags.mlflow.parentRunId = '{parent_id}' and attributes.status = 'RUNNING'"
        for run in self._client.search_runs([self._experiment_id], unfinished):
            if liveness.is_dead(run.data.tags):
                _close(self._client, run.info.run_id, "KILLED", "the worker ended without closing its run")


class _Recording:
    """What the records of a run and of a sweep have in common."""

    def __init__(self, client: MlflowClient, experiment_id: str, run_id: str, destination: Destination) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._destination = destination
        self.run_id = run_id

    @property
    def where(self) -> str:
        where = self._destination
        return f"{where.shown_uri} ({where.why}), experiment {where.experiment_name}"

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


class MlflowRecording(_Recording):
    def __init__(
        self, client: MlflowClient, experiment_id: str, run_id: str, destination: Destination, plan: Plan
    ) -> None:
        super().__init__(client, experiment_id, run_id, destination)
        self._plan = plan

    def log_plan(self) -> None:
        plan = self._plan
        _log_params(self._client, self.run_id, plan.params)
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
        try:
            self._client.log_inputs(self.run_id, datasets=[entity])
        except MlflowException as error:  # another process was adding the same data set at this moment: it is there now
            if "UNIQUE constraint" not in str(error) and "duplicate key" not in str(error):
                raise
            self._client.log_inputs(self.run_id, datasets=[entity])

    def log(self, outcome: Outcome) -> None:
        origin = {"dataset_name": self._plan.dataset_name, "dataset_digest": self._plan.dataset_md5}
        with _told_as(RecordingFailed, self._destination):
            model_id = None
            try:
                self._client.log_artifacts(self.run_id, str(outcome.files))
                if outcome.store_model:
                    from boston_exp.tracking import mlflow_model  # imports mlflow.sklearn, which only a model is worth

                    model_id = mlflow_model.save(
                        self._client, self._experiment_id, self.run_id, self._plan.params, outcome
                    )
            finally:  # a full disk under the artifacts is no reason to lose the scores
                _log_metrics(self._client, self.run_id, outcome.metrics, model_id=model_id, **origin)


class MlflowSweepRecording(_Recording):
    def __init__(
        self, client: MlflowClient, experiment_id: str, run_id: str, destination: Destination, plan: SweepPlan
    ) -> None:
        super().__init__(client, experiment_id, run_id, destination)
        self._plan = plan

    def finished_points(self) -> dict[str, Finished]:
        with _told_as(StoreUnusable, self._destination):
            done: dict[str, Finished] = {}
            children = f"tags.mlflow.parentRunId = '{self.run_id}' and attributes.status = 'FINISHED'"
            token = None
            while token != "":
                page = self._client.search_runs([self._experiment_id], children, max_results=1000, page_token=token)
                done |= {run.data.tags.get("sweep.point", ""): _finished(run) for run in page}
                token = page.token or ""
            return self._reused_before() | done

    def _reused_before(self) -> dict[str, Finished]:
        """Points that an earlier part took from other runs, which may have been deleted since."""
        if not any(item.path == RESULTS for item in self._client.list_artifacts(self.run_id)):
            return {}
        table = pd.read_csv(self._client.download_artifacts(self.run_id, RESULTS), dtype={"key": str, "run_id": str})
        found = {}
        for key, run_id in table.loc[table["status"] == "reused", ["key", "run_id"]].itertuples(index=False):
            with suppress(MlflowException):
                run = self._client.get_run(run_id)
                if run.info.status == "FINISHED" and run.info.lifecycle_stage == "active":
                    found[str(key)] = _finished(run)
        return found

    def fail(self, run_id: str | None, name: str, params: dict[str, str], tags: dict[str, str], message: str) -> str:
        with _told_as(RecordingFailed, self._destination):
            if run_id is None:
                parent = {"mlflow.parentRunId": self.run_id}
                run_id = _create(self._client, self._experiment_id, name, {**tags, **parent})
                _log_params(self._client, run_id, params)
            if self._client.get_run(run_id).info.status != "FAILED":
                _close(self._client, run_id, "FAILED", message)
            return run_id

    def log(self, metrics: dict[str, float], tags: dict[str, str], files: Path) -> None:
        with _told_as(RecordingFailed, self._destination):
            _log_metrics(self._client, self.run_id, metrics)
            self._client.log_batch(self.run_id, tags=[RunTag(name, value[:MAX_TAG]) for name, value in tags.items()])
            self._client.log_artifacts(self.run_id, str(files))

    @property
    def model_of(self) -> str | None:
        tags: dict[str, str] = self._client.get_run(self.run_id).data.tags
        return tags.get(MODEL_OF)

    def log_model(self, best: Outcome, run_id: str) -> None:
        from boston_exp.tracking import mlflow_model

        with _told_as(RecordingFailed, self._destination):
            mlflow_model.save(self._client, self._experiment_id, self.run_id, self._plan.params, best)
            self._client.set_tag(self.run_id, MODEL_OF, run_id)


def _finished(run: Run) -> Finished:
    return Finished(run.info.run_id, run.data.metrics)


def _create(client: MlflowClient, experiment_id: str, name: str, tags: dict[str, str]) -> str:
    run_id: str = client.create_run(experiment_id, run_name=name, tags={**tags, **liveness.tags()}).info.run_id
    return run_id


def _log_params(client: MlflowClient, run_id: str, params: dict[str, str]) -> None:
    entities = [Param(name, value[:MAX_PARAM]) for name, value in params.items()]
    for first in range(0, len(entities), 100):  # MLflow takes 100 at a time
        client.log_batch(run_id, params=entities[first : first + 100])


def _log_metrics(client: MlflowClient, run_id: str, metrics: dict[str, float], **origin: str | None) -> None:
    now = int(time.time() * 1000)
    client.log_batch(
        run_id, metrics=[Metric(name, value, now, 0, run_id=run_id, **origin) for name, value in metrics.items()]
    )


@contextmanager
def _open(client: MlflowClient, run_id: str, destination: Destination) -> Iterator[None]:
    """A run from here to FINISHED, or to FAILED or KILLED by whatever ends it."""
    try:
        with liveness.Heartbeat(lambda key, value: client.set_tag(run_id, key, value)):
            yield
        with _told_as(RecordingFailed, destination):
            client.set_terminated(run_id, "FINISHED")
    except Pruned as pruned:  # KILLED is what MLflow's own Optuna storage makes of a pruned trial
        _close(client, run_id, "KILLED", str(pruned), {"pruned": "true"})
        raise
    except BaseException as error:
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
        with suppress(Exception):  # the store may be what failed; the next command closes the run then
            _close(client, run_id, status, f"{type(error).__name__}: {error}")
        log.error("run %s is recorded as %s", run_id, status)
        raise


@cache
def _connect(destination: Destination) -> tuple[MlflowClient, str]:
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
            _close(client, run.info.run_id, "KILLED", message, end_time=last_seen)
            log.warning("run %s was left open by a process that is gone: closed as KILLED", run.info.run_id)
    return client, experiment_id


def _experiment(client: MlflowClient, destination: Destination) -> str:
    name = destination.experiment_name
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        root = destination.artifact_root
        location = root and (root if "://" in root else Path(root).as_uri()) + f"/{quote(name, safe='')}"
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
    _check_not_moved(experiment.artifact_location, destination)
    return str(experiment.experiment_id)


def _check_not_moved(location: str, destination: Destination) -> None:
    """MLflow keeps absolute paths: after a project folder was moved it would write to the old place, and not say so."""
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


def _close(
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
def _told_as(kind: type[ExpectedFailure], destination: Destination) -> Iterator[None]:
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
