"""What two reviews found: dates that were guessed anew, numbers that were no identifiers, scores of nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient, pyfunc, set_tracking_uri
from sklearn.ensemble import HistGradientBoostingRegressor

from boston_exp.experiment.evaluation import evaluate
from boston_exp.experiment.importance import MOST_ROWS, bounds
from boston_exp.experiment.roles import role_of
from boston_exp.experiment.split import Split
from tests.conftest import Command

rng = np.random.default_rng(0)
RUN = ("data=csv", "data.target=y", "preprocess=tabular", "figures=none", "evaluation=cv")


@pytest.fixture
def by_month(tmp_path: Path) -> pd.DataFrame:
    """The target is the month of `d`, days first, and of `e`, which has another format."""
    days = pd.Timestamp("2015-01-01") + pd.to_timedelta(rng.integers(0, 365, 300), unit="D")
    table = pd.DataFrame({"d": days.strftime("%d/%m/%Y"), "e": days.strftime("%Y-%m-%d")})
    table["y"] = days.month * 100 + rng.normal(size=300)
    table.to_csv(tmp_path / "months.csv", index=False)
    return table


def test_dates_are_read_as_in_training_however_few_rows_there_are(
    command: Command, store: Path, by_month: pd.DataFrame, tmp_path: Path
) -> None:
    """Rows whose days are all below 13 fit both orders."""
    run_id = command(*RUN, "data.path=months.csv", "model=hist_gradient_boosting", "quiet=true").out.strip()
    few = by_month[by_month["d"].str[:2].astype(int) < 13].head(6)
    set_tracking_uri(f"sqlite:///{store}")
    served = pyfunc.load_model(f"runs:/{run_id}/model").predict(few[["d", "e"]])
    assert np.abs(served - few["y"]).max() < 20
    few.to_csv(tmp_path / "few.csv", index=False)
    asked = (f"from_model=runs:/{run_id}/model", "input=few.csv", "output=few_out.csv", "record=false")
    assert command(*asked, program="predict").code == 0
    assert np.allclose(pd.read_csv(tmp_path / "few_out.csv")["prediction"], served)


def test_a_few_words_among_numbers_are_told_and_a_role_makes_them_gaps(command: Command, tmp_path: Path) -> None:
    x = rng.normal(size=200)
    text = [f"{value:.3f}" for value in x]
    text[3] = text[150] = "<0.1"
    pd.DataFrame({"x": text, "z": rng.normal(size=200), "y": x}).to_csv(tmp_path / "stray.csv", index=False)
    told = command(*RUN, "data.path=stray.csv", "model=ridge")
    assert "look at     x: 2 of 200 values are no numbers, for example '<0.1'" in told.out
    mended = command(*RUN, "data.path=stray.csv", "model=ridge", "data.roles=[x:number]")
    assert mended.code == 0, mended.err
    assert "2 features" in mended.out
    assert "look at" not in mended.out


def test_dates_of_two_formats_are_told() -> None:
    days = pd.Series(pd.date_range("2020-01-01", periods=60))
    text = days.dt.strftime("%Y-%m-%d").where(days.index % 2 == 0, days.dt.strftime("%d.%m.%Y"))
    assert "dates that fit no one format" in role_of(text).hint


def test_rows_that_count_nothing_are_no_part_to_score(command: Command, tmp_path: Path) -> None:
    table = pd.DataFrame({"x": rng.normal(size=60), "w": 0.0, "y": rng.normal(size=60)})
    table.loc[0, "w"] = 1.0
    table.to_csv(tmp_path / "light.csv", index=False)
    result = command(*RUN, "data.path=light.csv", "model=ridge", "data.weight=w")
    assert result.code == 2
    assert "data.weight=w is 0 in every row of" in result.err


def test_one_group_has_no_interval_and_that_is_said(command: Command, tmp_path: Path) -> None:
    table = pd.DataFrame({"g": rng.integers(0, 4, 120), "x": rng.normal(size=120), "y": rng.normal(size=120)})
    table.to_csv(tmp_path / "few_groups.csv", index=False)
    overrides = ("data.path=few_groups.csv", "model=ridge", "data.group=g", "evaluation.n_splits=2")
    result = command(*RUN, *overrides)
    assert result.code == 0, result.err
    assert "interval    none: the held-out rows are one group" in result.out
    assert "nan" not in result.out


def test_importance_is_that_of_a_sample_and_not_of_the_first_rows() -> None:
    """With data.time the first rows are the earliest."""
    n = 3 * MOST_ROWS
    X = pd.DataFrame(
        {"a": rng.normal(size=2 * n), "late": np.r_[np.zeros(n), np.zeros(n - 4000), rng.normal(size=4000)]}
    )
    X["late"] = np.where(np.arange(2 * n) % n > n - 4000, rng.normal(size=2 * n), 0.0)
    y = X["a"] + 3 * X["late"]
    rows = Split(X[:n], X[n:], y[:n], y[n:])
    evaluated = evaluate(HistGradientBoostingRegressor(), rows, 0, 0)
    assert evaluated.importance.set_index("feature")["importance"]["late"] > 0.5
    assert "held-out rows" in bounds(evaluated.estimator, evaluated.importance, rows)


def test_importances_name_the_values_of_a_category(command: Command, store: Path, tmp_path: Path) -> None:
    town = rng.choice(["Ulm", "Bonn", "Köln"], 200)
    table = pd.DataFrame({"town": town, "x": rng.normal(size=200), "y": (town == "Köln") * 5 + rng.normal(size=200)})
    table.loc[5:15, "town"] = None
    table.to_csv(tmp_path / "towns.csv", index=False)
    run_id = command(*RUN, "data.path=towns.csv", "quiet=true").out.strip()
    place = Path(MlflowClient(f"sqlite:///{store}").get_run(run_id).info.artifact_uri.removeprefix("file://"))
    features = pd.read_csv(place / "feature_importance.csv")["feature"]
    assert set(features) == {"town_Ulm", "town_Bonn", "town_Köln", "town_gap", "x"}
    assert features[0] == "town_Köln"
