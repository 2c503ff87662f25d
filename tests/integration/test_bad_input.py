"""Every way to be refused: one clear message, the next command, exit code 2 (Hydra's own 1), nothing recorded."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from tests.conftest import ROOT, Command, Result, python

QUICK = ("experiment=quick_test", "figures=none")
CSV = ("data=csv", "data.path=my.csv", "data.target=price", "figures=none", "experiment=quick_test")


def table(folder: Path, rows: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.uniform(30, 200, rows), "rooms": rng.integers(1, 6, rows).astype(float)})
    return frame.assign(price=frame["size"] * 3)


def runs_in(store: Path) -> list[str]:
    client = MlflowClient(f"sqlite:///{store}")
    experiment = client.get_experiment_by_name("boston-housing")
    return [] if experiment is None else [r.info.status for r in client.search_runs([experiment.experiment_id])]


def assert_refused(result: Result, store: Path | None, *says: str, code: int = 2) -> None:
    assert result.code == code, result.err
    for text in says:
        assert text in result.err
    if code == 2:
        assert "next: " in result.err
    assert "Traceback" not in result.err
    assert "Error executing job" not in result.err
    if store is not None:
        assert runs_in(store) == []


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("model=forest", "Available options in 'model'"),
        ("model.max_dept=3", "Did you mean: 'max_depth'?"),
        ("data.test_siz=0.3", "Did you mean: 'test_size'?"),
        ("evaluation.n_split=3", "Did you mean: 'n_splits'?"),
        ("data.test_size=abc", "could not be converted to Float"),
        ("seed=abc", "could not be converted to Integer"),
        ("storages=local", "storages"),
    ],
)
def test_what_hydra_refuses_keeps_its_message_and_code(command: Command, store: Path, override: str, says: str) -> None:
    assert_refused(command(override), store, says, code=1)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["model.max_depth=abc"], "model.max_depth=abc is not possible: it has to be a whole number of at least 1"),
        (["model.max_depth=1.5"], "model.max_depth=1.5 is not possible"),
        (["model.n_estimators=-5"], "model.n_estimators=-5 is not possible"),
        (["model.n_estimators=null"], "model.n_estimators=null is not possible"),
        (["model.min_samples_split=1"], "model.min_samples_split=1 is not possible"),
        (["model=ridge", "model.alpha=-1"], "model.alpha=-1 is not possible"),
        (["data.test_size=7"], "data.test_size=7.0 is not possible: it has to be a share of the rows"),
        (["data.test_size=nan"], "data.test_size=nan is not possible"),
        (["seed=-1"], "seed=-1 is not possible"),
        (["evaluation.n_splits=1"], "evaluation.n_splits=1 is not possible"),
        (["evaluation.n_resamples=-3"], "evaluation.n_resamples=-3 is not possible"),
        (["evaluation.n_resamples=5"], "evaluation.n_resamples=5 is not possible"),
        (["figures.dpi=0"], "figures.dpi=0 is not possible"),
        (["tracking.log_model=some"], "tracking.log_model=some is not possible: choose one of all, best, none"),
        (["objective.metric=cv_rmse"], "objective.metric=cv_rmse is not produced by this evaluation"),
        (["objective.metric=rmsee"], "Did you mean 'rmse'?"),
        (["model._target_=os.system"], "'os.system' is outside of trusted_packages ['sklearn', 'skrub']"),
        (["data=diabetes", "data.loader=os.getcwd"], "'os.getcwd' is outside of trusted_packages"),
        (["preprocess=tabular", "preprocess.transformers.0.1._target_=os.system"], "'os.system' is outside of"),
        (["data=csv", "data.target=price"], "data needs either a path or a loader"),
        (["data=csv"], "2 things are wrong"),
        (["data=csv", "data.target=price", "data.path=absent.csv"], "absent.csv does not exist"),
        (["+evaluation.n_split=5", "+foo=1"], "evaluation.n_split is not a setting. Did you mean 'n_splits'?"),
        (["model._target_=Ridge"], "'Ridge' is not the full, dotted name of a class"),
        (["data.header=true"], "data.columns names the columns of a file without a header"),
        (["data.path=/tmp"], "data.path=/tmp is a folder"),
        (["data.sep="], "data.sep is empty: a shell ends the command at a bare ;"),
        (["data.decimal=dot"], "data.decimal=dot is not possible: choose one of comma, point"),
        (["data.decimal=comma", "data.thousands=comma"], "data.decimal and data.thousands are both comma"),
        (["data.missing_target=keep"], "data.missing_target=keep is not possible: choose one of refuse, drop"),
        (["+model.x=${oc.env:NOT_SET_ANYWHERE}"], "cannot be resolved"),
        (["tracking.uri=http://me:hush@127.0.0.1:5000"], "tracking.uri was given with a password"),
        (["tracking.uri=./mlruns"], "is not a store this version of MLflow has"),
    ],
)
def test_what_the_configuration_shows_is_refused_before_heavy_imports(
    command: Command, store: Path, overrides: list[str], says: str
) -> None:
    assert_refused(command(*overrides), store, says)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["data=diabetes", "data.loader=sklearn.datasets.load_nothing"], "gives no table"),
        (["+preprocess.a=1"], "preprocess._target_=None cannot be used"),
        (["+model.max_dept=3"], "has no such parameter. Did you mean 'max_depth'?"),
        (["+model.criterion=nonsense"], "The 'criterion' parameter of RandomForestRegressor must be"),
        (["model._target_=sklearn.ensemble.RandomForrest"], "sklearn.ensemble.RandomForrest cannot be used"),
        (["model._target_=sklearn.ensemble.RandomForestClassifier"], "is not a regressor"),
        (["model=dummy", "model._target_=sklearn.cluster.KMeans", "~model.strategy"], "is not a regressor"),
        (["model._target_=sklearn.metrics.r2_score"], "is not an estimator, a transformer, a kernel"),
        (["model=dummy", "model._target_=sklearn.preprocessing.StandardScaler", "~model.strategy"], "has no fit and"),
        (["preprocess=standard", "+preprocess.with_mea=false"], "Did you mean 'with_mean'?"),
        (["data.target=MEDW"], "data.target=MEDW is not a column of"),
        (["data.drop=[Bb]"], "data.drop: Bb is not a column of"),
        (["data.drop=[MEDV]"], "data.drop: MEDV is the target"),
        (["data.test_size=0.9999"], "both need 2"),
        (
            ["evaluation=cv", "evaluation.n_splits=405"],
            "evaluation.n_splits=405 needs as many training rows, there are 404",
        ),
    ],
)
def test_what_the_libraries_and_the_table_show_is_refused_before_anything_is_recorded(
    command: Command, store: Path, overrides: list[str], says: str
) -> None:
    assert_refused(command(*overrides), store, says)


def test_everything_that_is_wrong_is_said_at_once(command: Command, store: Path) -> None:
    result = command(
        "model.n_estimators=-5",
        "model.max_depth=abc",
        "data.test_size=7",
        "data.path=absent.csv",
        "objective.metric=cv_mae",
        "preprocess=standard",
        "preprocess._target_=shutil.rmtree",
    )
    assert_refused(
        result,
        store,
        "6 things are wrong",
        "n_estimators=-5",
        "max_depth=abc",
        "test_size=7",
        "absent.csv",
        "cv_mae",
        "shutil.rmtree",
    )


def test_faults_of_table_and_model_are_said_together(command: Command, store: Path, tmp_path: Path) -> None:
    table(tmp_path).assign(price="dear").to_csv(tmp_path / "my.csv", index=False)
    result = command(*CSV, "+model.criterion=nonsense", "data.drop=[size, colour]")
    assert_refused(result, store, "colour is not a column", "'criterion' parameter")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "has no rows"),
        ("size,price\n", "has no rows"),
        ("size,cost\n1,2\n3,4\n", "data.target=price is not a column of"),
        ("size,price\n" + "1,2\n" * 20 + "3,\n", "data.target=price has no value in 1 of 21 rows (line 22)"),
        ("size,price\n" + "1,2\n" * 20 + "3,dear\n", "data.target=price is not numeric, for example 'dear' (line 22)"),
        ("size,price\n" + "1,2\n" * 20 + "inf,2\n", "Columns with infinite values: size"),
        ("price\n" + "2\n" * 20, "No column is left to predict from"),
        ("size,price\n1,2\n3,4,5,6\n", "cannot be read as a table"),
        ("size,price\n1,2,3\n4,5,6\n", "rows have more fields than there are names for"),
        ("size,price,price\n1,2,3\n4,5,6\n", "two columns are named price"),
        ("size,price\n" + "1,2\n" * 20, "is 2 in every row: there is nothing to learn"),
        ("size,price\n1,2\n", "both need 2"),
        (
            "size,town,price\n" + "1,Ulm,2\n3,Bonn,4\n" * 20,
            "Text columns, which RandomForestRegressor cannot take: town",
        ),
    ],
)
def test_a_table_that_cannot_be_learnt_from_is_refused(
    command: Command, store: Path, tmp_path: Path, content: str, says: str
) -> None:
    (tmp_path / "my.csv").write_text(content)
    assert_refused(command(*CSV), store, says)


def test_a_file_that_is_no_text_is_refused(command: Command, store: Path, tmp_path: Path) -> None:
    (tmp_path / "my.csv").write_bytes(b"\xff\xfe\x00\x01" * 50)
    assert_refused(command(*CSV), store, "cannot be read as a table")


def test_a_separator_that_splits_nothing_is_refused_with_the_one_that_does(
    command: Command, store: Path, tmp_path: Path
) -> None:
    (tmp_path / "my.csv").write_text("size;price\n" + "1;2\n3;4\n" * 20)
    assert_refused(command(*CSV, "data.sep=comma"), store, "data.sep=comma splits nothing", "data.sep=semicolon")
    assert command(*CSV).code == 0


def test_an_empty_separator_is_answered_with_the_word(command: Command, store: Path) -> None:
    assert_refused(command("data.sep="), store, "data.sep=semicolon")


def test_gaps_are_refused_where_the_model_cannot_take_them(command: Command, store: Path, tmp_path: Path) -> None:
    frame = table(tmp_path)
    frame.loc[3, "size"] = np.nan
    frame.to_csv(tmp_path / "my.csv", index=False)
    ridge = ("data=csv", "data.path=my.csv", "data.target=price", "figures=none", "model=ridge")
    assert_refused(command(*ridge), store, "Gaps, which Ridge cannot take, in: size", "preprocess=tabular")
    assert_refused(command(*ridge, "preprocess=standard"), store, "Gaps, which Ridge cannot take")
    assert command(*CSV).code == 0  # scikit-learn's forest can


def test_text_that_the_preprocess_cannot_take_is_refused(command: Command, store: Path, tmp_path: Path) -> None:
    table(tmp_path).assign(town="Ulm").to_csv(tmp_path / "my.csv", index=False)
    assert_refused(command(*CSV, "preprocess=standard"), store, "text columns: town", "preprocess=tabular")


def test_an_object_that_the_remote_does_not_have_is_named(clone: Path) -> None:
    shutil.rmtree(clone / "data" / "remote")
    result = python("-m", "boston_exp.run", *QUICK, cwd=clone, project=clone)
    assert_refused(result, None, "is missing and the DVC remote 'embedded' does not give it", "dvc pull")
    assert not (clone / "mlflow.db").exists()


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (lambda path: path.write_bytes(b"this is not sqlite " * 100), "is not an intact sqlite database"),
        (lambda path: (path.unlink(), path.mkdir()), "is a folder"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "is not an intact sqlite database"),
        (lambda path: change(path, "DROP TABLE alembic_version"), "is the database of another program"),
        (lambda path: change(path, "UPDATE alembic_version SET version_num='ffffffffffff'"), "a newer MLflow made it"),
        (lambda path: change(path, "UPDATE alembic_version SET version_num='0a8213491aaa'"), "of an older MLflow"),
    ],
    ids=["garbage", "folder", "cut short", "foreign", "newer schema", "older schema"],
)
def test_a_store_that_cannot_be_used_is_refused(command: Command, store: Path, prepare: object, says: str) -> None:
    prepare(store)  # type: ignore[operator]
    assert_refused(command(*QUICK), None, says)


def change(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


def test_a_store_in_a_folder_that_is_not_there_is_not_created(command: Command, tmp_path: Path) -> None:
    """A typing error must not look like an empty history."""
    result = command(*QUICK, f"tracking.uri=sqlite:///{tmp_path}/absent/mlflow.db")
    assert_refused(result, None, "The folder of the tracking store", "mkdir -p")
    assert not (tmp_path / "absent").exists()


def test_a_store_where_nobody_may_write_is_refused(command: Command) -> None:
    assert_refused(command(*QUICK, "tracking.uri=sqlite:////proc/mlflow.db"), None, "cannot be created")


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user's view, which needs root to step down from")
def test_a_store_that_is_read_only_is_refused(store: Path, tmp_path: Path) -> None:
    from boston_exp.tracking import sqlite_store

    code = (
        "import os\nfrom pathlib import Path\nfrom boston_exp.tracking.sqlite_store import faults\n"
        f"os.setuid(65534)\nprint(faults(Path({str(store)!r})))"
    )
    for folder in (tmp_path, *tmp_path.parents):
        if folder.is_relative_to("/tmp"):  # noqa: S108
            folder.chmod(folder.stat().st_mode | 0o055)
    store.chmod(0o444)
    assert sqlite_store.faults(store) == []
    seen = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "cannot be written" in seen


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Path:
    """A file system of 200 kB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder  # type: ignore[misc]
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_told_and_the_run_is_not_finished(command: Command, store: Path, tiny_disk: Path) -> None:
    result = command("figures=none", f"tracking.artifact_root={tiny_disk}")
    assert result.code == 2
    assert "No space left on device" in result.err
    assert "df -h" in result.err
    assert "Traceback" not in result.err
    assert runs_in(store) == ["FAILED"]
