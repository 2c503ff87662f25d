"""`leaderboard` on real records: what is ranked with what, what is marked, what is said."""

from __future__ import annotations

import csv
import io
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from boston_exp.experiment.metrics import METRICS
from boston_exp.lifecycle.evidence import out_of_fold_losses
from tests.conftest import ROOT, Command

Runs = Callable[[str], list[Run]]
Json = Callable[..., dict[str, Any]]


def boston(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["target"] == "MEDV" and row["ranked_by"].startswith("cv_")]


def test_runs_are_ranked_by_their_folds_seeds_are_one_and_sweeps_are_none(as_json: Json, runs: Runs) -> None:
    rows = boston(as_json("leaderboard")["runs"])
    points = runs(
        "tags.`split.digest` IS NOT NULL and params.`data.target` = 'MEDV' and params.`evaluation.n_splits` = '5'"
    )
    seeds = [run for run in points if run.data.params["model._target_"].endswith("ExtraTreesRegressor")]
    assert len(points) == 9
    assert len(rows) == 7  # three seeds are one; neither the reused points nor the parents count again
    assert [row["score"] for row in rows] == sorted(row["score"] for row in rows)
    assert [row["rank"] for row in rows] == list(range(1, 8))
    (entry,) = [row for row in rows if row["seeds"] == 3]
    scores = [run.data.metrics["cv_rmse"] for run in seeds]
    assert (entry["score"], entry["seed_spread"]) == pytest.approx((np.mean(scores), np.std(scores, ddof=1)))
    assert entry["held_out"] == pytest.approx(np.mean([run.data.metrics["rmse"] for run in seeds]))
    single = next(run for run in points if run.info.run_id == rows[-1]["run_id"])
    names = ("rmse", "rmse_ci_low", "rmse_ci_high", "cv_rmse_std")
    told = [rows[-1][key] for key in ("held_out", "held_out_low", "held_out_high", "fold_spread")]
    assert told == pytest.approx([single.data.metrics[name] for name in names])


def test_other_data_and_runs_without_folds_have_tables_of_their_own(command: Command, afternoon: Path) -> None:
    result = command(program="leaderboard")
    assert result.code == 0, result.err
    heads = [line for line in result.out.splitlines() if "rows to train on" in line and "held out (split" in line]
    assert len(heads) == 3
    assert heads[0].startswith("diabetes")  # the newest of those with folds
    assert "404 rows to train on in 5 folds, 102 held out" in heads[1]
    assert "404 rows to train on, 102 held out" in heads[2]
    assert "Ranked by the held-out rows, since these runs have no folds" in result.out
    assert result.out.count("10 runs have consulted these held-out rows") == 2  # with folds and without
    assert "1 run has consulted these held-out rows" in result.out


def test_what_rows_contribute_is_what_is_ranked(runs: Runs, afternoon: Path) -> None:
    client = MlflowClient(f"sqlite:///{afternoon}")
    for run in runs("metrics.cv_rmse > 0 and tags.`split.digest` IS NOT NULL")[:3]:
        table = pd.read_csv(client.download_artifacts(run.info.run_id, "out_of_fold.csv"))
        for metric in METRICS:
            sign = -1 if metric.direction == "maximize" else 1
            assert out_of_fold_losses(table, metric).mean() == pytest.approx(
                sign * run.data.metrics[f"cv_{metric.name}"]
            )


def test_the_best_is_marked_and_what_is_clearly_worse_is_not(as_json: Json, afternoon: Path) -> None:
    rows = boston(as_json("leaderboard")["runs"])
    assert rows[0]["like_the_best"] is True
    assert rows[-1]["name"] == "knn"
    assert rows[-1]["like_the_best"] is False


def test_a_metric_that_is_to_be_large_is_ranked_from_the_largest(as_json: Json, afternoon: Path) -> None:
    rows = boston(as_json("leaderboard", "metric=cv_r2_score", "top=3")["runs"])
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    assert rows[0]["like_the_best"] is True
    assert len(rows) == 3


def test_filter_sweep_and_experiments_choose(as_json: Json, runs: Runs, command: Command) -> None:
    few = as_json("leaderboard", "filter='metrics.cv_rmse < 4.5 and params.`model.n_estimators` = \"10\"'")["runs"]
    assert few
    assert all(row["score"] < 4.5 for row in few)
    parents = {run.info.run_name: run for run in runs("tags.`sweep.key` IS NOT NULL")}
    reusing = runs("tags.`sweep.key` IS NOT NULL and params.`model.n_estimators` = '5,10'")[0]
    assert len(parents) >= 2
    rows = as_json("leaderboard", f"sweep={reusing.info.run_id[:10]}")["runs"]
    assert len(rows) == 2  # both reused from the first sweep
    ridge = runs("params.`data.target` = 'MEDV' and tags.model_type = 'Ridge'")[0].info.run_id
    for overrides, says in (
        ((f"sweep={ridge}",), "is not a sweep's run"),
        (("experiments=[boston-houzing]",), "Did you mean 'boston-housing'?"),
        (("filter='metrics.rmse <'",), "cannot read the condition"),
        (("metric=rmze",), "Did you mean 'rmse'?"),
        (("top=0",), "top=0 is not possible"),
        (("filter='metrics.rmse < 0'",), "No finished run with rmse meets metrics.rmse < 0"),
        (("format=xml",), "format=xml is not possible"),
    ):
        result = command(*overrides, program="leaderboard")
        assert result.code == 2
        assert says in result.err
        assert "Traceback" not in result.err
    named = as_json("leaderboard", "experiments=[boston-housing,Default]")["runs"]
    assert named


