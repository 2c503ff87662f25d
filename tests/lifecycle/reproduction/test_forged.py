"""A record is another person's data: one that is not as this project writes them trains nothing and touches nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient

from boston_exp.lifecycle.reproduction.original import Original
from boston_exp.lifecycle.reproduction.retraining import configuration
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.recorded import RecordedRun
from tests.conftest import Command
from tests.lifecycle.reproduction.conftest import Record

Plant = Callable[[str, Any], None]


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder with a file of somebody who trains another person's record."""
    folder = tmp_path / "victim"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    return folder


@pytest.fixture
def folder(record: Record) -> tuple[str, Path]:
    """A genuine run to forge: its id and its artifacts."""
    run = record()
    return run.info.run_id, Path(run.info.artifact_uri.removeprefix("file://"))


def change(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = folder / "config/config.yaml"
    node = yaml.safe_load(file.read_text())
    change(node)
    file.write_text(yaml.safe_dump(node, sort_keys=False))


def clearing(victim: Path) -> dict[str, str]:
    """A function of a trusted package that removes a folder."""
    return {"_target_": "sklearn.datasets.clear_data_home", "data_home": str(victim)}


def test_settings_of_hydra_in_a_record_are_refused(command: Command, folder: tuple[str, Path], victim: Path) -> None:
    """Its logging opens, and empties, whatever file it is told to; a searchpath brings other configurations."""
    run_id, artifacts = folder
    handler = {"class": "logging.FileHandler", "filename": str(victim / "thesis.txt"), "mode": "w"}
    logging = {"version": 1, "handlers": {"x": handler}, "root": {"level": "INFO", "handlers": ["x"]}}
    planted = {"hydra": {"job_logging": logging, "run": {"dir": str(victim / "new")}}, "defaults": ["_self_"]}
    change(artifacts, lambda node: node.update(planted))
    result = command(f"run_id={run_id}", program="reproduce")
    assert (result.code, result.out) == (2, "")
    assert "has defaults, hydra at its top" in result.err
    assert [(file.name, file.read_text()) for file in victim.iterdir()] == [("thesis.txt", "years of work")]


@pytest.mark.parametrize("place", ["model", "preprocess", "inside", "interpolated", "tagged"])
def test_a_function_of_a_trusted_package_is_never_called(
    command: Command, folder: tuple[str, Path], victim: Path, place: str
) -> None:
    """Whatever the version that recorded it would have done: today's check is made, before anything starts."""
    run_id, artifacts = folder
    target = clearing(victim)
    text = f"${{oc.create:{{_target_: {target['_target_']}, data_home: {victim}}}}}"
    inside = {"_target_": "sklearn.preprocessing.FunctionTransformer", "func": target}
    planted: dict[str, Any] = {
        "model": {"model": target},
        "preprocess": {"preprocess": target},
        "inside": {"preprocess": inside},
        "interpolated": {"model": {"_target_": "sklearn.linear_model.Ridge", "alpha": text}},
        "tagged": {},
    }
    change(artifacts, lambda node: node.update(planted[place]))
    if place == "tagged":
        file = artifacts / "config/config.yaml"
        pairs = f"\n  extra: !!pairs [a: {{_target_: {target['_target_']}, data_home: {victim}}}]\n"
        file.write_text(file.read_text().replace("\npreprocess:\n", f"\npreprocess:{pairs}", 1))
        assert "!!pairs" in file.read_text()
    result = command(f"run_id={run_id}", program="reproduce")
    assert (result.code, result.out) == (2, "")
    assert (victim / "thesis.txt").exists()


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("environment/platform.json", "[1, 2]"),
        ("environment/platform.json", '{"pools": [{"library": "blas", "threads": [1]}]}'),
        ("environment/platform.json", '{"pools": [{"library": "blas", "threads": 2, "kernel": "a\\u0000b"}]}'),
        ("environment/platform.json", '{"pools": {"threads": 1}}'),
        ("config/config.yaml", f"{BOMB}model: {{h: *a39}}\n"),
        ("config/config.yaml", "model: {_target_: sklearn.linear_model.Ridge}\ndata: text\n"),
        ("config/config.yaml", "model: {_target_: sklearn.linear_model.Ridge}\ndata: {path: [1]}\n"),
        ("config/config.yaml", "model: {}\npreprocess: x\n"),
        ("config/config.yaml", "model: {_target_: sklearn.linear_model.Ridge}\ndata: {roles: roles.yaml}\n"),
        ("config/config.yaml", "["),
        ("config/config.yaml", "[" * 5000),
    ],
)  # fmt: skip
def test_a_record_of_another_shape_is_refused_in_a_sentence(
    command: Command, folder: tuple[str, Path], path: str, content: str
) -> None:
    run_id, artifacts = folder
    (artifacts / path).write_text(content)
    result = command(f"run_id={run_id}", program="reproduce")
    assert (result.code, result.out) == (2, "")
    assert f"error: {run_id} (" in result.err
    assert "Traceback" not in result.err


