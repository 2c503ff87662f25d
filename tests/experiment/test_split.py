"""Rows that belong together stay together, what is held out is later, and the target's range is in every part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from boston_exp.config.schema import Config, Data, Evaluation
from boston_exp.experiment.dataset import Dataset
from boston_exp.experiment.split import Split, quantile_bins, split_rows
from tests.conftest import Command

N = 240
rng = np.random.default_rng(1)


def dataset(clusters: bool = False, times: bool = False) -> Dataset:
    X = pd.DataFrame({"x": rng.normal(size=N)})
    y = pd.Series(np.exp(rng.normal(size=N)), name="y")
    labels = pd.Series(rng.integers(0, 30, N).astype(str)) if clusters else None
    ranks = pd.Series(rng.integers(0, 60, N)) if times else None
    return Dataset("t", X, X, y, "md5", "file", False, "y", "", clusters=labels, times=ranks)


def config(evaluation: Evaluation, **data: object) -> Config:
    return Config(data=Data(target="y", **data), evaluation=evaluation)  # type: ignore[arg-type]


def parts(split: Split) -> list[tuple[np.ndarray, np.ndarray]]:
    """Row numbers of every pair of rows to fit on and rows to score: the hold-out, then the folds."""
    train = split.X_train.index.to_numpy()
    folds = [(train[inside], train[outside]) for inside, outside in split.folds]
    return [(train, split.X_test.index.to_numpy()), *folds]


@pytest.mark.parametrize("stratify", [False, True])
def test_groups_are_never_on_both_sides(stratify: bool) -> None:
    table = dataset(clusters=True)
    split = split_rows(table, config(Evaluation(n_splits=4, n_repeats=2, stratify=stratify), group="g"))
    assert len(split.folds) == 8
    assert table.clusters is not None
    for inside, outside in parts(split):
        assert not set(table.clusters[inside]) & set(table.clusters[outside])
    scored = np.concatenate([outside for _, outside in split.folds[:4]])
    assert sorted(scored) == list(range(len(split.X_train)))
    assert 0.1 < len(split.X_test) / N < 0.3


def test_what_is_scored_is_later_than_what_is_fitted_on() -> None:
    table = dataset(times=True)
    split = split_rows(table, config(Evaluation(n_splits=4), time="t"))
    assert table.times is not None
    for inside, outside in parts(split):
        assert table.times[inside].max() < table.times[outside].min()
    assert len(split.folds) == 4
    assert 0.15 < len(split.X_test) / N < 0.25
    assert (np.diff(table.times[split.X_train.index]) >= 0).all()


def test_every_part_has_rows_of_the_whole_range() -> None:
    table = dataset()
    split = split_rows(table, config(Evaluation(n_splits=5, n_repeats=3, stratify=True)))
    top = table.y > table.y.quantile(0.9)
    for _, outside in parts(split):
        assert 0.03 < top[outside].mean() < 0.17
    assert len(split.folds) == 15


def test_repetitions_differ_and_the_digest_tells_every_kind_of_split_apart() -> None:
    table = dataset()
    kinds = [
        Evaluation(n_splits=4),
        Evaluation(n_splits=4, n_repeats=2),
        Evaluation(n_splits=4, stratify=True),
        Evaluation(),
    ]
    digests = {split_rows(table, config(kind)).digest for kind in kinds}
    assert len(digests) == len(kinds)
    twice = split_rows(table, config(kinds[1]))
    assert not np.array_equal(twice.folds[0][1], twice.folds[4][1])
    assert twice.digest == split_rows(table, config(kinds[1])).digest


def test_bins_are_fewer_where_rows_are_few() -> None:
    assert len(np.unique(quantile_bins(pd.Series(np.arange(100.0)), 5))) == 10
    assert len(np.unique(quantile_bins(pd.Series(np.arange(12.0)), 5))) == 2
    assert len(np.unique(quantile_bins(pd.Series([1.0] * 50), 5))) == 1


@pytest.fixture
def panel(tmp_path: Path) -> Path:
    """40 schools with an effect of their own, in 24 months."""
    school = rng.integers(0, 40, 600)
    month = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 700, 600), unit="D")
    size = rng.normal(size=600)
    price = 100 + 5 * size + rng.normal(size=40)[school] + 0.3 * rng.normal(size=600)
    table = pd.DataFrame({"school": school, "month": month, "size": size, "w": rng.integers(1, 5, 600), "price": price})
    table["note"] = [f"it is number {number}" for number in range(600)]
    table.to_csv(tmp_path / "panel.csv", index=False)
    return tmp_path / "panel.csv"


QUICK = ("data=csv", "data.target=price", "figures=none", "model=ridge", "preprocess=tabular", "evaluation=cv")


def run(command: Command, store: Path, *overrides: str) -> tuple[MlflowClient, str]:
    result = command(*QUICK, "quiet=true", *overrides)
    assert result.code == 0, result.err
    return MlflowClient(f"sqlite:///{store}"), result.out.strip()


def table_of(client: MlflowClient, run_id: str, name: str) -> pd.DataFrame:
    place = client.get_run(run_id).info.artifact_uri
    return pd.read_csv(Path(place.removeprefix("file://")) / name)


def test_groups_time_and_weights_are_recorded_with_each_row(command: Command, store: Path, panel: Path) -> None:
    client, grouped = run(command, store, f"data.path={panel}", "data.group=school", "data.weight=w")
    rows = table_of(client, grouped, "out_of_fold.csv")
    assert {"cluster", "weight"} <= set(rows.columns)
    assert rows.groupby("cluster").fold.nunique().max() == 1
    assert set(rows.cluster).isdisjoint(table_of(client, grouped, "predictions.csv").cluster)
    _, in_time = run(command, store, f"data.path={panel}", "data.time=month")
    rows = table_of(client, in_time, "out_of_fold.csv")
    assert rows.groupby("fold").time.min().is_monotonic_increasing
    assert rows.time.max() < table_of(client, in_time, "predictions.csv").time.min()
    assert list(table_of(client, in_time, "folds.csv").columns)[-2:] == ["rows", "train_rows"]
    digests = {client.get_run(each).data.tags["split.digest"] for each in (grouped, in_time)}
    assert len(digests) == 2


def test_weights_change_fit_and_scores(command: Command, store: Path, panel: Path) -> None:
    """As scikit-learn's `sample_weight` has it, in the metrics too."""
    from sklearn.metrics import root_mean_squared_error

    client, plain = run(command, store, f"data.path={panel}", "data.drop=[w]")
    _, weighed = run(command, store, f"data.path={panel}", "data.weight=w")
    held_out = table_of(client, weighed, "predictions.csv")
    expected = root_mean_squared_error(held_out.actual, held_out.predicted, sample_weight=held_out.weight)
    assert client.get_run(weighed).data.metrics["rmse"] == pytest.approx(expected)
    assert not np.allclose(held_out.predicted, table_of(client, plain, "predictions.csv").predicted)


