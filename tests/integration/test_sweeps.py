"""Sweeps on real stores with real workers: counted, resumed, killed, and told."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import mlflow
import numpy as np
import optuna
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus, Run
from omegaconf import OmegaConf

from boston_exp.tracking import liveness
from tests.conftest import ROOT, Command, python

GRID = ("model.n_estimators=5,10", "model.max_depth=2,null", "figures=none", "evaluation=holdout")  # no folds: quick
SEARCH = (
    "hydra/sweeper=optuna",
    "hydra.sweeper.sampler.seed=1",
    "model=ridge",
    "model.alpha=tag(log,interval(0.001,100))",
    "figures=none",
)
OPTUNA = (*SEARCH, "evaluation=holdout")

BAD_MODEL = ("model=ridge", "model._target_=bad_day.BadDay", "trusted_packages=[sklearn,bad_day]", "figures=none")
BAD = (*BAD_MODEL, "evaluation=holdout")


class History:
    """What is in a store."""

    def __init__(self, store: Path, experiment: str = "boston-housing") -> None:
        self.client = MlflowClient(f"sqlite:///{store}")
        found = self.client.get_experiment_by_name(experiment)
        runs = self.client.search_runs([found.experiment_id], max_results=5000) if found else []
        self.parents = [run for run in runs if "sweep.key" in run.data.tags]
        self.children = [run for run in runs if "sweep.key" not in run.data.tags]

    @property
    def parent(self) -> Run:
        assert len(self.parents) == 1
        return self.parents[0]

    @property
    def statuses(self) -> Counter[str]:
        return Counter(run.info.status for run in self.children)

    def results(self, of: Run | None = None) -> pd.DataFrame:
        folder = (of or self.parent).info.artifact_uri.removeprefix("file://")
        return pd.read_csv(f"{folder}/results.csv", keep_default_na=False, na_values=[""])


def sweep(folder: Path, store: Path, *overrides: str) -> list[str]:
    return [
        sys.executable, "-m", "boston_exp.run", "-m", *overrides,
        f"tracking.uri=sqlite:///{store}", f"hydra.sweep.dir={folder}/sweep",
    ]  # fmt: skip


def started(folder: Path, store: Path, *overrides: str, open_files: int | None = None) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{folder}"}
    limited = ["sh", "-c", f'ulimit -n {open_files} && exec "$@"', "sh"] if open_files else []
    return subprocess.Popen(
        [*limited, *sweep(folder, store, *overrides)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ran(folder: Path, store: Path, *overrides: str, open_files: int | None = None) -> tuple[int, str, str]:
    process = started(folder, store, *overrides, open_files=open_files)
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


def test_a_grid_is_one_parent_with_a_child_a_point(command: Command, store: Path) -> None:
    result = command("-m", *GRID)
    assert result.code == 0, result.err
    history = History(store)
    parent = history.parent
    assert history.statuses == {"FINISHED": 4}
    assert {run.data.tags["mlflow.parentRunId"] for run in history.children} == {parent.info.run_id}
    tried = {(run.data.params["model.n_estimators"], run.data.params["model.max_depth"]) for run in history.children}
    assert tried == {("5", "2"), ("5", "None"), ("10", "2"), ("10", "None")}
    assert parent.info.status == "FINISHED"
    assert parent.data.params["model.n_estimators"] == "5,10"
    assert parent.data.params["objective"] == "minimize rmse"
    best = min(history.children, key=lambda run: run.data.metrics["rmse"])
    assert parent.data.tags["best.run_id"] == best.info.run_id
    assert parent.data.metrics["rmse"] == best.data.metrics["rmse"]
    counts = {name: parent.data.metrics[name] for name in ("n_points", "n_done", "n_reused", "n_failed", "n_pruned")}
    assert counts == {"n_points": 4, "n_done": 4, "n_reused": 0, "n_failed": 0, "n_pruned": 0}
    table = history.results()
    assert list(table["rmse"]) == sorted(table["rmse"])
    assert table["run_id"][0] == best.info.run_id
    assert "grid of 4 points: 4 done" in result.out
    assert f"next        {parent.data.tags['best.command']}\n" in result.out


def test_only_the_best_model_is_stored_and_it_is_the_best_points(command: Command, store: Path) -> None:
    assert command("-m", *GRID).code == 0
    history = History(store)
    assert not any(run.outputs.model_outputs for run in history.children)
    mlflow.set_tracking_uri(f"sqlite:///{store}")
    model = mlflow.sklearn.load_model(f"runs:/{history.parent.info.run_id}/model")
    best = history.client.get_run(history.parent.data.tags["best.run_id"])
    assert str(model.n_estimators) == best.data.params["model.n_estimators"]
    assert str(model.max_depth) == best.data.params["model.max_depth"]


def test_log_model_all_and_none(command: Command, store: Path) -> None:
    assert command("-m", *GRID, "tracking.log_model=all").code == 0
    history = History(store)
    assert all(len(run.outputs.model_outputs) == 1 for run in history.children)
    mlflow.set_tracking_uri(f"sqlite:///{store}")
    ids = (history.parent.info.run_id, history.parent.data.tags["best.run_id"])
    parents, best = (mlflow.pyfunc.load_model(f"runs:/{run_id}/model") for run_id in ids)
    assert (parents.metadata.run_id, best.metadata.run_id) == ids
    assert parents.metadata.model_uuid == history.parent.outputs.model_outputs[0].model_id
    rows = pd.DataFrame(
        np.random.default_rng(0).normal(size=(5, 13)), columns=best.metadata.signature.inputs.input_names()
    )
    assert (parents.predict(rows) == best.predict(rows)).all()
    assert command("-m", *GRID, "tracking.log_model=all").code == 0
    assert len(History(store).parent.outputs.model_outputs) == 1
    assert command("-m", *GRID, "seed=7", "tracking.log_model=none").code == 0
    newest = max(History(store).parents, key=lambda run: run.info.start_time)
    assert not newest.outputs.model_outputs


@pytest.mark.slow
def test_all_of_the_models_twice_and_what_was_deleted_is_made_again(
    command: Command, store: Path, tmp_path: Path
) -> None:
    every = ("-m", "model.n_estimators=5,10", "figures=none", "tracking.log_model=all")
    for how in ((), ("skip_finished=false",), ()):
        result = command(*every, *how)
        assert result.code == 0, result.err
    history = History(store)
    for run in [history.parent, *history.children]:
        for output in run.outputs.model_outputs:
            history.client.delete_logged_model(output.model_id)
    host, _, started, world = liveness.tags()[liveness.PROCESS].split(" ")
    open_run = {**liveness.tags(), liveness.PROCESS: f"{host} 99999999 {started} {world}"}
    for name, value in open_run.items():
        history.client.set_tag(history.parent.info.run_id, name, value)
    history.client.update_run(history.parent.info.run_id, status="RUNNING")  # as after a kill -9
    code, out, err = ran(tmp_path, store, "model.n_estimators=5,10,15", "figures=none")
    assert code == 0, err
    assert "1 done, 2 reused" in out
    newest = max(History(store).parents, key=lambda run: run.info.start_time)
    assert newest.info.run_id != history.parent.info.run_id
    (model,) = newest.outputs.model_outputs
    assert history.client.get_logged_model(model.model_id).status == LoggedModelStatus.READY
    assert history.client.get_run(history.parent.info.run_id).info.status == "KILLED"


def test_a_parameter_that_is_added_can_be_swept(command: Command, store: Path) -> None:
    result = command("-m", "model.n_estimators=5", "+model.ccp_alpha=0.0,0.1", "figures=none")
    assert result.code == 0, result.err
    assert History(store).parent.data.params["model.ccp_alpha"] == "0.0,0.1"
    assert {run.data.params["model.ccp_alpha"] for run in History(store).children} == {"0.0", "0.1"}
    assert "1 reused, 1 failed" in command("-m", "+model.ccp_alpha=0.1,-1", "model.n_estimators=5", "figures=none").out


def test_the_same_sweep_again_is_reused_without_a_fit(command: Command, store: Path) -> None:
    assert command("-m", *GRID).code == 0
    before = {run.info.run_id for run in History(store).children}
    result = command("-m", *GRID)
    assert "grid of 4 points: 4 reused" in result.out
    assert {run.info.run_id for run in History(store).children} == before
    assert History(store).parent.data.metrics["n_reused"] == 4


def test_points_of_any_earlier_run_or_sweep_are_reused_by_their_fingerprint(command: Command, store: Path) -> None:
    """A wider grid trains only what is new; a single run counts as well."""
    assert command("model.n_estimators=20", "model.max_depth=2", "figures=none").code == 0
    assert command("-m", *GRID).code == 0
    wider = ("-m", "model.n_estimators=5,10,20", *GRID[1:])
    result = command(*wider)
    assert "grid of 6 points: 1 done, 5 reused" in result.out
    again = command(*wider)
    assert "grid of 6 points: 6 reused" in again.out
    parent = next(run for run in History(store).parents if run.data.params["model.n_estimators"] == "5,10,20")
    experiment = History(store).client.get_experiment(parent.info.experiment_id)
    view = json.loads(experiment.tags[f"mlflow.sharedViewState.sweep-{parent.info.run_id[:8]}"])
    for run_id in History(store).results(parent)["run_id"]:  # runs of other sweeps: named by their ids, and linked to
        assert run_id in view["searchFilter"]
        assert f"/runs/{run_id}?" in parent.data.tags["mlflow.note.content"]
    fresh = command("-m", *GRID, "skip_finished=false")
    assert "grid of 4 points: 4 done" in fresh.out


def test_a_single_run_can_skip_what_is_recorded(command: Command, store: Path) -> None:
    quick = ("experiment=quick_test", "figures=none")
    assert command(*quick).code == 0
    result = command(*quick, "skip_finished=true")
    assert "is recorded already, nothing was trained" in result.out
    assert len(History(store).children) == 1
    assert command(*quick).code == 0
    assert len(History(store).children) == 2


def test_a_failing_point_is_recorded_and_the_rest_goes_on(command: Command, store: Path, bad_day: Path) -> None:
    result = command("-m", *BAD, "model.alpha=1.0,2.0,3.0", "+model.fails_at=2.0")
    assert result.code == 1
    assert "failed alpha=2: FitFailed: BadDay cannot be fitted: MemoryError: no room for alpha" in result.err
    assert "grid of 3 points: 2 done, 1 failed" in result.out
    history = History(store)
    assert history.statuses == {"FINISHED": 2, "FAILED": 1}
    (failed,) = (run for run in history.children if run.info.status == "FAILED")
    assert "no room for alpha" in failed.data.tags["error"]
    assert failed.data.params["model.alpha"] == "2.0"
    assert history.parent.info.status == "FINISHED"
    assert history.parent.data.metrics["n_failed"] == 1


def test_points_that_are_refused_or_do_not_compose_are_failures_too(command: Command, store: Path) -> None:
    result = command("-m", "model.max_depth=2,-3,4", "model.n_estimators=5", "figures=none")
    assert result.code == 1
    assert "model.max_depth=-3 is not possible" in result.err
    assert History(store).statuses == {"FINISHED": 2, "FAILED": 1}
    result = command("-m", "seed=1,abc,3", "experiment=quick_test", "figures=none")
    assert result.code == 1
    assert "failed seed=abc" in result.err
    assert "could not be converted to Integer" in result.err
    assert "2 done, 1 failed" in result.out


def test_failed_points_are_tried_again_by_the_next_part(command: Command, store: Path, bad_day: Path) -> None:
    assert command("-m", *BAD, "model.alpha=1.0,2.0", "+model.fails_at=2.0").code == 1
    result = command("-m", *BAD, "model.alpha=1.0,2.0", "+model.fails_at=2.0")
    assert "1 reused, 1 failed" in result.out


def test_max_failures_stops_early(command: Command, store: Path) -> None:
    result = command("-m", "model.max_depth=2,-3,-4,-5,3,5", "model.n_estimators=5", "figures=none", "max_failures=2")
    assert result.code == 1
    assert "1 done, 2 failed, 3 not tried" in result.out
    history = History(store)
    assert history.parent.info.status == "FAILED"
    (best,) = history.parent.outputs.model_outputs
    assert history.client.get_logged_model(best.model_id).status == LoggedModelStatus.READY


def test_a_sweep_that_went_on_to_its_end_keeps_no_error_of_an_earlier_part(command: Command, store: Path) -> None:
    grid = ("-m", "model=ridge", "model.alpha=-1,1", "figures=none", "tracking.log_model=none")
    assert command(*grid, "max_failures=1").code == 1
    assert "max_failures=1" in History(store).parent.data.tags["error"]
    command(*grid)
    parent = History(store).parent
    assert (parent.info.status, parent.data.metrics["n_done"]) == ("FINISHED", 1)
    assert "error" not in parent.data.tags


@pytest.mark.parametrize(
    ("overrides", "says", "code"),
    [
        (["model.max_dept=2,3"], "Did you mean: 'max_depth'", 1),
        (["model=forest,ridge"], "Available options in 'model'", 1),
        (["model.max_depth=range(5,5)"], "has no values", 2),
        (["model.max_depth=interval(5,9)"], "has no end of values for a grid", 2),
        (["data.test_size=7", "model.max_depth=2,3"], "data.test_size=7.0 is not possible", 2),
        (["max_failures=0", "model.max_depth=2,3"], "max_failures=0 is not possible", 2),
        (
            ["hydra/sweeper=optuna", "model.max_depth=2,3", "hydra.sweeper.n_trials=0"],
            "n_trials=0 would try nothing",
            2,
        ),
        (["hydra/sweeper=optuna"], "There is nothing to search", 2),
        (["hydra/sweeper=optuna", "model.max_depth=range(5,5)"], "has no values", 2),
        (
            ["hydra/sweeper=optuna", "model.max_depth=2,3", "hydra.sweeper.direction=maximize"],
            "contradicts the objective: cv_rmse means minimize",
            2,
        ),
        (["hydra/sweeper=optuna", "model.max_dept=range(2,9)"], "Did you mean: 'max_depth'", 1),
        (
            ["hydra/sweeper=optuna", "model.max_depth=2,3", "hydra.sweeper.storage=sqlite:////proc/x.db"],
            "cannot be used: unable to open database file",
            2,
        ),
        (
            ["hydra/sweeper=optuna", "model.max_depth=2,3", "hydra.sweeper.storage=nonsense"],
            "The study database <not a database URL> cannot be used",
            2,
        ),
        (["hydra/sweeper=optuna", "model.max_depth=2,3", "hydra.sweeper.n_trials=many"], "has to be a whole number", 2),
        (["hydra/sweeper=optuna", "model.max_depth=2,3", "hydra.sweeper.n_trials=1.5"], "has to be a whole number", 2),
        (["hydra/sweeper=optuna", "model.max_depth=2,3", "hydra.sweeper.n_jobs=all"], "has to be a whole number", 2),
        (["hydra/sweeper=optuna", "model.max_depth=2,3", "+hydra.sweeper.n_trails=5"], "Did you mean 'n_trials'?", 2),
        (
            ["hydra/sweeper=optuna", "model.max_depth=2,3", "hydra.sweeper.sampler.seed=abc"],
            "hydra.sweeper.sampler is not possible",
            2,
        ),
        (
            ["hydra/sweeper=optuna", "model.max_depth=2,3", "hydra.sweeper.sampler._target_=Nope"],
            "hydra.sweeper.sampler is not possible",
            2,
        ),
        (
            ["hydra/sweeper=optuna", "model.max_depth=2,3", "hydra.sweeper.pruner._target_=optuna.pruners.Nope"],
            "hydra.sweeper.pruner is not possible",
            2,
        ),
        (["hydra/sweeper=optuna", "model.max_features=interval(0,inf)"], "its ends have to be finite", 2),
        (["hydra/sweeper=optuna", "~model.max_depth=interval(1,2)"], "no values to sweep", 2),
        (["~model.max_depth=1,2"], "no values to sweep", 2),
        (["hydra/launcher=submitit_slurm", "model.max_depth=2,3"], "cannot share the sqlite store", 2),
        (["search.gain=0.1", "model.max_depth=2,3"], "search.gain=0.1 is not possible: a grid tries every", 2),
        (["hydra/sweeper=optuna", "search.gain=-1", "model.max_depth=2,3"], "a number above 0, noise or null", 2),
    ],
)
def test_a_sweep_that_cannot_be_done_is_refused_before_it_starts(
    command: Command, store: Path, overrides: list[str], says: str, code: int
) -> None:
    result = command("-m", *overrides, "figures=none")
    assert says in result.err + result.out
    assert result.code == code
    assert "Traceback" not in result.err
    assert History(store).children == []


def test_a_database_of_another_program_is_left_alone(command: Command, store: Path) -> None:
    before = store.read_bytes()
    result = command("-m", *OPTUNA, f"hydra.sweeper.storage=sqlite:///{store}", "tracking=none")
    assert result.code == 2
    assert "is the database of another program" in result.err
    assert store.read_bytes() == before


def test_a_launcher_that_is_not_installed_is_named_with_its_pip_command(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken away as far as an import can see: uninstalling it here would break the tests beside this one."""
    from boston_exp.sweep import plugins

    monkeypatch.setattr(plugins, "find_spec", lambda name: None)
    result = command("-m", "hydra/launcher=ray", "model.max_depth=2,3")
    assert result.code == 2
    assert "-m pip install -e '.[ray]'" in result.err


