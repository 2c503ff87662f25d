"""Record version 2: what a comparison of two runs can stand on, and what it may cost."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from sklearn.base import BaseEstimator
from sklearn.ensemble import AdaBoostRegressor, BaggingRegressor, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import BayesianRidge, Ridge
from sklearn.metrics import root_mean_squared_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from boston_exp.experiment.spread import spread
from tests.conftest import Command

QUICK = ("experiment=quick_test", "figures=none")


def runs(store: Path, experiment: str = "boston-housing") -> list[Run]:
    """The newest first."""
    client = MlflowClient(f"sqlite:///{store}")
    return list(client.search_runs([client.get_experiment_by_name(experiment).experiment_id]))


def artifact(run: Run, name: str) -> Path:
    return Path(run.info.artifact_uri.removeprefix("file://")) / name


def test_folds_and_out_of_fold_predictions_say_what_the_cv_metrics_say(command: Command, store: Path) -> None:
    assert command(*QUICK, "evaluation=cv", "evaluation.n_splits=4").code == 0
    (run,) = runs(store)
    folds, rows = pd.read_csv(artifact(run, "folds.csv")), pd.read_csv(artifact(run, "out_of_fold.csv"))
    assert list(folds.columns) == ["fold", "r2_score", "rmse", "mae", "mape", "rows", "train_rows"]
    assert list(folds.fold) == [1, 2, 3, 4]
    assert folds.rows.sum() == len(rows) == 404
    for name in ("r2_score", "rmse", "mae", "mape"):
        assert folds[name].mean() == pytest.approx(run.data.metrics[f"cv_{name}"])
        assert folds[name].std(ddof=1) == pytest.approx(run.data.metrics[f"cv_{name}_std"])
    for fold, scored in rows.groupby("fold"):
        assert root_mean_squared_error(scored.actual, scored.predicted) == pytest.approx(folds.rmse[fold - 1])
    held_out = pd.read_csv(artifact(run, "predictions.csv"))
    assert sorted([*rows.row, *held_out.row]) == list(range(506))  # every row once
    assert (rows.spread > 0).all()  # the trees of a forest disagree


def test_a_run_without_folds_has_neither_file(command: Command, store: Path) -> None:
    assert command(*QUICK).code == 0
    (run,) = runs(store)
    assert not artifact(run, "folds.csv").exists()
    assert not artifact(run, "out_of_fold.csv").exists()


def test_runs_of_several_seeds_share_their_rows_and_their_configuration(command: Command, store: Path) -> None:
    for seed in (1, 2):
        assert command(*QUICK, f"seed={seed}", "evaluation=cv").code == 0
    assert command(*QUICK, "evaluation=cv", "data.split_seed=7").code == 0
    other_rows, second, first = runs(store)
    assert first.data.tags["split.digest"] == second.data.tags["split.digest"] != other_rows.data.tags["split.digest"]
    assert first.data.tags["config.digest"] == second.data.tags["config.digest"]
    assert first.data.tags["config.digest"] != other_rows.data.tags["config.digest"]
    assert first.data.tags["fingerprint"] != second.data.tags["fingerprint"]
    assert first.data.metrics["rmse"] != second.data.metrics["rmse"]
    rows = [pd.read_csv(artifact(run, "out_of_fold.csv"))[["row", "fold"]] for run in (first, second, other_rows)]
    assert rows[0].equals(rows[1])
    assert not rows[0].equals(rows[2])


def test_the_profile_is_of_the_training_rows_with_types_as_read(command: Command, store: Path) -> None:
    assert command(*QUICK).code == 0
    (run,) = runs(store)
    profile = json.loads(artifact(run, "profile.json").read_text())
    assert (profile["rows"], profile["target"]) == (404, "MEDV")
    assert profile["columns"]["CHAS"]["type"] == "integer"
    assert profile["columns"]["RM"]["type"] == "number"
    held_out = set(pd.read_csv(artifact(run, "predictions.csv")).row)
    table = pd.read_csv(_housing(), sep=r"\s+", header=None)
    train = table.loc[[row for row in range(506) if row not in held_out], 5]
    described = profile["columns"]["RM"]
    assert (described["min"], described["max"]) == (train.min(), train.max())
    assert described["quantiles"]["0.5"] == pytest.approx(train.median())


def _housing() -> Path:
    from boston_exp.config.settings import PROJECT_ROOT

    return PROJECT_ROOT / "data/raw/housing.csv"


def test_text_and_gaps_are_profiled_too(command: Command, store: Path, tmp_path: Path) -> None:
    rows = "".join(f"{n},{'Ulm' if n % 4 else ''},{n % 2 == 0},{n * 2}\n" for n in range(40))
    (tmp_path / "my.csv").write_text("size,town,garden,price\n" + rows)
    table = ("data=csv", "data.path=my.csv", "data.target=price", "preprocess=tabular", "model=ridge", "figures=none")
    assert command(*table).code == 0
    columns = json.loads(artifact(runs(store, "my")[0], "profile.json").read_text())["columns"]
    assert columns["garden"]["type"] == "boolean"
    assert columns["garden"]["categories"].keys() == {"True", "False"}
    assert columns["town"]["type"] == "text"
    assert columns["town"]["gaps"] > 0
    assert columns["town"]["categories"] == {"Ulm": 32 - columns["town"]["gaps"]}


def test_errors_are_told_by_slices(command: Command, store: Path) -> None:
    assert command(*QUICK).code == 0
    (run,) = runs(store)
    told = pd.read_csv(artifact(run, "slices.csv"))
    assert list(told["column"].unique()) == ["LSTAT", "CHAS"]
    assert list(told.loc[told["column"] == "CHAS", "group"]) == ["0", "1"]
    assert len(told[told["column"] == "LSTAT"]) == 4
    for _, groups in told.groupby("column"):
        assert groups.rows.sum() == 102
        assert (groups.rows * groups.mae).sum() / 102 == pytest.approx(run.data.metrics["mae"])


def test_a_slice_may_be_a_column_that_the_model_does_not_get(command: Command, store: Path) -> None:
    assert command(*QUICK, "data.drop=[B]", "data.slices=[B]").code == 0
    assert set(pd.read_csv(artifact(runs(store)[0], "slices.csv"))["column"]) == {"B"}
    refused = command(*QUICK, "data.slices=[Bb]")
    assert refused.code == 2
    assert "data.slices: Bb is not a column of" in refused.err


def test_the_machine_and_the_story_are_recorded(command: Command, store: Path) -> None:
    assert command("evaluation=cv", *QUICK).code == 0
    (run,) = runs(store)
    machine = json.loads(artifact(run, "environment/platform.json").read_text())
    assert {"python", "os", "cpu", "cores", "pools"} <= machine.keys()
    assert any(pool["library"] == "blas" and pool["kernel"] for pool in machine["pools"])
    tags = run.data.tags
    assert tags["record.version"] == "2"
    note = tags["mlflow.note.content"]
    scores = run.data.metrics
    assert f"| RMSE, thousand USD | {scores['rmse']:.4g} ({scores['rmse_ci_low']:.4g} to " in note
    assert f"| {scores['cv_rmse']:#.4g} ± {scores['cv_rmse_std']:#.2g} |" in note
    assert "RandomForestRegressor on boston (13 features), 404 rows to train on, 102 held out." in note
    for sentence in ("The 3 rows that are furthest off", "Its RMSE is worst where", "It rests most on"):
        assert sentence in note
    assert "Next: `python -m boston_exp.leaderboard " in note


def test_a_record_of_version_1_is_still_reused(command: Command, store: Path) -> None:
    """Without digests, note and version, as runs were recorded before."""
    assert command(*QUICK).code == 0
    client = MlflowClient(f"sqlite:///{store}")
    (run,) = runs(store)
    for tag in ("record.version", "split.digest", "config.digest", "mlflow.note.content"):
        client.delete_tag(run.info.run_id, tag)
    result = command(*QUICK, "skip_finished=true")
    assert "is recorded already, nothing was trained" in result.out
    assert command("-m", *QUICK, "evaluation=holdout", "model.max_depth=5,6").code == 0


X = pd.DataFrame(np.random.default_rng(0).normal(size=(80, 3)), columns=list("abc"))
Y = pd.Series(X.a * 2 + np.random.default_rng(1).normal(size=80))


def test_the_spread_of_a_forest_is_that_of_its_trees() -> None:
    forest = RandomForestRegressor(15, random_state=0).fit(X, Y)
    trees = [tree.predict(X.to_numpy()) for tree in forest.estimators_]
    assert spread(forest, X) == pytest.approx(np.std(trees, axis=0))


@pytest.mark.parametrize("model", [BayesianRidge(), GaussianProcessRegressor(alpha=1.0)])
def test_the_spread_of_a_model_that_knows_its_own_is_what_it_says(model: BaseEstimator) -> None:
    fitted = make_pipeline(StandardScaler(), model).fit(X, Y)
    assert spread(fitted, X) == pytest.approx(fitted.predict(X, return_std=True)[1])


@pytest.mark.parametrize("model", [BaggingRegressor(max_features=0.5), AdaBoostRegressor()])
def test_an_ensemble_that_is_no_forest_has_no_spread(model: BaseEstimator) -> None:
    """The trees of bagging see their own columns, those of boosting are weighted: their spread would be another's."""
    assert spread(model.fit(X, Y), X) is None


def test_a_model_that_cannot_say_has_no_spread() -> None:
    assert spread(Ridge().fit(X, Y), X) is None
