"""What this room takes from inside of its libraries, with the reasons; tests/tracking/test_compat.py watches them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.store.tracking import sqlalchemy_store
from mlflow.store.tracking.dbmodels.models import (
    SqlLatestMetric,
    SqlLoggedModel,
    SqlMetric,
    SqlRun,
    SqlTag,
)
from mlflow.utils.search_utils import SearchUtils
from mlflow.utils.validation import _validate_batch_log_data
from sqlalchemy import func, select

from boston_exp import process


def leave_out_slow_steps() -> None:
    """Replace two functions, for want of a switch, before models are stored (docs/decisions/0002-skops.md).

    - skops indents its schema, which makes Python's json fall back from C to Python code: a third of the time that a
      forest's dump takes, and of its file. Any skops reads the compact one.
    - MLflow checks whether the environment meets the model's requirements, which were read from this environment: 0.2 s
      a process, 0.007 s a model.
    """
    import mlflow.utils.environment
    import skops.io

    skops.io._persist.json = SimpleNamespace(dumps=lambda state, **how: json.dumps(state))
    mlflow.utils.environment.warn_dependency_requirement_mismatches = lambda requirements: None


def validated(
    metrics: Sequence[Metric], params: Sequence[Param], tags: Sequence[RunTag]
) -> tuple[Sequence[Metric], list[Param], list[RunTag]]:
    """Checked as MLflow checks what it is given: names and lengths. Raises MlflowException."""
    checked: tuple[Sequence[Metric], list[Param], list[RunTag]] = _validate_batch_log_data(metrics, params, tags)
    return checked


def page_from(offset: int) -> str | None:
    """The token of the page of a search that begins at this run: with it, runs can be counted without reading them.

    MLflow has no count, and gives a token only with the page before. Any store of 3.17 reads this one.
    """
    return SearchUtils.create_page_token(offset).decode() if offset else None


def to_publish(path: Path, server: str, server_id: str, experiment: str, top: int) -> tuple[list[str], int]:
    """The oldest ended runs that have to be published to a server: those that are pending for it, those of the
    experiment that went to another one at its address, and those whose creation is in doubt, which are to be looked at
    again. And how many there are that are not there.

    In SQL, because MLflow's search reads every run that it counts: 7 s for 10,000.
    """
    rows = _query(
        path,
        "SELECT runs.run_uuid,"
        " SUM(server.value = ? AND (state.value = 'pending' OR COALESCE(its.value <> ?, 0))) OVER () AS missing"
        " FROM runs JOIN experiments USING (experiment_id)"
        " LEFT JOIN tags AS server ON server.run_uuid = runs.run_uuid AND server.key = 'sync.server'"
        " LEFT JOIN tags AS state ON state.run_uuid = runs.run_uuid AND state.key = 'sync.state'"
        " LEFT JOIN tags AS its ON its.run_uuid = runs.run_uuid AND its.key = 'sync.server_id'"
        " LEFT JOIN tags AS doubt ON doubt.run_uuid = runs.run_uuid AND doubt.key = ?"
        " WHERE runs.status <> 'RUNNING' AND runs.lifecycle_stage = 'active' AND (doubt.value IS NOT NULL"
        " OR (server.value = ? AND (state.value = 'pending' OR (its.value <> ? AND experiments.name = ?))))"
        " ORDER BY runs.start_time, runs.run_uuid LIMIT ?",
        (server, server_id, f"sync.in_doubt.{server_id}", server, server_id, experiment, top),
    )
    return [row["run_uuid"] for row in rows], int(rows[0]["missing"] or 0) if rows else 0


def best_ids(uri: str, experiments: list[str], where: str, metric: str, descending: bool, top: int) -> list[str]:
    """Ids of the best runs that meet a condition, in a database.

    MLflow's search sorts every run by the metric in an outer join, 4 s in a store of 10,000 runs, and reads the params,
    metrics and tags of those that it gives. This takes its conditions and an index of `latest_metrics`.
    """
    value = SqlLatestMetric.value
    with store(uri).ManagedSessionMaker() as session:
        chosen = _selected(uri, session, experiments, where, ("active",)).join(
            SqlLatestMetric, SqlLatestMetric.run_uuid == SqlRun.run_uuid
        )
        chosen = chosen.where(SqlLatestMetric.key == metric, SqlLatestMetric.is_nan.is_(False))
        order = value.desc() if descending else value.asc()
        return list(session.execute(chosen.order_by(order, SqlRun.start_time, SqlRun.run_uuid).limit(top)).scalars())


def number_of(uri: str, experiments: list[str], where: str) -> int:
    """How many runs of a database meet a condition, deleted ones included; MLflow's search has no count."""
    with store(uri).ManagedSessionMaker() as session:
        chosen = _selected(uri, session, experiments, where, ("active", "deleted")).subquery()
        return int(session.execute(select(func.count()).select_from(chosen)).scalar_one())


