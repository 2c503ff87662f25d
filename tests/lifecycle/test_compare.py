"""`compare` on real records: the verdict in a sentence, what is refused, the report as a browser shows it."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from scipy import stats

from tests.conftest import Command

Runs = Callable[[str], list[Run]]
Json = Callable[..., dict[str, Any]]
WITH_FOLDS = "params.`data.target` = 'MEDV' and params.`evaluation.n_splits` = '5' and tags.model_type = "


@pytest.fixture
def pair(runs: Runs) -> tuple[Run, Run]:
    return runs(f"{WITH_FOLDS}'Ridge'")[0], runs(f"{WITH_FOLDS}'KNeighborsRegressor'")[0]


def test_the_difference_is_that_of_the_held_out_scores_and_its_interval_is_paired(
    as_json: Json, pair: tuple[Run, Run], afternoon: Path
) -> None:
    a, b = pair
    found = as_json("compare", f"runs=[{a.info.run_id},{b.info.run_id}]", "metric=mae")
    (row,) = found["pairs"]
    client = MlflowClient(f"sqlite:///{afternoon}")
    tables = [pd.read_csv(client.download_artifacts(run.info.run_id, "predictions.csv")) for run in pair]
    errors = [(table["actual"] - table["predicted"]).abs() for table in tables]
    theirs = stats.ttest_rel(*errors)
    interval = theirs.confidence_interval()
    assert row["difference"] == pytest.approx(a.data.metrics["mae"] - b.data.metrics["mae"])
    assert (row["low"], row["high"], row["p"]) == pytest.approx((interval.low, interval.high, theirs.pvalue))
    assert row["folds_difference"] == pytest.approx(a.data.metrics["cv_mae"] - b.data.metrics["cv_mae"])
    assert sum(row[f"probability_{each}"] for each in ("a_better", "same", "b_better")) == pytest.approx(1)
    assert row["rope"] == pytest.approx(0.01 * a.data.metrics["mae"])
    kinds = {each["kind"] for each in found["differences"]}
    assert "parameter" in kinds
    assert not kinds & {"data", "code", "version"}


def test_the_verdict_is_a_sentence_with_numbers_and_a_unit(command: Command, runs: Runs, pair: tuple[Run, Run]) -> None:
    result = command(f"runs=[{pair[0].info.run_id[:12]},best]", program="compare")
    assert result.code == 0, result.err
    pattern = (
        r"extra_trees n_estimators=5 is better than ridge by NUMBER thousand USD of RMSE, 95 % interval NUMBER to "
    )
    assert re.search(pattern.replace("NUMBER", r"[\d.]+"), result.out), result.out
    points = runs(f"{WITH_FOLDS}'RandomForestRegressor' and params.`model.max_depth` = 'None'")
    same = command(f"runs=[{points[0].info.run_id},{points[1].info.run_id}]", program="compare")
    assert re.search(
        r"No difference between .* can be shown on 102 held-out rows; one below [\d.]+ thousand USD", same.out
    )
    assert re.search(r"\(\d+ %\) would probably be missed", same.out)
    assert "came out of a sweep and may have been chosen by these folds" in same.out


def test_more_than_two_are_corrected_for_and_without_folds_it_is_these_fitted_models(
    as_json: Json, runs: Runs, pair: tuple[Run, Run]
) -> None:
    held_out = runs(
        "params.`data.target` = 'MEDV' and params.`evaluation.n_splits` = '0' and attributes.status = 'FINISHED'"
    )[0]
    ids = ",".join(run.info.run_id for run in (*pair, held_out))
    rows = as_json("compare", f"runs=[{ids}]")["pairs"]
    assert len(rows) == 3
    assert all(row["p_holm"] >= row["p"] for row in rows)
    assert [row["rope"] for row in rows] == pytest.approx([0.01 * pair[0].data.metrics["rmse"]] * 3)
    assert "after Holm's correction for 3 pairs" in rows[0]["verdict"]
    same_model = rows[1]  # ridge with folds and without: the same predictions
    assert (same_model["difference"], same_model["better"], same_model["folds_p"]) == (0, None, None)
    assert "These two fitted models were compared" in same_model["verdict"]
    assert "These two" not in rows[0]["verdict"]


def test_r2_differs_in_its_own_direction(as_json: Json, pair: tuple[Run, Run]) -> None:
    a, b = pair
    (row,) = as_json("compare", f"runs=[{a.info.run_id},{b.info.run_id}]", "metric=r2_score")["pairs"]
    assert row["difference"] == pytest.approx(a.data.metrics["r2_score"] - b.data.metrics["r2_score"])
    assert row["low"] < row["difference"] < row["high"]


def test_what_cannot_be_compared_is_refused_with_the_reason(
    command: Command, runs: Runs, pair: tuple[Run, Run], afternoon: Path
) -> None:
    ridge, knn = (run.info.run_id for run in pair)
    diabetes = runs("params.`data.target` = 'target'")[0].info.run_id
    failed = runs("attributes.status = 'FAILED'")[0].info.run_id
    parent = runs("tags.`sweep.key` IS NOT NULL")[0].info.run_id
    for overrides, says in (
        (f"runs=[{ridge},{diabetes}]", "they differ in data version"),
        (f"runs=[{ridge},{failed}]", "is FAILED: it has no scores to compare"),
        (f"runs=[{ridge},{parent}]", "is a sweep's run, not a model's: its best point is"),
        (f"runs=[{ridge}]", "compare takes two runs or more"),
        (f"runs=[{ridge},{ridge[:20]}]", "was named twice"),
        (f"runs=[{ridge},zz]", "no run here has an id that begins so"),
        (f"runs=[{ridge},'models:/absent@champion']", "names no registered model"),
    ):
        result = command(overrides, program="compare")
        assert result.code == 2
        assert says in result.err
        assert "Traceback" not in result.err
    missing = command(program="compare")
    assert missing.code == 2
    assert "runs has no value" in missing.err
    with sqlite3.connect(afternoon) as connection:
        connection.execute("DELETE FROM tags WHERE key = 'split.digest' AND run_uuid = ?", (ridge,))
        connection.execute("UPDATE runs SET artifact_uri = 'file:///absent' WHERE run_uuid = ?", (knn,))
    connection.close()
    old = command(f"runs=[{ridge},{diabetes}]", program="compare")
    assert "is a record of version 1" in old.err
    assert f"python -m boston_exp.run tracking.uri=sqlite:///{afternoon} base={ridge}" in old.err
    point, other = (run.info.run_id for run in runs(f"{WITH_FOLDS}'RandomForestRegressor'")[:2])
    with sqlite3.connect(afternoon) as connection:
        connection.execute("DELETE FROM latest_metrics WHERE key = 'rmse' AND run_uuid = ?", (other,))
    connection.close()
    assert f"{other} (" in command(f"runs=[{point},{other}]", program="compare").err
    assert "has no rmse" in command(f"runs=[{point},{other}]", program="compare").err
    assert "has no predictions.csv" in command(f"runs=[{knn},{point}]", program="compare").err


def test_a_registered_model_is_a_run(command: Command, pair: tuple[Run, Run], afternoon: Path) -> None:
    client = MlflowClient(f"sqlite:///{afternoon}")
    client.create_registered_model("boston-housing")
    version = client.create_model_version("boston-housing", "x", run_id=pair[0].info.run_id)
    client.set_registered_model_alias("boston-housing", "champion", version.version)
    for name in ("models:/boston-housing@champion", "models:/boston-housing/1"):
        result = command(f"runs=['{name}',{pair[1].info.run_id}]", program="compare")
        assert result.code == 0, result.err
        assert pair[0].info.run_id[:8] in result.out


def test_the_report_is_one_file_that_loads_nothing_and_a_browser_shows(
    command: Command, pair: tuple[Run, Run], tmp_path: Path
) -> None:
    ids = ",".join(run.info.run_id for run in pair)
    result = command(f"runs=[{ids}]", "report=reports/compare.html", program="compare")
    assert result.code == 0, result.err
    report = tmp_path / "reports" / "compare.html"
    text = report.read_text()
    assert not re.search(r"<script|<link|<img|src=|@import|url\((?!#)", text)
    assert [each.name for each in report.parent.iterdir()] == ["compare.html"]
    for heading in (
        "Error against error",
        "Difference over the target",
        "Over groups of CHAS",
        "Over groups of RM",
        "What differs",
    ):
        assert heading in text
    for place in (f"{report}/x.html", str(report.parent)):
        refused = command(f"runs=[{ids}]", f"report={place}", program="compare")
        assert refused.code == 2
        assert "cannot be written" in refused.err
    assert not list(tmp_path.glob("tmp*.html"))
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("no Chromium here: the page was not looked at")
    page = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    seen = subprocess.run(
        [browser, *page, "--virtual-time-budget=2000", "--dump-dom", report.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert seen.stdout.count("<svg") == 4
    assert "ridge" in seen.stdout
    picture = tmp_path / "page.png"
    subprocess.run(
        [browser, *page, f"--screenshot={picture}", "--window-size=1000,2400", report.as_uri()],
        capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    import matplotlib.image

    pixels = matplotlib.image.imread(picture)
    assert pixels.shape[:2] == (2400, 1000)
    for top in (0, 600, 1200):  # something is drawn in each part of the page
        assert pixels[top : top + 600].std() > 0.02