class TestOptuna:
    @pytest.fixture(autouse=True)
    def _study(self, tmp_path: Path) -> None:
        self.url = f"sqlite:///{tmp_path}/optuna.db"
        self.overrides = (*OPTUNA, f"hydra.sweeper.storage={self.url}")

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        (name,) = optuna.get_all_study_names(self.url)
        return optuna.load_study(study_name=name, storage=self.url).trials

    def test_a_search_ends_at_the_asked_number_and_goes_on_from_there(self, command: Command, store: Path) -> None:
        assert command("-m", *self.overrides, "hydra.sweeper.n_trials=4").code == 0
        first = [trial.params["model.alpha"] for trial in self.trials()]
        result = command("-m", *self.overrides, "hydra.sweeper.n_trials=7")
        assert "optuna of 7 points: 3 done, 4 reused" in result.out
        alphas = [trial.params["model.alpha"] for trial in self.trials()]
        assert alphas[:4] == first
        assert len(set(alphas)) == 7  # nothing is proposed twice
        history = History(store)
        assert history.statuses == {"FINISHED": 7}
        assert history.parent.data.metrics["n_points"] == 7
        complete = command("-m", *self.overrides, "hydra.sweeper.n_trials=7")
        assert "optuna of 7 points: 7 reused" in complete.out

    @pytest.mark.slow
    @pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes", "qmc", "nsgaii"])
    def test_every_sampler_searches_every_kind_of_range(self, command: Command, store: Path, sampler: str) -> None:
        space = (
            "model.n_estimators=range(2,9)",
            "model.max_depth=2,4,null",
            "model.min_samples_split=int(interval(2,9))",
        )
        result = command(
            "-m", "hydra/sweeper=optuna", f"hydra/sweeper/sampler={sampler}", "hydra.sweeper.sampler.seed=1",
            "hydra.sweeper.n_trials=6", f"hydra.sweeper.storage={self.url}", *space, "figures=none",
            "evaluation=holdout",
        )  # fmt: skip
        assert result.code == 0, result.err
        assert len([t for t in self.trials() if t.state.name == "COMPLETE"]) == 6
        for run in History(store).children:
            assert run.data.params["model.max_depth"] in ("2", "4", "None")

    def test_the_gaussian_process_sampler_says_what_it_needs(self, command: Command) -> None:
        result = command("-m", *self.overrides, "hydra/sweeper/sampler=gp", "hydra.sweeper.n_trials=3")
        try:
            import torch  # noqa: F401
        except ImportError:
            assert result.code == 2
            assert "GPSampler needs torch, which is not installed" in result.err
        else:
            assert result.code == 0

    def test_several_objectives_give_a_pareto_front(self, command: Command, store: Path) -> None:
        result = command(
            "-m", *self.overrides, "hydra.sweeper.n_trials=6", "objective.metric=[rmse,train_rmse]",
            "hydra/sweeper/sampler=nsgaii",
        )  # fmt: skip
        assert result.code == 0, result.err
        assert "Pareto front of rmse, train_rmse" in result.out
        table = History(store).results()
        front = table[table.pareto]
        assert 1 <= len(front) <= 6
        for _, row in table[~table.pareto].iterrows():
            assert ((front.rmse <= row.rmse) & (front.train_rmse <= row.train_rmse)).any()

    def test_bad_trials_are_pruned_after_the_first_folds_and_are_no_failures(
        self, command: Command, store: Path, tmp_path: Path
    ) -> None:
        result = command(
            "-m", "hydra/sweeper=optuna", "hydra.sweeper.sampler.seed=3", "hydra.sweeper.n_trials=14",
            f"hydra.sweeper.storage={self.url}", "hydra.sweeper.pruner.n_startup_trials=2", "evaluation=cv",
            "model=ridge", "model.alpha=tag(log,interval(0.001,1e7))", "figures=none",
        )  # fmt: skip
        assert result.code == 0, result.err
        pruned = [trial for trial in self.trials() if trial.state.name == "PRUNED"]
        assert pruned
        assert all(2 <= len(trial.intermediate_values) < 5 for trial in pruned)
        history = History(store)
        killed = [run for run in history.children if run.info.status == "KILLED"]
        assert len(killed) == len(pruned) == history.parent.data.metrics["n_pruned"]
        assert all(run.data.tags["pruned"] == "true" for run in killed)
        assert f"{len(pruned)} pruned" in result.out
        logs = [file.read_text() for file in (tmp_path / "multirun").rglob("run.log")]
        assert sum("pruned after fold" in log for log in logs) == len(pruned)
        assert not [log for log in logs if "ERROR" in log]
        assert "Error executing job" not in result.err

    def test_a_study_of_another_search_is_refused(self, command: Command, store: Path) -> None:
        named = (*self.overrides, "hydra.sweeper.study_name=mine", "hydra.sweeper.n_trials=2")
        assert command("-m", *named).code == 0
        result = command("-m", *named, "model.alpha=interval(1,2)")
        assert result.code == 2
        assert "The study 'mine' belongs to another search" in result.err
        assert len(self.trials()) == 2

    def test_a_failed_trial_counts_and_does_not_end_the_search(
        self, command: Command, store: Path, bad_day: Path
    ) -> None:
        result = command(
            "-m", *BAD, "hydra/sweeper=optuna", f"hydra.sweeper.storage={self.url}", "hydra/sweeper/sampler=random",
            "hydra.sweeper.sampler.seed=1", "hydra.sweeper.n_trials=6", "model.alpha=1.0,2.0", "+model.fails_at=2.0",
        )  # fmt: skip
        assert result.code == 1
        states = Counter(trial.state.name for trial in self.trials())
        assert states["FAIL"] >= 1
        assert sum(states.values()) == 6
        assert "failed" in result.out


