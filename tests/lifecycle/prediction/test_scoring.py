"""Tables that have the target: error and coverage against what the model's card promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from scipy import stats

from boston_exp.experiment.conformal import calibrated
from boston_exp.lifecycle import promise
from boston_exp.lifecycle.promise import ALARM, Promise
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


@pytest.fixture
def _fewer_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    """999 instead of 9,999 a table, which takes a tenth of the time: a permutation test has its level whatever their
    number (Phipson and Smyth 2010, "Permutation p-values should never be zero")."""
    monkeypatch.setattr(promise, "DRAWS", 999)


@pytest.mark.usefixtures("_fewer_permutations")
@pytest.mark.parametrize("heavy", [False, True])
@pytest.mark.parametrize(("held_out", "new"), [(100, 100), (100, 1000), (400, 30)])
def test_chance_alone_raises_an_alarm_in_about_one_table_of_a_hundred(heavy: bool, held_out: int, new: int) -> None:
    """Errors of one kind, drawn anew for each table; heavy tails make squared errors very skew."""
    rng, draws = np.random.default_rng(1), 300
    alarms = 0
    for _ in range(draws):
        errors = [rng.standard_t(3, size) if heavy else rng.normal(size=size) for size in (held_out, new)]
        promised = Promise(tuple(np.abs(errors[0])), held_out)
        alarms += promised.error_p(errors[1] ** 2) < ALARM
    assert alarms / draws <= 0.03


@pytest.mark.usefixtures("_fewer_permutations")
def test_errors_that_are_half_as_large_again_are_seen() -> None:
    rng = np.random.default_rng(1)
    found = [
        Promise(tuple(np.abs(rng.normal(size=100))), 100).error_p((1.5 * rng.normal(size=200)) ** 2) < ALARM
        for _ in range(100)
    ]
    assert np.mean(found) > 0.8


@pytest.mark.parametrize("one_third", [False, True])
def test_coverage_alarms_by_chance_are_as_rare_where_all_rows_fall_into_one_third(one_third: bool) -> None:
    rng, draws, new = np.random.default_rng(2), 400, 1000
    alarms = 0
    for _ in range(draws):
        predicted = rng.uniform(size=300)
        table = pd.DataFrame({"actual": predicted + rng.normal(size=300), "predicted": predicted})
        calibration = calibrated(table, "prediction")
        rows = rng.uniform(0.7 if one_third else 0, 1, size=new)
        actual, ends = rows + rng.normal(size=new), calibration.interval(rows, 0.9)
        covered = int(((ends[:, 0] <= actual) & (actual <= ends[:, 1])).sum())
        counts = Counter(calibration.numbers(rows).tolist())
        promised = Promise((1.0,), 1, calibration=tuple(calibration.sizes.values()))
        alarms += covered < promised.fewest_covered(counts, calibration.sizes)
    assert alarms / draws <= 0.025


def test_the_promise_agrees_with_scipy() -> None:
    rng = np.random.default_rng(2)
    held_out, new = np.abs(rng.normal(size=80)), 1.2 * rng.normal(size=60)
    oracle = stats.permutation_test(
        (new**2, held_out**2), lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis), vectorized=True,
        n_resamples=9999, alternative="greater", rng=3,
    )  # fmt: skip
    assert Promise(tuple(held_out), 80).error_p(new**2) == pytest.approx(oracle.pvalue, abs=0.01)
    found = Promise((1.0,), 80, covered=70, calibration=(300,))
    assert found.coverage == pytest.approx((0.875, 0.782095, 0.938459), abs=1e-4)
    fewest = found.fewest_covered({0: 100}, {0: 300})
    assert stats.betabinom.cdf(fewest - 1, 100, 271, 30) < 1.3 * ALARM
    assert stats.betabinom.cdf(fewest, 100, 271, 30) > 0.7 * ALARM
