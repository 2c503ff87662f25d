"""Records in an MLflow store through MLflow's client: few calls, each of them public."""

from __future__ import annotations

import shlex
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import DatasetInput, InputTag, RunInfo, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from sqlalchemy.exc import SQLAlchemyError

from boston_exp.errors import Fault, RecordingFailed, StoreUnusable
from boston_exp.tracking import liveness
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.mlflow_store import (
    MAX_TAG,
    close_run,
    connect,
    copy_model,
    create_run,
    find_run,
    finished,
    finished_on,
    log_datasets,
    log_metrics,
    log_params,
    new_model,
    open_run,
    stored_model,
    told_as,
)
from boston_exp.tracking.protocol import Finished, Outcome, Plan, SweepPlan

MODEL_OF = "best.model_of"
RESULTS = "results.csv"  # of a sweep, on its parent: also the memory of which points were reused


class MlflowTracker:
    """A store and an experiment in it, ready to be written to.

    Opening it creates a local store where there is none and closes the runs of processes that are gone.
    """

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        with told_as(StoreUnusable, destination):
            self._client, self._experiment_id = connect(destination)

    @contextmanager
    def start(self, plan: Plan) -> Iterator[MlflowRecording]:
        with told_as(StoreUnusable, self._destination):
            info = create_run(self._client, self._experiment_id, plan.name, plan.tags | self._destination.tags)
        recording = MlflowRecording(self._client, info, self._destination, plan)
        with open_run(self._client, info.run_id, self._destination):
            with told_as(RecordingFailed, self._destination):
                recording.log_plan()
            yield recording

    def find_finished(self, fingerprint: str, with_model: bool) -> Finished | None:
        with told_as(StoreUnusable, self._destination):
            return finished_on(self._client, self._experiment_id, fingerprint, with_model)

    @contextmanager
    def sweep(self, plan: SweepPlan) -> Iterator[MlflowSweepRecording]:
        with told_as(StoreUnusable, self._destination):
            run_id = self._parent(plan)
        with open_run(self._client, run_id, self._destination):
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
            tags = {**plan.tags, "sweep.key": plan.key, **self._destination.tags}
            run_id: str = create_run(self._client, self._experiment_id, plan.name, tags).run_id
            log_params(self._client, run_id, plan.params)
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
        for name, value in (liveness.tags() | self._destination.tags).items():
            self._client.set_tag(run_id, name, value)
        self._client.update_run(run_id, status="RUNNING")
        self._close_what_workers_left(run_id)
        return run_id

    def _close_what_workers_left(self, parent_id: str) -> None:
        unfinished = f"tags.mlflow.parentRunId = '{parent_id}' and attributes.status = 'RUNNING'"
        for run in self._client.search_runs([self._experiment_id], unfinished):
            if liveness.is_dead(run.data.tags):
                close_run(self._client, run.info.run_id, "KILLED", "the worker ended without closing its run")


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
        why = "" if where.server else f" ({where.why})"
        return f"{where.shown_uri}{why}, experiment {where.experiment_name}"

    @property
    def next_command(self) -> str:
        beside = Path(sys.executable).with_name("mlflow")
        if shutil.which("mlflow") == str(beside):
            program = "mlflow"
        else:
            program = str(beside.relative_to(Path.cwd())) if beside.is_relative_to(Path.cwd()) else str(beside)
        return f"{shlex.quote(program)} ui --backend-store-uri {shlex.quote(self._destination.shown_uri)}"