@pytest.mark.parametrize("search", ["grid_random_forest", "optuna_random_forest", "optuna_hist_gradient_boosting"])
def test_presets_get_the_sweeper_and_the_launcher_they_name(search: str, tmp_path: Path) -> None:
    """hydra#2946: a preset that does not override the group is silently ignored."""
    shown = python(
        "-m", "boston_exp.run", f"search={search}", "--cfg", "hydra", "--package", "hydra.sweeper", cwd=tmp_path
    )
    wanted = "GridSweeper" if search.startswith("grid") else "OptunaSweeper"
    assert f"boston_exp.sweep.plugins.{wanted}" in shown.out
    assert "model." in shown.out
    folder = tmp_path / "more" / "search"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /hydra/launcher: joblib\nhydra: {launcher: {n_jobs: 3}}\n"
    )
    shown = python(
        "-m", "boston_exp.run", "--config-dir", str(folder.parent), "search=mine", "--cfg", "hydra",
        "--package", "hydra.launcher", cwd=tmp_path,
    )  # fmt: skip
    assert "JoblibLauncher" in shown.out
    assert "n_jobs: 3" in shown.out


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["multiprocessing", "loky"])
def test_joblib_on_a_fresh_store_trains_every_point_once(tmp_path: Path, backend: str) -> None:
    store = tmp_path / "fresh.db"
    joblib = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", f"hydra.launcher.backend={backend}")
    code, out, err = ran(tmp_path, store, *GRID, *joblib)
    assert code == 0, err
    assert "grid of 4 points: 4 done" in out
    assert "locked" not in err
    history = History(store)
    assert history.statuses == {"FINISHED": 4}
    states = [json.loads(file.read_text()) for file in tmp_path.rglob("*.state")]
    assert len({state["pid"] for state in states}) >= 2
    each_has_its_own_configuration(tmp_path, history)