def test_one_odd_record_does_not_end_a_sample(command: Command, folder: tuple[str, Path], record: Record) -> None:
    """It has its line, and so have the others."""
    odd, artifacts = folder
    (artifacts / "environment/platform.json").write_text("[1, 2]")
    good = record().info.run_id
    result = command("run_id=all", "record=false", program="reproduce")
    assert result.code == 1
    lines = {line.split()[0]: line for line in result.out.splitlines() if line}
    assert "is no record that this project has written" in " ".join(result.out.split())
    assert "not possible" in lines[odd[:8]]
    assert "identical to the last bit" in lines[good[:8]]


def test_a_record_that_does_not_say_which_table_it_had_is_trained_on_none(
    command: Command, folder: tuple[str, Path], store: Path
) -> None:
    """It could name any file of whoever trains it, whose rows would be in what is recorded."""
    run_id, _ = folder
    client = MlflowClient(f"sqlite:///{store}")
    client.set_tag(run_id, "data.md5", "../../secret")
    odd = command(f"run_id={run_id}", program="reproduce")
    assert (odd.code, odd.out) == (2, "")
    assert "has recorded no md5 of its table, but '../../secret'" in odd.err
    client.delete_tag(run_id, "data.md5")
    without = command(f"run_id={run_id}", program="reproduce")
    assert (without.code, without.out) == (2, "")
    assert "has not recorded the md5 of its table" in without.err
    assert " trust=true   (once you know that this file may be trained on)" in without.err
    trusted = command(f"run_id={run_id}", "trust=true", "record=false", program="reproduce")
    assert trusted.code == 0, trusted.err


def test_a_training_that_is_refused_says_no_command_of_a_folder_that_is_gone(
    command: Command, folder: tuple[str, Path]
) -> None:
    run_id, artifacts = folder
    change(artifacts, lambda node: node["data"].update(target="nothing"))
    result = command(f"run_id={run_id}", program="reproduce")
    assert result.code == 2
    assert "nothing" in result.err
    assert result.err.count("next:") == 1
    assert "next: python -m boston_exp.run " in result.err
    assert f" base={run_id} " in result.err


def test_what_was_not_recorded_is_not_called_the_same(command: Command, folder: tuple[str, Path]) -> None:
    """Of a record of version 1 the machine is unknown."""
    run_id, artifacts = folder
    (artifacts / "environment/platform.json").unlink()
    result = command(f"run_id={run_id}", "record=false", program="reproduce")
    assert result.code == 0
    assert "code, data, settings and versions are the same." in " ".join(result.out.split())


@pytest.mark.parametrize(
    ("typed", "says"),
    [("tolerance=inf", "a finite number of at least 0"), ("run_id=[1e5,898e12]", "takes one run")],
)
def test_what_is_no_tolerance_and_no_run_is_refused(command: Command, store: Path, typed: str, says: str) -> None:
    result = command(*dict.fromkeys(("run_id=best", typed)), program="reproduce")
    assert (result.code, result.out) == (2, "")
    assert says in result.err


def test_a_record_starts_no_more_processes_than_there_are_cores(tmp_path: Path) -> None:
    model = {"_target_": "sklearn.ensemble.RandomForestRegressor", "n_jobs": 10**6}
    config = {"model": model, "preprocess": {"steps": [{"inside__n_jobs": -1}]}, "hydra": {"mode": "MULTIRUN"}}
    run = RecordedRun("id", "name", "FINISHED", 0, 0, {}, {}, {})
    store = Destination("mlflow", f"sqlite:///{tmp_path}/mlflow.db", "", str(tmp_path), "again")
    node = configuration(Original(run, config, "", b"", b"", (), {}, ""), None, [], store)
    assert node["model"]["n_jobs"] == os.cpu_count()
    assert node["preprocess"] == config["preprocess"]
    assert "mode" not in node["hydra"]  # ours alone