def _selected(uri: str, session: Any, experiments: list[str], where: str, stages: tuple[str, ...]) -> Any:
    """The select of run ids that MLflow's search makes of a condition."""
    parsed, dialect = SearchUtils.parse_search_filter(where), store(uri)._get_dialect()
    attributes, joins, datasets = sqlalchemy_store._get_sqlalchemy_filter_clauses(parsed, session, dialect)
    chosen = select(SqlRun.run_uuid)
    for each in joins:
        chosen = chosen.join(each)
    for each in datasets:
        chosen = chosen.join(each, SqlRun.run_uuid == each.c.destination_id)
    places = [int(experiment) for experiment in experiments]
    return chosen.where(SqlRun.experiment_id.in_(places), SqlRun.lifecycle_stage.in_(stages), *attributes)


def listed(uri: str, experiments: list[str], where: str, wanted: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    """Id, experiment's id, status, end, wanted tags of runs of a database that meet a condition, the oldest first.

    MLflow's search gives whole runs: 2-4 ms for each.
    """
    with store(uri).ManagedSessionMaker() as session:
        chosen = _selected(uri, session, experiments, where, ("active",))
        chosen = chosen.add_columns(SqlRun.experiment_id, SqlRun.status, SqlRun.end_time)
        chosen = chosen.order_by(SqlRun.start_time, SqlRun.run_uuid)
        ids = _selected(uri, session, experiments, where, ("active",))
        tags: dict[str, dict[str, str]] = {}
        asked = select(SqlTag.run_uuid, SqlTag.key, SqlTag.value).where(
            SqlTag.key.in_(wanted), SqlTag.run_uuid.in_(ids)
        )
        for run_id, key, value in session.execute(asked):
            tags.setdefault(run_id, {})[key] = value
        for run_id, experiment_id, status, end_time in session.execute(chosen).all():
            yield run_id, str(experiment_id), status, end_time, tags.get(run_id, {})


def locations(uri: str, run_ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Ids of these runs and of their models, and where a database says that their files are; MLflow's client reads
    whole runs for it."""
    with store(uri).ManagedSessionMaker() as session:
        for first in range(0, len(run_ids), 500):
            some = run_ids[first : first + 500]
            for owner, place, run_id in (
                (SqlRun.run_uuid, SqlRun.artifact_uri, SqlRun.run_uuid),
                (SqlLoggedModel.model_id, SqlLoggedModel.artifact_location, SqlLoggedModel.source_run_id),
            ):
                yield from map(tuple, session.execute(select(owner, place).where(run_id.in_(some))))


def metrics_of(uri: str, run_id: str) -> list[Metric]:
    """Every value of every metric of a run in a database; MLflow's client asks for one metric after the other."""
    with store(uri).ManagedSessionMaker() as session:
        found = session.query(SqlMetric).filter(SqlMetric.run_uuid == run_id).all()
        return [metric.to_mlflow_entity() for metric in found]


def models_of(uri: str, run_id: str) -> list[tuple[str, str]]:
    """Id and location of every model of a run in a database; MLflow's own search leaves out deleted ones."""
    with store(uri).ManagedSessionMaker() as session:
        found = session.query(SqlLoggedModel).filter(SqlLoggedModel.source_run_id == run_id).all()
        return [(model.model_id, model.artifact_location) for model in found]


def ids_in(path: Path) -> set[str]:
    """Of every run and model in an sqlite store, deleted ones included; none in another program's file.

    Raises sqlite3.Error for a store that cannot be read now: nobody may take that for an empty one.
    """
    try:
        rows = _query(path, "SELECT run_uuid AS id FROM runs UNION SELECT model_id FROM logged_models", ())
    except sqlite3.DatabaseError as error:
        if "no such table" in str(error) or "not a database" in str(error):
            return set()
        raise
    return {row["id"] for row in rows}


def may_have(path: Path, fingerprint: str) -> bool:
    """Whether an sqlite store may have a run of that fingerprint; costs what was written since the last question.

    No index of MLflow's leads from a tag's value to its runs: its search reads that tag of all runs, 12 ms of 10,000.
    """
    last, known = _fingerprints.setdefault(path, (0, set()))
    by_row = "+" if last else ""  # which keeps sqlite from using its index of keys, once few rows are new
    rows = _query(path, f"SELECT rowid, value FROM tags WHERE rowid > ? AND {by_row}key = 'fingerprint'", (last,))  # noqa: S608
    known.update(row["value"] for row in rows)
    _fingerprints[path] = max((row["rowid"] for row in rows), default=last), known
    return fingerprint in known


_fingerprints: dict[Path, tuple[int, set[str]]] = {}  # by store: the last row that was read, and all so far
process.on_reset(_fingerprints.clear)


def remove_model(uri: str, model_id: str) -> None:
    """Remove a model from a database; with `remove_run` what `mlflow gc` does, for this one alone."""
    store(uri)._hard_delete_logged_model(model_id)


def remove_run(uri: str, run_id: str) -> None:
    """Remove a run from a database: MLflow's client can only mark it as deleted."""
    store(uri)._hard_delete_run(run_id)


def store(uri: str) -> Any:
    """MLflow's store on a database, with its sessions."""
    return MlflowClient(uri)._tracking_client.store


def _query(path: Path, statement: str, arguments: tuple[Any, ...]) -> list[dict[str, Any]]:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
    connection.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in connection.execute(statement, arguments)]
    finally:
        connection.close()