@pytest.mark.slow
def test_every_point_has_its_own_configuration(tmp_path: Path, store: Path) -> None:
    code, _, err = ran(tmp_path, store, *GRID)
    assert code == 0, err
    each_has_its_own_configuration(tmp_path, History(store))


def each_has_its_own_configuration(folder: Path, history: History) -> None:
    """In its folder, in the record, and in what was trained: one point's configuration is made from another's."""
    trained = {(run.data.params["model.n_estimators"], run.data.params["model.max_depth"]) for run in history.children}
    assert trained == {("5", "2"), ("5", "None"), ("10", "2"), ("10", "None")}
    found = set()
    for number in range(4):
        place = folder / "sweep" / str(number) / ".hydra"
        config, hydra = OmegaConf.load(place / "config.yaml"), OmegaConf.load(place / "hydra.yaml")
        values = (str(config.model.n_estimators), str(config.model.max_depth))
        found.add(values)
        null = "null" if config.model.max_depth is None else config.model.max_depth
        point = [f"model.n_estimators={config.model.n_estimators}", f"model.max_depth={null}"]
        assert list(OmegaConf.load(place / "overrides.yaml"))[:2] == point
        assert list(hydra.hydra.overrides.task)[:2] == point
        assert hydra.hydra.job.num == number
        assert hydra.hydra.runtime.output_dir == str(place.parent)
    assert found == trained


