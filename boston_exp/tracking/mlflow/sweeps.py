"""The parent run of a sweep: opened or continued, told of its points, given the best one's model."""

from __future__ import annotations

import time
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import pandas as pd
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Experiment, LoggedModelStatus, Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from boston_exp.errors import Fault, RecordingFailed, StoreUnusable
from boston_exp.process import temporary_folder
from boston_exp.tracking import liveness
from boston_exp.tracking.destination import NOTE, Destination
from boston_exp.tracking.mlflow import pages
from boston_exp.tracking.mlflow.copies import copy_model
from boston_exp.tracking.mlflow.failures import raised_as
from boston_exp.tracking.mlflow.history import finished, is_whole
from boston_exp.tracking.mlflow.places import Placed
from boston_exp.tracking.mlflow.runs import (
    all_runs,
    close_run,
    create_run,
    find_run,
    log_datasets,
    log_failure,
    log_metrics,
    log_params,
    models_of,
    origin_of,
    stored_model,
    tags_of,
)
from boston_exp.tracking.protocol import Failure, Finished, Refit, SweepPlan
from boston_exp.tracking.recorded import MODEL_OF

LOCK_TIMEOUT = 10.0  # seconds; it is held for a few requests to a local store
RESULTS = "results.csv"  # artifact of the parent: also remembers which points were reused


def open_parent(client: MlflowClient, experiment_id: str, plan: SweepPlan, destination: Destination) -> str:
    """The id of the sweep's parent run: a new one, or that of an earlier part, RUNNING again.

    Raises StoreUnusable if another process is running this very sweep. Two that begin at once do not make two parents:
    a lock beside a local store is held from the look to the creation.
    """
    path = destination.sqlite_path
    lock = FileLock(path.with_name(f".{path.name}.sweep.lock"), timeout=LOCK_TIMEOUT) if path else nullcontext()
    with lock:
        return _opened(client, experiment_id, plan, destination)


def _opened(client: MlflowClient, experiment_id: str, plan: SweepPlan, destination: Destination) -> str:
    key = f"tags.`sweep.key` = '{plan.key}'"
    found = client.search_runs([experiment_id], key, max_results=1, order_by=["start_time ASC"])
    if not found:
        tags = {**plan.tags, "sweep.key": plan.key, **destination.tags}
        run_id: str = create_run(client, experiment_id, plan.name, tags).run_id
        log_params(client, run_id, plan.params)
        return run_id
    (run,) = found
    run_id = run.info.run_id
    left = liveness.ELSEWHERE in run.data.tags and liveness.PROCESS not in run.data.tags  # on a cluster, by nobody
    if run.info.status == "RUNNING" and not left and not liveness.is_dead(run.data.tags):
        raise StoreUnusable(
            Fault(
                f"This very sweep is running already, in process {run.data.tags.get(liveness.PROCESS)}.",
                "wait for it, or end it and run this command again: it will go on where that one stopped",
            )
        )
    for name, value in (liveness.tags() | destination.tags).items():
        client.set_tag(run_id, name, value)
    if "error" in run.data.tags:  # what ended the earlier part is no error of this one
        client.delete_tag(run_id, "error")
    client.update_run(run_id, status="RUNNING")
    close_children(client, experiment_id, run_id)
    return run_id


def close_children(client: MlflowClient, experiment_id: str, parent_id: str) -> None:
    """Close as KILLED the points whose worker is gone."""
    unfinished = f"tags.mlflow.parentRunId = '{parent_id}' and attributes.status = 'RUNNING'"
    for run in client.search_runs([experiment_id], unfinished):
        if liveness.is_dead(run.data.tags):
            close_run(client, run.info.run_id, "KILLED", "the worker ended without closing its run")


