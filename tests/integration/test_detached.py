"""Sweeps that are left on a cluster: submitted, seen, collected, gone on with, whatever happens to the commands."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient

from boston_exp.tracking import liveness
from boston_exp.tracking.tagged import tagged_runs
from tests import clusters
from tests.conftest import Command, python
from tests.integration.test_sweeps import BAD, GRID, OPTUNA, History, ran, started
from tests.services import Service

DETACHED = ("hydra/launcher=submitit_local", "detach=true")  # what submitit_slurm does, as processes of this machine
slow = pytest.mark.slow


def collected(folder: Path, store: Path, *overrides: str, patience: float = 400) -> list[tuple[int, str, str]]:
    """The same command again and again, until nothing is left on the cluster; what each of them said."""
    until, said = time.monotonic() + patience, []
    while not said or re.search(r" (running|waiting) on ", said[-1][1].partition("\n")[0]):
        assert time.monotonic() < until, said[-1]
        time.sleep(2 if said else 0)  # a command that finds nothing new takes the time of the points
        said.append(ran(folder, store, *overrides))
    return said


def left(store: Path) -> list[dict[str, str]]:
    """The notes on runs of points that are on a cluster."""
    return [json.loads(run.tags[liveness.ELSEWHERE]) for run in tagged_runs(store, liveness.ELSEWHERE)]


def points_of(history: History) -> Counter[str]:
    """How often each point was trained to its end."""
    return Counter(run.data.tags["sweep.point"] for run in history.children if run.info.status == "FINISHED")


@slow
def test_a_sweep_is_left_seen_and_collected(tmp_path: Path, store: Path, bad_day: Path) -> None:
    """One command leaves it, doctor tells of it and does not touch it, the same command takes what is there."""
    grid = (*BAD, "model.alpha=1,2,3,4", "+model.seconds=3", *DETACHED)
    code, out, err = ran(tmp_path, store, *grid)
    assert code == 0, err
    assert "grid of 4 points: none has ended yet; " in out
    assert "on this machine (job" in out
    assert "(collects what has ended by then, and goes on)" in out
    parent = History(store).parent
    assert parent.info.status == "RUNNING"
    assert liveness.PROCESS not in parent.data.tags
    (note,) = left(store)
    looked = python("-m", "boston_exp.doctor", f"tracking.uri=sqlite:///{store}", "format=json", cwd=tmp_path)
    (finding,) = [each for each in json.loads(looked.out)["findings"] if each["what"] == "clusters"]
    assert f"sweep {parent.info.run_id[:8]}, submitted 20" in finding["says"]
    assert finding["mend"] == f"{note['command']}   (collects)"
    assert History(store).parent.info.status == "RUNNING"
    *_, (code, out, err) = collected(tmp_path, store, *grid)
    assert code == 0, err
    assert "grid of 4 points: 4 done;" in out
    history = History(store)
    assert (history.parent.info.status, len(history.children)) == ("FINISHED", 4)
    assert sorted(points_of(history).values()) == [1, 1, 1, 1]
    assert left(store) == []
    assert not list(Path(note["folder"]).parent.glob("sweep-*"))  # one folder for all of the commands


@slow
def test_a_command_that_is_killed_submits_nothing_twice(tmp_path: Path, store: Path, bad_day: Path) -> None:
    """kill -9 while points are on their way; tests/faults/detached.py has Slurm, Ray, and the whole of a command."""
    grid = (*BAD, "model.alpha=1,2,3,4,5,6", "+model.seconds=1", *DETACHED)
    for seconds in (0.0, 0.5):
        command = started(tmp_path, store, *grid)
        until = time.monotonic() + 60
        while not (tmp_path / "sweep" / ".points").is_dir() and command.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(seconds)
        command.kill()
        command.communicate()
    *_, (code, out, err) = collected(tmp_path, store, *grid)
    assert code == 0, err
    assert "grid of 6 points: 6 done" in out
    assert sorted(points_of(History(store)).values()) == [1] * 6


@slow
def test_of_two_commands_at_once_one_is_refused(tmp_path: Path, store: Path, bad_day: Path) -> None:
    grid = (*BAD, "model.alpha=1,2,3,4", "+model.seconds=1", *DETACHED)
    for _ in range(2):
        both = [started(tmp_path, store, *grid) for _ in range(2)]
        errors = [command.communicate(timeout=120)[1] for command in both]
        codes = [command.returncode for command in both]
        assert set(codes) <= {0, 2}
        assert all("is running already" in error for error, code in zip(errors, codes, strict=True) if code)
    collected(tmp_path, store, *grid)
    assert sorted(points_of(History(store)).values()) == [1] * 4


@slow
def test_a_point_that_failed_is_one_failed_run_however_often_it_is_collected(
    tmp_path: Path, store: Path, bad_day: Path
) -> None:
    """Its state stays in the folder until the sweep is over, and each command takes all of them."""
    grid = (*BAD, "model.alpha=1,2,3", "+model.fails_at=1", "+model.killed_at=2", "+model.seconds=1", *DETACHED)
    *_, (code, out, _) = collected(tmp_path, store, *grid)
    assert code == 1
    assert "1 done, 2 failed" in out
    assert History(store).statuses == {"FINISHED": 1, "FAILED": 2}


@slow
def test_a_study_goes_on_where_it_was_left(tmp_path: Path, store: Path) -> None:
    study = f"sqlite:///{tmp_path}/optuna.db"
    search = (*OPTUNA, "hydra.sweeper.n_trials=5", f"hydra.sweeper.storage={study}", *DETACHED)
    code, _, err = ran(tmp_path, store, *search)
    assert code == 0, err
    *_, (code, _, err) = collected(tmp_path, store, *search)
    assert code == 0, err
    (name,) = optuna.get_all_study_names(study)
    trials = optuna.load_study(study_name=name, storage=study).trials
    assert Counter(trial.state.name for trial in trials) == {"COMPLETE": 5}
    assert sorted(points_of(History(store)).values()) == [1] * 5


@slow
def test_without_detach_the_same_command_waits_for_what_was_left(tmp_path: Path, store: Path, bad_day: Path) -> None:
    grid = (*BAD, "model.alpha=1,2,3,4", "+model.seconds=2", "hydra/launcher=submitit_local")
    assert ran(tmp_path, store, *grid, "detach=true")[0] == 0
    code, out, err = ran(tmp_path, store, *grid)
    assert code == 0, err
    assert "grid of 4 points: 4 done" in out
    assert sorted(points_of(History(store)).values()) == [1] * 4
    assert left(store) == []


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (("-m", *GRID, "detach=true"), "this launcher has none"),
        (("-m", *GRID, "hydra/launcher=ray", "detach=true"), "needs a Ray cluster that is there"),
        (("-m", *GRID, "hydra/launcher=submitit_local", "detach=true", "tracking=none"), "remembers no sweep"),
        (("model=ridge", "detach=true"), "this is one run"),
    ],
)
def test_what_cannot_be_left_is_refused_before_anything_is_submitted(
    command: Command, overrides: tuple[str, ...], says: str
) -> None:
    result = command(*overrides)
    assert (result.code, says in result.err) == (2, True), result.err
    assert "next:" in result.err


def squeue(format_: str) -> str:
    return subprocess.run(["squeue", "-h", "-o", format_], capture_output=True, check=True, text=True).stdout


@slow
class TestSlurm:
    @pytest.fixture
    def slurm(self, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        reason = clusters.missing(clusters.SLURM)
        if reason:
            pytest.skip(reason)
        with clusters.slurm(tmp_path_factory.mktemp("slurm")) as environment:
            for name, value in environment.items():
                monkeypatch.setenv(name, value)
            yield

    @pytest.mark.usefixtures("slurm")
    def test_two_nodes_train_for_a_server_and_each_point_is_there_once(
        self, tmp_path: Path, store: Path, server: Service
    ) -> None:
        """Each node records in a store of its own, beside the main one, and publishes it."""
        name = f"test-{tmp_path.name}"
        grid = (
            "-m", "model=ridge", "model.alpha=0.1,1,2,3,4,5", "figures=none", "hydra/launcher=submitit_slurm",
            "detach=true", f"tracking.uri={server.url}", f"tracking.local_uri=sqlite:///{store}",
            f"tracking.experiment_name={name}", f"hydra.sweep.dir={tmp_path}/sweep",
        )  # fmt: skip
        first = python("-m", "boston_exp.run", *grid, cwd=tmp_path)
        assert first.code == 0, first.err
        assert "on Slurm" in first.out
        until, result = time.monotonic() + 180, first
        while " on Slurm" in result.out:
            assert time.monotonic() < until, result.out
            result = python("-m", "boston_exp.run", *grid, cwd=tmp_path)
            assert result.code == 0, result.err
        assert "grid of 6 points: 6 done" in result.out
        client = MlflowClient(server.url)
        experiment = client.get_experiment_by_name(name)
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id])
        points = Counter(run.data.tags["sweep.point"] for run in runs if "sweep.point" in run.data.tags)
        assert sorted(points.values()) == [1] * 6
        (parent,) = [run for run in runs if "sweep.point" not in run.data.tags]
        assert {run.info.status for run in runs} == {"FINISHED"}
        assert {run.data.tags.get("mlflow.parentRunId") for run in runs} == {None, parent.info.run_id}
        assert not [tag for tag in parent.data.tags if tag.startswith("boston_exp.")]

    @pytest.mark.usefixtures("slurm")
    def test_ctrl_c_cancels_the_jobs_of_a_sweep_that_waits(self, tmp_path: Path, store: Path, bad_day: Path) -> None:
        grid = (*BAD, "model.alpha=1,2,3,4", "+model.seconds=8", "hydra/launcher=submitit_slurm")
        environment = {**os.environ, "PYTHONPATH": f"{Path.cwd()}:{tmp_path}"}
        command = [
            sys.executable, "-m", "boston_exp.run", "-m", *grid, "tracking.uri=http://127.0.0.1:9",
            f"tracking.local_uri=sqlite:///{store}", f"hydra.sweep.dir={tmp_path}/sweep",
        ]  # fmt: skip
        sweep = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE)
        try:
            clusters.until(lambda: "R" in squeue("%t").split(), patience=120)
            sweep.send_signal(signal.SIGINT)
            sweep.communicate(timeout=60)
        finally:
            sweep.kill()
        assert sweep.returncode == 130
        assert squeue("%i") == ""