@pytest.mark.slow
def test_the_best_model_costs_one_fit_and_garbage_is_looked_for_while_fitting(tmp_path: Path, store: Path) -> None:
    (tmp_path / "counting.py").write_text(
        "import gc\n"
        "from sklearn.linear_model import Ridge\n"
        "class Counting(Ridge):\n"
        "    def fit(self, X, y):\n"
        "        print(f'fit, garbage {gc.isenabled()}', file=open('fits', 'a'))\n"
        "        return super().fit(X, y)\n"
    )
    own = ("model=ridge", "model._target_=counting.Counting", "trusted_packages=[sklearn,counting]", "figures=none")
    code, _, err = ran(tmp_path, store, *own, "model.alpha=1,2", "evaluation=cv", "evaluation.n_splits=3")
    assert code == 0, err
    assert Counter((tmp_path / "fits").read_text().splitlines()) == {
        "fit, garbage False": 1,  # on a few rows, before the sweep: would its types be refused in the end?
        "fit, garbage True": 2 * (3 + 1) + 1,
    }


@pytest.mark.slow
def test_a_point_that_does_not_compose_costs_no_worker(tmp_path: Path, store: Path) -> None:
    joblib = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    code, out, err = ran(tmp_path, store, "model.n_estimators=5,6,7", "seed=1,x,2", "figures=none", *joblib)
    assert code == 1
    assert "6 done, 3 failed" in out, err
    assert err.count("seed=x: ") == 3