def test_csv_and_markdown_have_a_row_a_run(command: Command, afternoon: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(command("format=csv", program="leaderboard").out)))
    assert len(rows) == 9
    assert rows[0].keys() >= {"rank", "run_id", "score", "fold_spread", "held_out_low", "data.md5", "commit"}
    lines = command("format=markdown", program="leaderboard").out.splitlines()
    assert len(lines) == 11
    assert {line.count(" | ") for line in lines} == {lines[0].count(" | ")}


def test_records_that_say_less_are_told_of(command: Command, afternoon: Path, runs: Runs) -> None:
    """Of version 1, without a split; without this metric; without out-of-fold predictions that can be read."""
    ridge, knn, tree = (
        runs(f"params.`data.target` = 'MEDV' and tags.model_type = '{kind}' and params.`evaluation.n_splits` = '5'")[0]
        for kind in ("Ridge", "KNeighborsRegressor", "RandomForestRegressor")
    )
    with sqlite3.connect(afternoon) as connection:
        connection.execute("DELETE FROM tags WHERE key = 'split.digest' AND run_uuid = ?", (ridge.info.run_id,))
        connection.execute("DELETE FROM latest_metrics WHERE key = 'cv_rmse' AND run_uuid = ?", (knn.info.run_id,))
        connection.execute("UPDATE runs SET artifact_uri = 'file:///absent' WHERE run_uuid = ?", (tree.info.run_id,))
    connection.close()
    result = command(program="leaderboard")
    assert result.code == 0, result.err
    assert "1 more runs do not say which rows they were scored on" in result.out
    assert f"python -m boston_exp.run tracking.uri=sqlite:///{afternoon} base={ridge.info.run_id}" in result.out
    assert "1 runs of this group have no cv_rmse" in result.out
    assert "? 1 without out-of-fold predictions" in result.out


def test_one_record_that_is_broken_does_not_take_the_others(
    command: Command, as_json: Json, afternoon: Path, runs: Runs, tmp_path: Path
) -> None:
    """Out-of-fold tables with other rows, without folds, with words; no unit; no number of folds."""
    client = MlflowClient(f"sqlite:///{afternoon}")
    broken = runs("params.`data.target` = 'MEDV' and metrics.cv_rmse > 0 and tags.`split.digest` IS NOT NULL")[:4]
    table = pd.read_csv(client.download_artifacts(broken[0].info.run_id, "out_of_fold.csv"))
    wrong = (table.iloc[1:], table.drop(columns="fold"), table.assign(predicted="abc"), table.iloc[:0])
    with sqlite3.connect(afternoon) as connection:
        for number, (run, rows) in enumerate(zip(broken, wrong, strict=True)):
            place = tmp_path / f"broken{number}"
            place.mkdir()
            rows.to_csv(place / "out_of_fold.csv", index=False)
            connection.execute("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", (place.as_uri(), run.info.run_id))
        ridge = runs("tags.model_type = 'Ridge' and params.`data.target` = 'target'")[0].info.run_id
        connection.execute("DELETE FROM params WHERE key = 'data.target_unit' AND run_uuid = ?", (ridge,))
        connection.execute(
            "UPDATE params SET value = 'many' WHERE key = 'evaluation.n_splits' AND run_uuid = ?", (ridge,)
        )
    connection.close()
    result = command(program="leaderboard")
    assert result.code == 0, result.err
    assert re.search(r"\? \d without out-of-fold predictions", result.out)
    rows = as_json("leaderboard")["runs"]
    assert any(row["run_id"] == ridge and row["ranked_by"] == "rmse" for row in rows)


def test_nothing_is_cut_on_a_narrow_terminal(afternoon: Path, tmp_path: Path) -> None:
    """A real terminal of 100 columns."""
    where = f"tracking.uri=sqlite:///{afternoon}"
    shown = subprocess.run(
        ["script", "-qec", f"stty cols 100; {sys.executable} -m boston_exp.leaderboard {where}", "/dev/null"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "max_depth=None" in shown
    assert "random_forest" in shown
    ids = [line.split()[-1] for line in shown.splitlines() if re.match(r"\d+ [ ≈?]  ", line.strip())]
    assert ids
    assert [each for each in ids if not re.fullmatch(r"[0-9a-f]{8}", each)] == [], shown


def test_nothing_to_rank_is_said(command: Command, tmp_path: Path) -> None:
    result = command(program="leaderboard")
    assert (result.code, result.out) == (2, "")
    assert "There is no finished run here" in result.err
    assert "python -m boston_exp.run" in result.err
    absent = command(f"tracking.uri=sqlite:///{tmp_path}/absent.db", program="leaderboard")
    assert absent.code == 2
    assert not (tmp_path / "absent.db").exists()
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()
    refused = command(f"tracking.uri=sqlite:///{other}", program="leaderboard")
    assert refused.code == 2
    assert "other.db" in refused.err
    away = command("tracking.uri=http://127.0.0.1:9", program="leaderboard")
    assert away.code == 2
    assert "http://127.0.0.1:9 cannot be used" in away.err
    assert "python -m boston_exp.leaderboard" in away.err