class MlflowRecording(_Recording):
    def __init__(self, client: MlflowClient, info: RunInfo, destination: Destination, plan: Plan) -> None:
        super().__init__(client, info.experiment_id, info.run_id, destination)
        self._plan = plan
        self._artifact_uri = info.artifact_uri

    def log_plan(self) -> None:
        log_params(self._client, self.run_id, self._plan.params)
        log_datasets(self._client, self.run_id, [_described(self._plan)])

    def log(self, outcome: Outcome) -> None:
        origin: dict[str, Any] = {"dataset_name": self._plan.dataset_name, "dataset_digest": self._plan.dataset_md5}
        with told_as(RecordingFailed, self._destination):
            model_id = None
            try:
                # not by the client, which would ask the store where the run's artifacts belong
                place = get_artifact_repository(self._artifact_uri, tracking_uri=self._client.tracking_uri)
                place.log_artifacts(str(outcome.files))
                if outcome.store_model:
                    from boston_exp.tracking import mlflow_model  # imports mlflow.sklearn, which only a model is worth

                    model_id = mlflow_model.save(
                        self._client, self._experiment_id, self.run_id, self._plan.params, outcome
                    )
            finally:  # a full disk under the artifacts is no reason to lose the scores
                log_metrics(self._client, self.run_id, outcome.metrics, model_id=model_id, **origin)


_latest: list[tuple[pd.DataFrame, DatasetInput]] = []


def _described(plan: Plan) -> DatasetInput:
    """Schema and profile of the table, worked out once for all points of a sweep that share it."""
    if not _latest or _latest[0][0] is not plan.table:
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
        _latest[:] = [(plan.table, entity)]
    return _latest[0][1]


class MlflowSweepRecording(_Recording):
    server_answers = False

    def __init__(
        self, client: MlflowClient, experiment_id: str, run_id: str, destination: Destination, plan: SweepPlan
    ) -> None:
        super().__init__(client, experiment_id, run_id, destination)
        self._plan = plan

    def finished_points(self) -> dict[str, Finished]:
        with told_as(StoreUnusable, self._destination):
            done: dict[str, Finished] = {}
            children = f"tags.mlflow.parentRunId = '{self.run_id}' and attributes.status = 'FINISHED'"
            token = None
            while token != "":
                page = self._client.search_runs([self._experiment_id], children, max_results=1000, page_token=token)
                for run in page:  # the newest first
                    done.setdefault(run.data.tags.get("sweep.point", ""), finished(run))
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
                    found[str(key)] = finished(run)
        return found

    def fail(self, run_id: str | None, name: str, params: dict[str, str], tags: dict[str, str], message: str) -> str:
        with told_as(RecordingFailed, self._destination):
            if run_id is None:
                parent = {"mlflow.parentRunId": self.run_id, **self._destination.tags}
                run_id = str(create_run(self._client, self._experiment_id, name, {**tags, **parent}).run_id)
                log_params(self._client, run_id, params)
            run = find_run(self._client, run_id)  # None: of another machine's store, which closes it
            if run and run.info.status != "FAILED":
                close_run(self._client, run_id, "FAILED", message)
            return run_id

    def log(self, metrics: dict[str, float], tags: dict[str, str], files: Path) -> None:
        with told_as(RecordingFailed, self._destination):
            log_metrics(self._client, self.run_id, metrics)
            self._client.log_batch(self.run_id, tags=[RunTag(name, value[:MAX_TAG]) for name, value in tags.items()])
            self._client.log_artifacts(self.run_id, str(files))

    def took(self, run_id: str | None) -> None: ...

    def get_ready(self) -> None:
        from boston_exp.tracking import mlflow_model

        mlflow_model.get_ready()

    def adopt_model(self, run_id: str | None) -> bool:
        with told_as(RecordingFailed, self._destination):
            if self._client.get_run(self.run_id).data.tags.get(MODEL_OF) == run_id:
                return True  # an earlier part has done it
            best = find_run(self._client, str(run_id))  # None: of another machine's store
            stored = stored_model(self._client, best) if best else None
            if stored is None:
                return False
            kept = {"name": stored.name, "tags": stored.tags, "params": stored.params, "model_type": stored.model_type}
            with new_model(self._client, self._experiment_id, self.run_id, **kept) as (model, folder):
                copy_model(stored, model, folder)
            self._client.set_tag(self.run_id, MODEL_OF, run_id)
            return True

    def log_model(self, best: Outcome, run_id: str) -> None:
        from boston_exp.tracking import mlflow_model

        with told_as(RecordingFailed, self._destination):
            mlflow_model.save(self._client, self._experiment_id, self.run_id, self._plan.params, best)
            self._client.set_tag(self.run_id, MODEL_OF, run_id)