@pytest.mark.slow
def test_two_sweeps_of_one_process_have_workers_of_their_own(tmp_path: Path, store: Path) -> None:
    script = (
        "import sys\n"
        "from boston_exp.run import run\n"
        "for seed in (11, 12):\n"
        "    sys.argv = ['run', '-m', 'model.n_estimators=5,6', f'seed={seed}', 'figures=none',\n"
        "        'hydra/launcher=joblib', 'hydra.launcher.n_jobs=2',\n"
        f"        'tracking.uri=sqlite:///{store}', f'hydra.sweep.dir={tmp_path}/{{seed}}']\n"
        "    run()\n"
    )
    shown = python("-c", script, cwd=tmp_path)
    assert shown.out.count("grid of 2 points: 2 done") == 2, shown.err
    history = History(store)
    for parent in history.parents:
        mine = [run for run in history.children if run.data.tags["mlflow.parentRunId"] == parent.info.run_id]
        assert {run.data.params["seed"] for run in mine} == {parent.data.params["sweep.fixed"].split("seed=")[1][:2]}
        assert len(mine) == 2


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["multiprocessing", "loky"])
def test_a_worker_that_is_killed_is_one_failed_point(tmp_path: Path, store: Path, bad_day: Path, backend: str) -> None:
    """Loky's other worker dies with it; its point is no suspect for long."""
    alphas = "model.alpha=1.0,2.0,3.0,4.0,5.0,6.0"
    joblib = ("hydra/launcher=joblib", f"hydra.launcher.backend={backend}")
    code, out, err = ran(tmp_path, store, *BAD, alphas, "+model.killed_at=3.0", *joblib)
    assert code == 1, err
    assert "failed alpha=3: its worker was killed" in err
    assert "5 done, 1 failed" in out
    history = History(store)
    assert (history.statuses["FINISHED"], history.statuses["FAILED"], history.statuses["RUNNING"]) == (5, 1, 0)
    assert history.parent.info.status == "FINISHED"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_sweep_that_was_interrupted_is_completed_by_the_same_command(
    tmp_path: Path, store: Path, bad_day: Path, number: int, launcher: str
) -> None:
    """At several random moments; finished points are not run again, nothing stays RUNNING, there is one parent."""
    overrides = (*BAD, "model.alpha=range(1,25)", "+model.seconds=0.3", f"hydra/launcher={launcher}")
    moments = random.Random(number)  # noqa: S311 (the same moments every time)
    for _ in range(2):
        process = started(tmp_path, store, *overrides)
        until = time.monotonic() + 60
        before = History(store).statuses["FINISHED"]
        while History(store).statuses["FINISHED"] < before + 2 and process.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.1)
        time.sleep(moments.random())
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
        if number != signal.SIGKILL:
            assert "Traceback" not in err
            assert "the same command goes on from here" in err
            assert History(store).statuses["RUNNING"] == 0
            assert History(store).parent.info.status == "KILLED"
    finished = {run.info.run_id for run in History(store).children if run.info.status == "FINISHED"}
    time.sleep(2.5)  # an orphaned worker notices within a second or two
    code, _, err = ran(tmp_path, store, *overrides)
    assert code == 0, err
    history = History(store)
    done = [run for run in history.children if run.info.status == "FINISHED"]
    assert finished <= {run.info.run_id for run in done}
    assert sorted(int(run.data.params["model.alpha"]) for run in done) == list(range(1, 25))
    assert history.statuses["RUNNING"] == 0
    assert history.parent.info.status == "FINISHED"
    folders = [int(entry.name) for entry in (tmp_path / "sweep").iterdir() if entry.name.isdigit()]
    assert len(folders) == len(set(folders)) >= 24


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_search_that_was_interrupted_is_completed_by_the_same_command(
    tmp_path: Path, store: Path, bad_day: Path, number: int
) -> None:
    url = f"sqlite:///{tmp_path}/optuna.db"
    overrides = (
        *BAD_MODEL, "hydra/sweeper=optuna", f"hydra.sweeper.storage={url}", "hydra.sweeper.sampler.seed=1",
        "model.alpha=tag(log,interval(0.001,100))", "+model.seconds=0.05", "hydra.sweeper.n_trials=10",
        "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.pruner=null",
    )  # fmt: skip
    process = started(tmp_path, store, *overrides)
    until = time.monotonic() + 60
    while History(store).statuses["FINISHED"] < 3:
        assert time.monotonic() < until
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.send_signal(number)
    process.communicate(timeout=30)
    time.sleep(2.5)
    code, _, err = ran(tmp_path, store, *overrides)
    assert code == 0, err
    (name,) = optuna.get_all_study_names(url)
    trials = optuna.load_study(study_name=name, storage=url).trials
    counted = [trial for trial in trials if not trial.user_attrs.get("boston_exp.interrupted")]
    assert Counter(trial.state.name for trial in counted) == {"COMPLETE": 10}
    assert len({trial.params["model.alpha"] for trial in counted}) == 10
    assert all(trial.state.name != "RUNNING" for trial in trials)
    history = History(store)
    assert history.statuses["FINISHED"] == 10
    assert history.statuses["RUNNING"] == 0
    assert history.parent.info.status == "FINISHED"


@pytest.mark.slow
def test_the_same_sweep_twice_at_once_is_refused(tmp_path: Path, store: Path, bad_day: Path, command: Command) -> None:
    overrides = (*BAD, "model.alpha=range(1,13)", "+model.seconds=0.5")
    process = started(tmp_path, store, *overrides)
    try:
        until = time.monotonic() + 60
        while not History(store).children:
            assert time.monotonic() < until
            time.sleep(0.1)
        result = command("-m", *overrides)
        assert result.code == 2
        assert "This very sweep is running already" in result.err
    finally:
        process.kill()
        process.communicate()


def test_workers_get_their_share_of_the_cores_and_no_more(tmp_path: Path) -> None:
    """A library that would start a thread a core in each of two workers halves the speed of both."""
    from boston_exp.sweep.jobs import limited_to

    with limited_to(1):
        import joblib
        from threadpoolctl import threadpool_info

        assert joblib.cpu_count() == 1
        assert all(pool["num_threads"] == 1 for pool in threadpool_info())
