"""Tables that have the target: error and coverage against what the model's card promises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from scipy import stats

from boston_exp.lifecycle.promise import ALARM, Promise, promise
from tests.conftest import Command, Result

Predict = Callable[..., Result]
AsJson = Callable[..., dict[str, Any]]


@pytest.fixture
def champion(runs: Callable[[str], list[Run]], command: Command) -> str:
    """Promoted in the registry alone."""
    run_id = runs("tags.model_type = 'Ridge' and params.`evaluation.n_splits` = '5' and tags.dataset = 'boston'")[0]
    result = command(f"run_id={run_id.info.run_id}", "dvc=none", program="promote")
    assert result.code == 0, result.err
    return "from_model=models:/boston-housing@champion"


def test_realised_error_and_coverage_are_recorded_with_the_version(
    as_json: AsJson, champion: str, boston: pd.DataFrame, tmp_path: Path, store: Path
) -> None:
    boston.to_csv(tmp_path / "labelled.csv", index=False)
    told = as_json(champion, "input=labelled.csv")
    found = pd.read_csv(tmp_path / "predictions.csv")
    errors = boston["MEDV"] - found["prediction"]
    assert told["scores"]["rmse"] == pytest.approx(float(np.sqrt((errors**2).mean())))
    covered = (found["low"] <= boston["MEDV"]) & (boston["MEDV"] <= found["high"])
    assert told["scores"]["coverage"] == pytest.approx(float(covered.mean()))
    assert {each["column"] for each in told["groups"]} == {"RM", "CHAS"}
    client = MlflowClient(f"sqlite:///{store}")
    run = client.get_run(told["recorded"])
    assert run.data.metrics["rmse"] == pytest.approx(told["scores"]["rmse"])
    assert run.data.tags["scored.version"] == "boston-housing/1"
    assert run.info.status == "FINISHED"
    assert [each.path for each in client.list_artifacts(run.info.run_id)] == ["slices.csv"]


def test_a_scored_table_is_no_competitor(
    as_json: AsJson, command: Command, champion: str, boston: pd.DataFrame, tmp_path: Path
) -> None:
    import json

    before = json.loads(command("format=json", program="leaderboard").out)
    boston.to_csv(tmp_path / "labelled.csv", index=False)
    as_json(champion, "input=labelled.csv")
    assert json.loads(command("format=json", program="leaderboard").out) == before


@pytest.mark.parametrize("alarm", [True, False])
def test_a_broken_promise_is_an_alarm_where_that_is_asked_for(
    predict: Predict, champion: str, boston: pd.DataFrame, tmp_path: Path, alarm: bool
) -> None:
    boston.assign(MEDV=boston["MEDV"] + 15).to_csv(tmp_path / "drifted.csv", index=False)
    result = predict(champion, "input=drifted.csv", f"alarm={str(alarm).lower()}")
    assert result.code == (1 if alarm else 0)
    assert "larger than the card allows" in result.err
    assert "fewer than the card allows" in result.err
    assert "ALARM" in result.err
    assert (tmp_path / "predictions.csv").is_file()


def test_labels_that_are_not_there_yet_are_left_out(
    as_json: AsJson, champion: str, boston: pd.DataFrame, tmp_path: Path
) -> None:
    boston.loc[100:, "MEDV"] = np.nan
    boston.to_csv(tmp_path / "labelled.csv", index=False)
    told = as_json(champion, "input=labelled.csv")
    assert (told["rows"], told["scored_rows"]) == (506, 100)
    assert as_json(champion, "input=labelled.csv", "record=false")["recorded"] is None


def test_chance_alone_raises_an_alarm_in_about_one_table_of_a_hundred() -> None:
    """Tables of the same kind, for each of many models: rows, calibration and held-out rows drawn anew."""
    rng = np.random.default_rng(1)
    errors, coverages, draws = 0, 0, 600
    for _ in range(draws):
        out_of_fold, held_out, new = (rng.standard_t(8, size=size) for size in (400, 100, 200))
        zero = np.zeros_like
        promised = promise(
            pd.DataFrame({"actual": held_out, "predicted": zero(held_out)}),
            pd.DataFrame({"actual": out_of_fold, "predicted": zero(out_of_fold)}),
        )
        reach = np.sort(np.abs(out_of_fold))[int(np.ceil(0.9 * 401)) - 1]
        errors += promised.error_p(new**2) < ALARM
        coverages += int((np.abs(new) <= reach).sum()) < promised.fewest_covered(200)
    assert errors / draws <= 0.03
    assert coverages / draws <= 0.02


def test_the_promise_agrees_with_scipy() -> None:
    rng = np.random.default_rng(2)
    held_out, new = rng.normal(size=80) ** 2, 1.5 * rng.normal(size=60) ** 2
    found = Promise(80, float(held_out.mean()), float(held_out.std(ddof=1)), covered=70, calibration=300)
    oracle = stats.ttest_ind(new, held_out, equal_var=False, alternative="greater")
    assert found.error_p(new) == pytest.approx(oracle.pvalue)
    share, low, high = found.coverage
    assert (share, low, high) == pytest.approx((0.875, 0.782095, 0.938459), abs=1e-4)
    assert stats.betabinom.cdf(found.fewest_covered(100) - 1, 100, 271, 30) < ALARM
    assert stats.betabinom.cdf(found.fewest_covered(100), 100, 271, 30) >= ALARM