def test_repeated_folds_score_every_row_as_often(command: Command, store: Path, panel: Path) -> None:
    overrides = ("evaluation=repeated_cv", "evaluation.n_repeats=3", "evaluation.stratify=true")
    client, run_id = run(command, store, f"data.path={panel}", *overrides)
    rows = table_of(client, run_id, "out_of_fold.csv")
    assert (rows.groupby("row").repeat.nunique() == 3).all()
    assert len(table_of(client, run_id, "folds.csv")) == 15


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["data.group=school", "data.time=month"], "exclude each other"),
        (["data.time=month", "evaluation.stratify=true"], "exclude each other"),
        (["data.time=month", "evaluation.n_repeats=2"], "one way to fold forward"),
        (["evaluation=holdout", "evaluation.n_repeats=2"], "repeats folds, and there are none"),
        (["data.group=scool"], "Did you mean 'school'?"),
        (["data.group=price"], "data.group=price is the target"),
        (["data.group=school", "evaluation.n_splits=33"], "needs as many groups to train on"),
        (["data.time=note"], "neither numbers nor dates of one format"),
        (["data.weight=note"], "data.weight=note is not numeric"),
        (["data.weight=size"], "a weight has to be a number of at least 0"),
        (["data.weight=w", "model=knn"], "KNeighborsRegressor takes no weights"),
        (["data.roles=[school]"], "data.roles has to be a list such as"),
        (["data.roles=absent.yaml"], "cannot be read"),
    ],
)
def test_what_cannot_be_split_so_is_refused(command: Command, panel: Path, overrides: list[str], says: str) -> None:
    result = command(*QUICK, f"data.path={panel}", *overrides)
    assert result.code == 2
    assert says in result.err
    assert "next: python -m boston_exp.run" in result.err


def test_one_group_and_a_time_with_gaps_are_refused(command: Command, panel: Path, tmp_path: Path) -> None:
    table = pd.read_csv(panel)
    table["one"] = "A"
    table.loc[3, "month"] = None
    table.to_csv(tmp_path / "odd.csv", index=False)
    odd = f"data.path={tmp_path / 'odd.csv'}"
    assert "has 1 group: none can be held out" in command(*QUICK, odd, "data.group=one").err
    assert "data.time=month has no value in 1 of 600 rows (line 5)" in command(*QUICK, odd, "data.time=month").err


def test_a_fit_that_raises_is_told_without_a_traceback_and_recorded(command: Command, store: Path, panel: Path) -> None:
    result = command(*QUICK, f"data.path={panel}", "+model.solver=cholesky", "+model.positive=true")
    assert result.code == 2
    assert "error: Ridge cannot be fitted: " in result.err
    assert "Traceback" not in result.err
    client = MlflowClient(f"sqlite:///{store}")
    (failed,) = client.search_runs([client.get_experiment_by_name("panel").experiment_id])
    assert failed.info.status == "FAILED"
