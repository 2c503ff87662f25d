"""Sweeps at their edges, each once found by a hostile review."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import psutil
import pytest

from tests.conftest import ROOT, Command, python
from tests.integration.test_sweeps import OPTUNA, History, ran

QUICK = ("model.n_estimators=5", "figures=none")


def test_a_forest_behind_a_sparse_preprocess_is_swept(command: Command, store: Path) -> None:
    sparse = ("preprocess=standard", "preprocess._target_=sklearn.preprocessing.KBinsDiscretizer")
    result = command("-m", *QUICK, "model.max_depth=2,3", *sparse)
    assert result.code == 0, result.err


def test_a_search_that_max_failures_ended_does_not_ask_for_the_same_again(
    command: Command, store: Path, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/o.db"
    search = ("hydra/sweeper=optuna", f"hydra.sweeper.storage={url}", "hydra.sweeper.sampler.seed=1", *QUICK)
    for _ in range(2):
        result = command(
            "-m", *search, "hydra.sweeper.n_trials=4", "model.max_depth=choice(-1,-2,-3,-4)", "max_failures=1"
        )
        assert result.code == 1
    (name,) = optuna.get_all_study_names(url)
    trials = optuna.load_study(study_name=name, storage=url).trials
    assert [trial.state.name for trial in trials] == ["FAIL", "FAIL"]
    assert not any(trial.user_attrs.get("boston_exp.interrupted") for trial in trials)


def test_what_goes_wrong_outside_of_the_task_is_that_points_failure(command: Command, store: Path) -> None:
    long = "x" * 300
    result = command(
        "-m",
        *QUICK,
        f"data.target_label={long}",
        "model.max_depth=2,3",
        "hydra.sweep.subdir=${hydra.job.override_dirname}",
    )
    assert result.code == 1
    assert "File name too long" in result.err
    assert "Traceback" not in result.err


def test_a_search_whose_runs_are_not_in_this_store_is_told_all_the_same(command: Command, tmp_path: Path) -> None:
    search = (
        "-m",
        *OPTUNA,
        f"hydra.sweeper.storage=sqlite:///{tmp_path}/o.db",
        "hydra.sweeper.n_trials=2",
        "tracking=none",
    )
    for _ in range(2):
        result = command(*search)
        assert result.code == 0, result.err
    assert "optuna of 2 points: 2 reused" in result.out


@pytest.mark.parametrize("n_jobs", ["0", "abc", "null"])
def test_a_number_of_workers_that_is_none_is_refused(command: Command, store: Path, n_jobs: str) -> None:
    result = command("-m", *QUICK, "model.max_depth=2,3", "hydra/launcher=joblib", f"hydra.launcher.n_jobs={n_jobs}")
    assert result.code == 2
    assert "it has to be a whole number, -1 for one worker a core" in result.err
    assert History(store).parents == []


@pytest.mark.slow
def test_more_workers_than_points_cost_nothing(tmp_path: Path, store: Path) -> None:
    joblib = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=200", "hydra.launcher.inner_max_num_threads=1")
    code, _, err = ran(tmp_path, store, *QUICK, "model.max_depth=2,3", *joblib, open_files=256)
    assert code == 0, err


def test_folds_that_are_given_alone_are_selected_by(command: Command, store: Path) -> None:
    result = command("-m", "model=ridge", "model.alpha=1,2", "evaluation.n_splits=3", "figures=none")
    assert "selected on" not in result.out, result.out
    assert History(store).parent.data.params["objective"] == "minimize cv_rmse"
    assert {run.data.params["evaluation.n_splits"] for run in History(store).children} == {"3"}


def test_selecting_on_held_out_rows_is_said_for_any_of_several_objectives(command: Command) -> None:
    result = command("-m", "model=ridge", "model.alpha=1,2", "objective.metric=[cv_rmse,rmse]", "figures=none")
    assert "which it was selected on by rmse (optimistic; objective.metric=cv_rmse selects by folds)" in result.out


def test_the_next_command_keeps_the_folder_of_the_teams_options(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "team" / "model"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("_target_: sklearn.linear_model.Ridge\nalpha: 1.0\n")
    result = command(f"--config-dir={tmp_path}/team", "-m", "model=mine", "model.alpha=1,2", "figures=none")
    assert f"next        python -m boston_exp.run --config-dir={tmp_path}/team model.alpha=" in result.out


def test_a_point_that_leaves_by_exit_is_one_failure(
    command: Command, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "leaving.py").write_text(
        "import sys\nfrom sklearn.linear_model import Ridge\n"
        "class Leaving(Ridge):\n    def fit(self, X, y):\n"
        "        if len(X) > 200: sys.exit(3)\n        return super().fit(X, y)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    own = ("model=ridge", "model._target_=leaving.Leaving", "trusted_packages=[sklearn,leaving]", "figures=none")
    joblib = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    result = command("-m", *own, "model.alpha=1,2", *joblib)
    assert result.code == 1
    assert len(History(store).children) == 2
    assert "failed alpha=1: SystemExit: 3" in result.err


def test_the_table_of_another_loader_has_no_slices_of_bostons(command: Command, store: Path) -> None:
    loader = ("data.path=null", "data.loader=sklearn.datasets.load_diabetes", "data.columns=null", "data.target=target")
    result = command(*loader, "data.header=true", "model=ridge", "figures=none")
    assert result.code == 0, result.err


def test_the_doctor_does_not_sweep(tmp_path: Path) -> None:
    result = python("-m", "boston_exp.doctor", "-m", "tracking=none,local", cwd=tmp_path)
    assert result.code == 2
    assert "doctor does not sweep" in result.err


@pytest.mark.slow
def test_pressing_ctrl_c_again_and_again_leaves_nothing_behind(tmp_path: Path, store: Path) -> None:
    """The workers are inside of C code, which hears of SIGTERM only when it is done."""
    command = [
        sys.executable, "-m", "boston_exp.run", "-m", "model=svr", "model.C=1e7", "preprocess=none", "figures=none",
        "model.epsilon=0.001,0.002", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "evaluation=holdout",
        f"tracking.uri=sqlite:///{store}", f"hydra.sweep.dir={tmp_path}/sweep",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE
    )
    until = time.monotonic() + 60
    while len(list((tmp_path / "sweep" / ".points").glob("*.state"))) < 2:
        assert time.monotonic() < until
        time.sleep(0.05)
    time.sleep(1)
    family = psutil.Process(process.pid).children(recursive=True)
    for _ in range(4):
        process.send_signal(signal.SIGINT)
        time.sleep(0.4)
    process.communicate(timeout=30)
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
    assert process.returncode == 130
