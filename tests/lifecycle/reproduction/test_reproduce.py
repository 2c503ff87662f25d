"""A run that is trained again is the same to the last bit, or the command says what is not and exits 1."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.conftest import ROOT, Command
from tests.lifecycle.conftest import left
from tests.lifecycle.reproduction.conftest import RIDGE, Record


def test_a_run_is_the_same_to_the_last_bit(
    command: Command, record: Record, repetitions: Callable[[], list[Run]]
) -> None:
    """With its folds; the repetition is recorded beside it as what it is, with the settings as they were typed."""
    run = record(*RIDGE, "evaluation=cv")
    result = command(f"run_id={run.info.run_id[:8]}", program="reproduce")
    assert result.code == 0, result.err
    assert "identical to the last bit: 24 metrics, 5 folds, 404 out-of-fold predictions and 102 held" in result.out
    assert "Nothing else differs" in result.out
    (again,) = repetitions()
    assert again.info.run_id in result.out
    assert again.info.run_name == f"{run.info.run_name} (again)"
    assert again.data.tags["reproduces"] == run.info.run_id
    assert again.data.tags["fingerprint"] == run.data.tags["fingerprint"]
    assert again.data.params == run.data.params
    for path in ("config/config.yaml", "config/overrides.yaml"):
        before, after = (Path(each.info.artifact_uri.removeprefix("file://")) / path for each in (run, again))
        assert after.read_text() == before.read_text()


def test_a_repetition_is_no_competitor(command: Command, record: Record, repetitions: Callable[[], list[Run]]) -> None:
    """It is the same result once more: not ranked, not `best`, not counted among those that consulted the held-out
    rows, and no finished run to be taken instead of a training."""
    run = record(*RIDGE, "evaluation=cv")
    assert command(f"run_id={run.info.run_id}", program="reproduce").code == 0
    board = json.loads(command("format=json", program="leaderboard").out)
    assert [row["run_id"] for row in board["runs"]] == [run.info.run_id]
    assert "1 run has consulted" in command(program="leaderboard").out
    assert command(*RIDGE, "evaluation=cv", "skip_finished=true").out.split() == [run.info.run_id]
    (again,) = repetitions()
    based = command(f"base={again.info.run_id}", "explain=true")
    assert "model=ridge preprocess=standard" in based.err


def test_a_number_that_is_not_the_same_is_found_and_exit_code_is_1(
    command: Command, record: Record, store: Path
) -> None:
    """One digit of one prediction; with record=false nothing is kept of it."""
    run = record()
    before = left(store)
    file = Path(run.info.artifact_uri.removeprefix("file://")) / "predictions.csv"
    lines = file.read_text().splitlines()
    row, actual, predicted, residual = lines[5].split(",")
    lines[5] = ",".join([row, actual, repr(float(predicted) * (1 + 1e-12)), residual])
    file.write_text("\n".join(lines) + "\n")
    result = command(f"run_id={run.info.run_id}", "record=false", "format=json", program="reproduce")
    assert result.code == 1
    found = json.loads(result.out)
    assert (found["identical"], found["again"]) == (False, None)
    wrong = [row for row in found["values"] if not row["same"]]
    assert [(row["of"], row["name"], row["differing"], row["values"]) for row in wrong] == [
        ("predictions.csv", "predicted", 1, 102)
    ]
    assert found["largest_relative"] == pytest.approx(1e-12, rel=1e-3)
    tolerant = command(f"run_id={run.info.run_id}", "record=false", "tolerance=1e-9", program="reproduce")
    assert tolerant.code == 0
    assert "the same within tolerance=1e-09: 1 of 102 held-out predictions differ, by 1e-12" in tolerant.out
    assert left(store) == before


def test_a_changed_table_is_not_taken_for_the_recorded_one(command: Command, record: Record, tmp_path: Path) -> None:
    """The record has the md5; where no file has it, the message says which one, and where it was looked for."""
    table = tmp_path / "mine.csv"
    table.write_text("x,y\n" + "".join(f"{i},{i * 0.5 + i % 3}\n" for i in range(60)))
    run = record(*RIDGE, "data=csv", f"data.path={table}", "data.target=y", "data.experiment_name=boston-housing")
    assert command(f"run_id={run.info.run_id}", "record=false", program="reproduce").code == 0
    table.write_text(table.read_text() + "1,1\n")
    result = command(f"run_id={run.info.run_id}", program="reproduce")
    assert result.code == 2
    assert run.data.tags["data.md5"] in result.err
    assert f"{table} (has another md5)" in result.err


def test_data_that_is_gone_comes_from_dvc_by_its_md5(command: Command, record: Record, tmp_path: Path) -> None:
    """Recorded from a folder that is gone since: DVC's cache has files by their content, whatever they are called."""
    elsewhere = Path(shutil.copy(ROOT / "data/raw/housing.csv", tmp_path / "elsewhere.csv"))
    run = record(*RIDGE, f"data.path={elsewhere}")
    elsewhere.unlink()
    result = command(f"run_id={run.info.run_id}", program="reproduce")
    assert result.code == 0, result.err
    assert "identical to the last bit" in result.out