class MlflowSweepRecording(Placed):
    """The parent of a sweep's runs, open in the store."""

    def __init__(
        self, client: MlflowClient, experiment: Experiment, run_id: str, destination: Destination, plan: SweepPlan
    ) -> None:
        super().__init__(destination, run_id, experiment.experiment_id, pages.key_of_sweep(run_id))
        self._client = client
        self._experiment = experiment
        self._experiment_id = str(experiment.experiment_id)
        self._plan = plan
        self._points: list[str] = []  # ids of their runs
        self._reused: list[str] = []
        self._own: set[str] = set()  # ids of this sweep's points, as far as they were looked up
        self._logged_at: int | None = None

    def link(self, run_id: str) -> str:
        return f"#/experiments/{self._experiment_id}/runs/{run_id}?workflowType=machine_learning"

    @property
    def elsewhere(self) -> str | None:
        with raised_as(StoreUnusable, self._destination):
            tags: dict[str, str] = self._client.get_run(self.run_id).data.tags
            return tags.get(liveness.ELSEWHERE)

    def note_elsewhere(self, note: str | None) -> None:
        with raised_as(RecordingFailed, self._destination):
            if note is not None:
                self._client.set_tag(self.run_id, liveness.ELSEWHERE, note)
            elif self.elsewhere is not None:
                self._client.delete_tag(self.run_id, liveness.ELSEWHERE)

    def finished_points(self) -> dict[str, Finished]:
        with raised_as(StoreUnusable, self._destination):
            done: dict[str, Finished] = {}
            children = f"tags.mlflow.parentRunId = '{self.run_id}' and attributes.status = 'FINISHED'"
            for run in all_runs(self._client, [self._experiment_id], children):  # the newest first
                self._own.add(run.info.run_id)
                if is_whole(run, self._plan.metrics):
                    done.setdefault(run.data.tags.get("sweep.point", ""), finished(run))
            return self._reused_before() | done

    def _reused_before(self) -> dict[str, Finished]:
        """Points that an earlier part took from other runs, unless these were deleted since."""
        if not any(item.path == RESULTS for item in self._client.list_artifacts(self.run_id)):
            return {}
        with temporary_folder() as folder:  # MLflow would leave a copy in one of its own
            file = self._client.download_artifacts(self.run_id, RESULTS, folder)
            table = pd.read_csv(file, dtype={"key": str, "run_id": str})
        found = {}
        for key, run_id in table.loc[table["status"] == "reused", ["key", "run_id"]].itertuples(index=False):
            with suppress(MlflowException):
                run = self._client.get_run(run_id)
                usable = run.info.status == "FINISHED" and run.info.lifecycle_stage == "active"
                if usable and is_whole(run, self._plan.metrics):
                    found[str(key)] = finished(run)
        return found

    def finished(self, run_id: str) -> Finished | None:
        with raised_as(StoreUnusable, self._destination):
            run = find_run(self._client, run_id)
            return finished(run) if run and run.info.status == "FINISHED" else None

    def fail(self, run_id: str | None, failure: Failure) -> str:
        with raised_as(RecordingFailed, self._destination):
            run_id = run_id or self._left_open(failure.tags["sweep.point"])
            if run_id is None:
                tags = {**failure.tags, "mlflow.parentRunId": self.run_id, **self._destination.tags}
                run_id = str(create_run(self._client, self._experiment_id, failure.name, tags).run_id)
                log_params(self._client, run_id, failure.params)
            run = find_run(self._client, run_id)  # None: in another machine's store, which closes it
            if run and run.info.status != "FAILED":
                log_failure(self._client, run_id, failure.trace or failure.message, failure.overrides)
                close_run(self._client, run_id, "FAILED", failure.message)
            if run:
                self._client.log_batch(run_id, tags=tags_of({NOTE: failure.story}))
            return run_id

    def _left_open(self, point: str) -> str | None:
        """The run of a point whose worker was killed after it had opened it, before it could say so."""
        condition = f"tags.`sweep.point` = '{point}' and attributes.status = 'RUNNING'"
        for run in self._client.search_runs([self._experiment_id], condition):
            if run.data.tags.get("mlflow.parentRunId") == self.run_id and liveness.is_dead(run.data.tags):
                return str(run.info.run_id)
        return None

    def point_ended(self, run_id: str | None, reused: bool) -> None:
        if run_id is not None:
            self._points.append(run_id)
            self._reused += [run_id] if reused else []

    def log(self, metrics: dict[str, float], tags: dict[str, str], files: Path) -> None:
        with raised_as(RecordingFailed, self._destination):
            self._logged_at = int(time.time() * 1000)
            log_metrics(self._client, self.run_id, metrics, at=self._logged_at, tags=tags)
            self._client.log_artifacts(self.run_id, str(files))
            pages.share(self._client, self._experiment, [self._view()])

    def _view(self) -> pages.View:
        """The list of this sweep's points; by their ids where some are runs of another one."""
        points = list(dict.fromkeys(self._points))[: pages.NAMED]
        foreign = any(map(self._is_foreign, self._reused[: pages.NAMED]))
        return pages.of_sweep(self.run_id, self._plan.metrics, self._plan.swept, points if foreign else [])

    def _is_foreign(self, run_id: str) -> bool:
        if run_id in self._own:
            return False
        run = find_run(self._client, run_id)
        return run is None or run.data.tags.get("mlflow.parentRunId") != self.run_id

    def store_model(self, best: Finished, refit: Refit) -> None:
        with raised_as(RecordingFailed, self._destination):
            if self._client.get_run(self.run_id).data.tags.get(MODEL_OF) == best.run_id:
                return
            run = find_run(self._client, best.run_id)  # None: in another machine's store
            model_id = self._stored(run, refit)
            datasets = run.inputs.dataset_inputs if run and run.inputs else []
            if datasets:
                log_datasets(self._client, self.run_id, datasets)
            # at the same time as before, so that the run has each value once, now of this model on this table
            log_metrics(self._client, self.run_id, best.metrics, at=self._logged_at, **origin_of(model_id, datasets))
            self._client.set_tag(self.run_id, MODEL_OF, best.run_id)

    def _stored(self, best: Run | None, refit: Refit) -> str:
        """The id of a model of the sweep's own: a copy of the best run's, or what `refit` gives."""
        from boston_exp.tracking.mlflow import models  # imports mlflow.sklearn and skops: 0.5 s

        parent = self._client.get_run(self.run_id).info
        name, params = (best.info.run_name, best.data.params) if best else (self._plan.name, self._plan.params)
        for model in models_of(self._client, parent):  # of an earlier part, which was killed before it could say so
            if model.status == LoggedModelStatus.READY and model.params == params:
                return str(model.model_id)
            if model.status == LoggedModelStatus.FAILED:
                self._client.delete_logged_model(model.model_id)
        stored = stored_model(self._client, best) if best else None
        if stored is None:
            with refit() as outcome:
                fitted = replace(outcome, tags={NOTE: best.data.tags.get(NOTE, "") if best else ""})
                return models.save(self._client, parent, name, params, fitted)
        kept = {"name": stored.name, "tags": stored.tags, "params": stored.params}
        described = {**kept, "model_type": stored.model_type}
        place = get_artifact_repository(stored.artifact_location, tracking_uri=self._client.tracking_uri)
        with temporary_folder() as name, models.new_model(self._client, parent, **described) as (model, folder):
            copy_model(Path(place.download_artifacts("", name)), stored, model, folder)
        return str(model.model_id)
