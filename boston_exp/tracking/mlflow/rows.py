"""A run's rows in a database, in three transactions: what is planned, what came out, how it ended.

MLflow's client makes seven calls of it, with fifteen commits and an object for each row: 30 ms of CPU, more than it
takes to fit and score a small model on five folds. The tables, the sessions and the checks of names and values are
MLflow's own; tests/tracking/test_rows.py compares every row with those that the client writes.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import DatasetInput, LifecycleStage, Metric, Param, RunInfo, RunStatus, RunTag, SourceType
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.dbmodels.models import (
    SqlDataset,
    SqlExperiment,
    SqlInput,
    SqlInputTag,
    SqlLatestMetric,
    SqlMetric,
    SqlParam,
    SqlRun,
    SqlTag,
)
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME, MLFLOW_USER
from mlflow.utils.uri import append_to_uri_path
from sqlalchemy import Table, select

from boston_exp.tracking.mlflow import compat
from boston_exp.tracking.mlflow.failures import written_meanwhile

RUNS, TAGS, PARAMS, METRICS, LATEST, EXPERIMENTS, DATASETS, INPUTS, INPUT_TAGS = (
    kind.__table__
    for kind in (
        SqlRun, SqlTag, SqlParam, SqlMetric, SqlLatestMetric, SqlExperiment, SqlDataset, SqlInput, SqlInputTag
    )
)  # fmt: skip


def begin(
    client: MlflowClient, experiment_id: str, run_id: str, name: str, tags: Sequence[RunTag], params: Sequence[Param],
    data: DatasetInput,
) -> RunInfo:  # fmt: skip
    """Open a run, under this new id, that has all of these from its first moment on. Raises MlflowException, and leaves
    nothing."""
    _, params, tags = compat.validated((), params, [*tags, RunTag(MLFLOW_RUN_NAME, name)])
    try:
        return _begin(client, int(experiment_id), run_id, name, tags, params, data)
    except MlflowException as error:  # another process was adding the same data set: it is there now
        if not written_meanwhile(error):
            raise
        return _begin(client, int(experiment_id), run_id, name, tags, params, data)


def _begin(
    client: MlflowClient, experiment_id: int, run_id: str, name: str, tags: Sequence[RunTag], params: Sequence[Param],
    data: DatasetInput,
) -> RunInfo:  # fmt: skip
    input_id = uuid.uuid4().hex
    with compat.store(client.tracking_uri).ManagedSessionMaker(read_only=False) as session:
        its = (EXPERIMENTS.c.artifact_location, EXPERIMENTS.c.lifecycle_stage)
        place, stage = session.execute(select(*its).where(EXPERIMENTS.c.experiment_id == experiment_id)).one()
        if stage != LifecycleStage.ACTIVE:
            raise MlflowException(f"The experiment {experiment_id} must be in the 'active' state. It is {stage}.")
        described = {
            "run_uuid": run_id,
            "name": name,
            "artifact_uri": append_to_uri_path(place, run_id, "artifacts"),
            "experiment_id": experiment_id,
            "source_type": SourceType.to_string(SourceType.UNKNOWN),
            "source_name": "",
            "entry_point_name": "",
            "user_id": next((tag.value for tag in tags if tag.key == MLFLOW_USER), "unknown"),
            "status": RunStatus.to_string(RunStatus.RUNNING),
            "start_time": int(time.time() * 1000),
            "source_version": "",
            "lifecycle_stage": LifecycleStage.ACTIVE,
        }
        session.execute(RUNS.insert(), described)
        _insert(session, TAGS, run_id, tags)
        _insert(session, PARAMS, run_id, params)
        dataset_id = _dataset(session, experiment_id, data)
        edge = {"source_type": "DATASET", "source_id": dataset_id, "destination_type": "RUN", "destination_id": run_id}
        session.execute(INPUTS.insert(), edge | {"input_uuid": input_id})
        words = [{"input_uuid": input_id, "name": tag.key, "value": tag.value} for tag in data.tags or ()]
        if words:
            session.execute(INPUT_TAGS.insert(), words)
    info: RunInfo = SqlRun(**described).to_mlflow_entity().info
    return info


def _dataset(session: Any, experiment_id: int, data: DatasetInput) -> str:
    """The id of a data set in an experiment, which is added where it is new there."""
    dataset = data.dataset
    known = {"experiment_id": experiment_id, "name": dataset.name, "digest": dataset.digest}
    found = session.execute(select(DATASETS.c.dataset_uuid).filter_by(**known)).scalar()
    if found is None:
        found = uuid.uuid4().hex
        more = {"dataset_source_type": dataset.source_type, "dataset_source": dataset.source}
        more |= {"dataset_schema": dataset.schema, "dataset_profile": dataset.profile, "dataset_uuid": found}
        session.execute(DATASETS.insert(), known | more)
    return str(found)


def log(client: MlflowClient, run_id: str, metrics: Mapping[str, float], tags: Sequence[RunTag]) -> None:
    """Metrics that the run does not have yet, and tags, which take the place of those that it has."""
    now, store = int(time.time() * 1000), compat.store(client.tracking_uri)
    values, _, tags = compat.validated([Metric(key, value, now, 0) for key, value in metrics.items()], (), tags)
    rows = []
    for metric in values:
        is_nan, value = store.sanitize_metric_value(float(metric.value))
        row = {"run_uuid": run_id, "key": metric.key, "value": value, "timestamp": now, "step": 0, "is_nan": is_nan}
        rows.append(row)
    with store.ManagedSessionMaker(read_only=False) as session:
        _check_active(session, run_id)
        if rows:
            session.execute(METRICS.insert(), rows)
            session.execute(LATEST.insert(), rows)
        _remove(session, run_id, [tag.key for tag in tags])
        _insert(session, TAGS, run_id, tags)


def finish(client: MlflowClient, run_id: str, forgotten: Sequence[str]) -> None:
    """End a run as FINISHED, and remove these tags of an open one."""
    ended = {"status": RunStatus.to_string(RunStatus.FINISHED), "end_time": int(time.time() * 1000)}
    with compat.store(client.tracking_uri).ManagedSessionMaker(read_only=False) as session:
        _check_active(session, run_id)
        session.execute(RUNS.update().where(RUNS.c.run_uuid == run_id), ended)
        _remove(session, run_id, forgotten)


def _check_active(session: Any, run_id: str) -> None:
    stage = session.execute(select(RUNS.c.lifecycle_stage).where(RUNS.c.run_uuid == run_id)).scalar()
    if stage != LifecycleStage.ACTIVE:
        raise MlflowException(f"The run {run_id} must be in the 'active' state. It is {stage or 'gone'}.")


def _insert(session: Any, table: Table, run_id: str, pairs: Iterable[Param | RunTag]) -> None:
    rows = [{"run_uuid": run_id, "key": pair.key, "value": pair.value} for pair in pairs]
    if rows:
        session.execute(table.insert(), rows)


def _remove(session: Any, run_id: str, tags: Sequence[str]) -> None:
    session.execute(TAGS.delete().where(TAGS.c.run_uuid == run_id, TAGS.c.key.in_(tags)))
