"""What this room takes from inside of its libraries, with the reasons; tests/tracking/test_compat.py watches them."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any


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


def best_runs(path: Path, experiment: str, metric: str, descending: bool, top: int) -> list[dict[str, Any]]:
    """Ids and attributes of the FINISHED, active runs of an experiment that have the metric, the best first.

    Reads the tables of MLflow's schema directly, because its search sorts every run by a metric in a join of several
    seconds in a store of 10,000 runs; `latest_metrics` has (key, run_uuid) as its primary key.
    """
    order = "DESC" if descending else "ASC"
    return _query(
        path,
        "SELECT runs.run_uuid, runs.name, runs.status, runs.start_time, runs.end_time"  # noqa: S608
        " FROM latest_metrics AS best JOIN runs USING (run_uuid) JOIN experiments USING (experiment_id)"
        " WHERE best.key = ? AND NOT best.is_nan AND experiments.name = ?"
        " AND runs.status = 'FINISHED' AND runs.lifecycle_stage = 'active'"
        f" ORDER BY best.value {order}, runs.start_time, runs.run_uuid LIMIT ?",
        (metric, experiment, top),
    )


def values(path: Path, table: str, run_ids: list[str], keys: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Values of some keys of `params`, `tags` or `latest_metrics`, by run."""
    keys = list(keys)
    found: dict[str, dict[str, Any]] = {run_id: {} for run_id in run_ids}
    if keys and run_ids:
        marks = ",".join("?" * len(keys)), ",".join("?" * len(run_ids))
        value = "CASE WHEN is_nan THEN NULL ELSE value END AS value" if table == "latest_metrics" else "value"
        rows = _query(
            path,
            f"SELECT run_uuid, key, {value} FROM {table}"  # noqa: S608
            f" WHERE key IN ({marks[0]}) AND run_uuid IN ({marks[1]})",
            (*keys, *run_ids),
        )
        for row in rows:
            found[row["run_uuid"]][row["key"]] = math.nan if row["value"] is None else row["value"]
    return found


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


def _query(path: Path, statement: str, arguments: tuple[Any, ...]) -> list[dict[str, Any]]:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
    connection.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in connection.execute(statement, arguments)]
    finally:
        connection.close()