def test_what_cannot_be_trained_again_is_refused_with_the_reason(command: Command, record: Record, store: Path) -> None:
    run = record()
    client = MlflowClient(f"sqlite:///{store}")
    failed = client.create_run("1", run_name="crashed").info.run_id
    client.set_terminated(failed, "FAILED")
    foreign = client.create_run("1", run_name="by hand").info.run_id
    client.set_terminated(foreign, "FINISHED")
    sweep = client.create_run("1", tags={"sweep.key": "x", "best.run_id": run.info.run_id}).info.run_id
    client.set_terminated(sweep, "FINISHED")
    elsewhere = "0123456789" * 4
    for run_id, says in (
        (failed, "is FAILED: it has no result"),
        (foreign, "has no config/config.yaml that can be read"),
        (sweep, f"its best one is {run.info.run_id}"),
        (run.info.run_id, f"is from commit {elsewhere[:12]}, which is not in this repository"),
    ):
        if run_id == run.info.run_id:
            client.set_tag(run_id, "mlflow.source.git.commit", elsewhere)
        result = command(f"run_id={run_id}", program="reproduce")
        assert (result.code, result.out) == (2, "")
        assert says in result.err
        assert "next: " in result.err
    client.set_tag(run.info.run_id, "mlflow.source.git.commit", "--upload-pack=touch")
    assert "has recorded no commit" in command(f"run_id={run.info.run_id}", program="reproduce").err
    assert "run_id=best" in command(program="reproduce").err


def test_a_code_that_a_configuration_names_is_trusted_as_far_as_this_command_says(
    command: Command, record: Record
) -> None:
    """A record is data, maybe another person's: what its own trusted_packages says counts for nothing."""
    run = record()
    file = Path(run.info.artifact_uri.removeprefix("file://")) / "config/config.yaml"
    file.write_text(file.read_text().replace("sklearn.linear_model.Ridge", "subprocess.Popen"))
    file.write_text(file.read_text().replace("- skrub", "- subprocess"))
    result = command(f"run_id={run.info.run_id}", program="reproduce")
    assert result.code == 2
    assert "'subprocess.Popen' is outside of trusted_packages ['sklearn', 'skrub']" in result.err


def test_an_interpolation_in_a_record_is_text(
    command: Command, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recorded configuration is resolved. One that asks for a variable of whoever trains it gets nothing."""
    run = record()
    file = Path(run.info.artifact_uri.removeprefix("file://")) / "config/config.yaml"
    file.write_text(file.read_text().replace("target_unit: thousand USD", "target_unit: ${oc.env:PRECIOUS}"))
    monkeypatch.setenv("PRECIOUS", "a-value-to-steal")
    result = command(f"run_id={run.info.run_id}", "format=json", program="reproduce")
    differing = {each["name"]: each["values"] for each in json.loads(result.out)["differences"]}
    assert differing["data.target_unit"][1] == "${oc.env:PRECIOUS}"


def test_a_verdict_is_told_where_it_cannot_be_recorded(command: Command, record: Record, store: Path) -> None:
    """The training may have taken hours. The exit code is that of the verdict, and stderr says why it is not kept."""
    run = record()
    with closing(sqlite3.connect(store)) as connection:
        refuse = "CREATE TRIGGER refuse BEFORE INSERT ON runs BEGIN SELECT RAISE(ABORT, 'no run is taken'); END"
        connection.execute(refuse)
    result = command(f"run_id={run.info.run_id}", "format=json", program="reproduce")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert (found["identical"], found["again"]) == (True, None)
    assert found["not_recorded"]
    assert f"What came of {run.info.run_id} ({run.info.run_name}) is not recorded." in result.err
    sample = command("run_id=all", program="reproduce")
    assert sample.code == 0
    assert "1 of 1 runs are the same" in sample.out
    assert f"What came of {run.info.run_id}" in sample.err


@pytest.mark.slow
def test_points_of_a_sweep_are_the_same_pruned_ones_as_far_as_they_came(
    command: Command, store: Path, tmp_path: Path
) -> None:
    result = command(
        "-m", "search=optuna_random_forest", "evaluation=cv", "figures=none", "hydra.sweeper.n_trials=9",
        "hydra.sweeper.pruner.n_startup_trials=2", f"hydra.sweeper.storage=sqlite:///{tmp_path}/optuna.db",
        "model.n_jobs=1",
    )  # fmt: skip
    assert result.code == 0, result.err
    client = MlflowClient(f"sqlite:///{store}")
    pruned, *_ = client.search_runs(["1"], "tags.pruned = 'true'")
    assert int(pruned.data.tags["pruned.after"]) < 5
    found = command(f"run_id={pruned.info.run_id}", program="reproduce")
    assert found.code == 0, found.err
    assert "identical to the last bit: 8 metrics" in found.out
    sample = command("run_id=all", "sample=2", "format=json", program="reproduce")
    assert sample.code == 0, sample.err
    assert json.loads(sample.out)["same"] == 2
    pruned_without = MlflowClient(f"sqlite:///{store}")
    pruned_without.set_tag(pruned.info.run_id, "pruned.after", "1")  # the means of another number of folds
    assert command(f"run_id={pruned.info.run_id}", program="reproduce").code == 1


@pytest.mark.slow
def test_a_sample_says_one_line_a_run_and_exits_1_where_one_differs(command: Command, record: Record) -> None:
    first, second = record(), record("model=knn", "figures=none", "quiet=true")
    file = Path(second.info.artifact_uri.removeprefix("file://")) / "predictions.csv"
    file.write_text(file.read_text().replace("\n0,24.0", "\n0,25.0"))
    result = command("run_id=all", "sample=5", "record=false", program="reproduce")
    assert result.code == 1
    assert "1 of 2 runs are the same" in result.out
    lines = {line.split()[0]: line for line in result.out.splitlines()}
    assert "identical to the last bit" in lines[first.info.run_id[:8]]
    assert "not the same: 1 of 102 held-out predictions" in lines[second.info.run_id[:8]]
