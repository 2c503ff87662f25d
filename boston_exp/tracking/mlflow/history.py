"""The recorded runs of an experiment, read only: opening it creates nothing and closes nothing.

On a local sqlite store the ranking is one SQL query (compat.py); elsewhere, and for whole runs, it is MLflow's search.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from boston_exp.errors import StoreUnusable
from boston_exp.tracking import sqlite_store
from boston_exp.tracking.destination import Destination, foreign_place
from boston_exp.tracking.mlflow import compat
from boston_exp.tracking.mlflow.failures import raised_as
from boston_exp.tracking.mlflow.runs import COMPLETE, all_runs, find_run, stored_model, stored_models
from boston_exp.tracking.protocol import Columns, Finished, RecordedRun


class MlflowHistory:
    """Of one experiment in a sqlite file, a database or on a server; empty where there is no such experiment."""

    def __init__(self, destination: Destination, on_server: bool = False) -> None:
        if on_server:
            destination = replace(destination, uri=str(destination.server))
        self._on_server = on_server
        self._destination = destination
        self._path = path = destination.sqlite_path
        self._client: MlflowClient | None = None
        if path is None or (path.exists() and path.stat().st_size > 0):  # MLflow would create what is not there
            faults = sqlite_store.faults(path) if path is not None else []
            if faults:
                raise StoreUnusable(*faults)
            with raised_as(StoreUnusable, destination):
                self._client = MlflowClient(destination.uri)
        self._experiments: list[str] | None = None

    def best(self, metric: str, direction: str, top: int, columns: Columns) -> list[RecordedRun]:
        with raised_as(StoreUnusable, self._destination):
            if self._client is None:
                return []
            if self._path is not None:
                return self._best_in_sqlite(self._path, metric, direction, top, columns)
            order = f"metrics.`{metric}` {'DESC' if direction == 'maximize' else 'ASC'}"
            found = self._search("attributes.status = 'FINISHED'", [order, "start_time ASC"], top)
            ranked = [run for run in found if not math.isnan(run.data.metrics.get(metric, math.nan))]
            return [_recorded(run, columns) for run in ranked]

    def _best_in_sqlite(self, path: Path, metric: str, direction: str, top: int, columns: Columns) -> list[RecordedRun]:
        name = self._destination.experiment_name
        rows = compat.best_runs(path, name, metric, direction == "maximize", top)
        ids = [row["run_uuid"] for row in rows]
        params = compat.values(path, "params", ids, columns.params)
        metrics = compat.values(path, "latest_metrics", ids, columns.metrics)
        tags = compat.values(path, "tags", ids, columns.tags)
        return [
            RecordedRun(
                run_id=(run_id := row["run_uuid"]),
                name=row["name"] or "",
                status=row["status"],
                start_time=row["start_time"],
                end_time=row["end_time"],
                params=params[run_id],
                metrics=metrics[run_id],
                tags=tags[run_id],
            )
            for row in rows
        ]

    def run(self, run_id: str) -> RecordedRun | None:
        with raised_as(StoreUnusable, self._destination):
            run = find_run(self._client, run_id) if self._client else None
            return run and _recorded(run)

    def children(self, parent_id: str) -> list[RecordedRun]:
        with raised_as(StoreUnusable, self._destination):
            return [_recorded(run) for run in self._search(f"tags.mlflow.parentRunId = '{parent_id}'")]

    def models(self, run_id: str) -> list[str]:
        with raised_as(StoreUnusable, self._destination):
            run = find_run(self._client, run_id) if self._client else None
            return [f"models:/{model.model_id}" for model in stored_models(self._client, run)] if run else []

    def artifact(self, run_id: str, path: str, folder: Path) -> Path | None:
        with raised_as(StoreUnusable, self._destination):
            if self._client is None:
                return None
            server = self._destination.server if self._on_server else None
            wrong = server and foreign_place(self._client.get_run(run_id).info.artifact_uri, server)
            if wrong:
                raise MlflowException(f"the run {run_id} cannot be read from there: {wrong}")
            beside = path.rpartition("/")[0] or None
            if not any(item.path == path for item in self._client.list_artifacts(run_id, beside)):
                return None
            return Path(self._client.download_artifacts(run_id, path, str(folder)))

    def finished(self, fingerprint: str, with_model: bool, metrics: Sequence[str]) -> Finished | None:
        """The newest whole run with that fingerprint, as Tracker.find_finished says."""
        condition = f"tags.fingerprint = '{fingerprint}' and attributes.status = 'FINISHED'"
        for run in self._search(condition, top=20):
            published = COMPLETE in run.data.tags or not self._on_server
            if published and is_whole(run, metrics) and (not with_model or stored_model(self._client, run)):
                return finished(run)
        return None

    def _search(self, condition: str, order_by: list[str] | None = None, top: int | None = None) -> list[Run]:
        if self._client is None:
            return []
        if self._experiments is None:
            experiment = self._client.get_experiment_by_name(self._destination.experiment_name)
            if experiment is None:
                return []  # asked for again: it may be created
            self._experiments = [experiment.experiment_id]
        if top is None:
            return list(all_runs(self._client, self._experiments, condition, order_by))
        return list(self._client.search_runs(self._experiments, condition, max_results=top, order_by=order_by))


def is_whole(run: Run, metrics: Sequence[str]) -> bool:
    """Whether it has all of these metrics: what anybody wrote by hand is no result."""
    return set(metrics) <= run.data.metrics.keys()


def finished(run: Run) -> Finished:
    """As a result that can be reused."""
    return Finished(run.info.run_id, run.data.metrics)


def _recorded(run: Run, columns: Columns | None = None) -> RecordedRun:
    def chosen(values: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
        return {name: values[name] for name in names if name in values}

    data, info = run.data, run.info
    return RecordedRun(
        run_id=info.run_id,
        name=info.run_name or "",
        status=info.status,
        start_time=info.start_time,
        end_time=info.end_time,
        params=data.params if columns is None else chosen(data.params, columns.params),
        metrics=data.metrics if columns is None else chosen(data.metrics, columns.metrics),
        tags=data.tags if columns is None else chosen(data.tags, columns.tags),
    )
