"""What a promotion does: registry, files, DVC, git and GTO agree, and a rollback brings all of them back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
import yaml

from tests.conftest import Command, git
from tests.lifecycle.promotion.conftest import NAME, Project

Named = Callable[..., str]


def _artifact(project: Project, stage: str, out: Path) -> bytes:
    from dvc.api import artifacts_show
    from dvc.repo import Repo

    shown = artifacts_show(NAME, stage=stage, repo=str(project.folder))
    with Repo(str(project.folder)) as repo:
        repo.artifacts.download(NAME, stage=stage, out=str(out), force=True)
    assert shown["path"].endswith(NAME)
    return (out / "model.skops").read_bytes()


def test_registry_dvc_and_checkout_have_the_same_bytes(
    project: Project, named: Named, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = named("Ridge")
    assert project.promote(f"run_id={run_id}").code == 0
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: f"sqlite:///{project.store}")
    mlflow.set_tracking_uri(f"sqlite:///{project.store}")
    try:
        place = Path(mlflow.artifacts.download_artifacts(f"models:/{NAME}@champion", dst_path=str(tmp_path / "m")))
        registered = (place / "model.skops").read_bytes()
        assert mlflow.pyfunc.load_model(f"models:/{NAME}@champion").metadata.signature is not None
    finally:
        mlflow.set_tracking_uri(None)
    assert registered == (project.model / "model.skops").read_bytes()
    assert registered == _artifact(project, "champion", tmp_path / "got")


def test_a_version_says_where_it_is_from(project: Project, named: Named) -> None:
    run_id = named("Ridge")
    project.promote(f"run_id={run_id}")
    version = project.client.get_model_version_by_alias(NAME, "champion")
    run = project.client.get_run(run_id)
    assert version.run_id == run_id
    for tag in ("data.md5", "split.digest"):
        assert version.tags[tag] == run.data.tags[tag]
    assert version.tags["rmse"] == f"{run.data.metrics['rmse']:.3f}"
    assert version.tags["gto.version"] == "v1.0.0"
    assert version.tags["git.commit"] == project.git.head
    assert "## How good it is" in version.description
    about = project.client.get_registered_model(NAME).description
    assert about.startswith(f"**@champion** is run `{run_id}`.")
    assert "What stands out:" in about
    assert {each.path for each in project.client.list_artifacts(run_id, "card")} == {"card/card.md", "card/card.html"}


def test_the_commit_has_exactly_the_pointer_and_dvc_yaml_and_names_run_and_scores(
    project: Project, named: Named
) -> None:
    run_id = named("Ridge")
    project.promote(f"run_id={run_id}")
    changed = git("show", "--name-only", "--format=", "HEAD", cwd=project.folder).split()
    assert changed == [f"data/models/{NAME}.dvc", "dvc.yaml"]
    message = git("log", "-1", "--format=%B", cwd=project.folder)
    assert message.startswith(f"model: {NAME} v1.0.0 is champion\n")
    assert run_id in message
    assert "RMSE 4.947 (" in message
    assert sorted(project.git.tags()) == [f"{NAME}#champion#1", f"{NAME}@v1.0.0"]
    assert git("status", "--porcelain", cwd=project.folder) == ""
    assert yaml.safe_load((project.folder / "dvc.yaml").read_text())["artifacts"] == {
        NAME: {"path": f"data/models/{NAME}", "type": "model"}
    }


def test_models_never_go_to_the_remote_inside_of_git(project: Project, named: Named) -> None:
    """Not by the promotion, and not by a `dvc push` that somebody types later."""
    from dvc.repo import Repo

    before = sorted((project.folder / "data" / "remote").rglob("*"))
    result = project.promote(f"run_id={named('Ridge')}")
    assert "the DVC remote models (data/models/.remote, on this machine alone, which git ignores)" in " ".join(
        result.out.split()
    )
    with Repo(str(project.folder)) as repo:
        repo.push(targets=[str(project.model.with_name(f"{NAME}.dvc"))])
    assert sorted((project.folder / "data" / "remote").rglob("*")) == before
    assert any((project.folder / "data" / "models" / ".remote").rglob("*.dir"))
    assert "data/models/.remote" not in git("status", "--porcelain", "--ignored=no", cwd=project.folder)


def test_what_others_have_staged_and_changed_is_neither_committed_nor_lost(project: Project, named: Named) -> None:
    readme, license_ = project.folder / "README.md", project.folder / "LICENSE"
    readme.write_text("staged\n")
    git("add", "README.md", cwd=project.folder)
    readme.write_text("staged, then changed\n")
    license_.write_text("changed\n")
    (project.folder / "new.txt").write_text("untracked\n")
    before = project.state()
    assert project.promote(f"run_id={named('Ridge')}").code == 0
    after = project.state()
    assert [after[each] for each in ("staged", "unstaged", "status")] == [
        before[each] for each in ("staged", "unstaged", "status")
    ]


def test_the_second_champion_makes_the_first_previous_and_rollback_brings_everything_back(
    project: Project, named: Named
) -> None:
    first, second = named("Ridge"), named("RandomForestRegressor")
    project.promote(f"run_id={first}")
    files = project.state()["files"]
    result = project.promote(f"run_id={second}")
    assert "Shown to be better." in result.out, result.err
    assert project.aliases == {"champion": "2", "previous": "1"}
    assert project.state()["files"] != files

    result = project.promote("rollback=true")
    assert result.code == 0, result.err
    assert project.aliases == {"champion": "1", "previous": "2"}
    assert project.state()["files"] == files
    assert project.git.tagged(f"{NAME}#champion#3") == project.git.tagged(f"{NAME}@v1.0.0")
    assert git("status", "--porcelain", cwd=project.folder) == ""

    project.promote("rollback=true")  # of the rollback
    assert project.aliases == {"champion": "2", "previous": "1"}
    told = json.loads(project.promote("history=true", "format=json").out)
    assert [(each["what"], each["version"]) for each in told["events"]] == [
        ("rollback", "2"), ("rollback", "1"), ("promote", "2"), ("promote", "1"),
    ]  # fmt: skip
    assert told["aliases"] == {"champion": "2", "previous": "1"}


def test_the_stage_is_what_dvc_gives_after_a_rollback(project: Project, named: Named, tmp_path: Path) -> None:
    for model in ("Ridge", "RandomForestRegressor"):
        project.promote(f"run_id={named(model)}")
    forest = (project.model / "model.skops").read_bytes()
    assert _artifact(project, "champion", tmp_path / "a") == forest
    project.promote("rollback=true")
    assert _artifact(project, "champion", tmp_path / "b") == (project.model / "model.skops").read_bytes() != forest


def test_the_same_run_again_changes_nothing_and_an_earlier_one_keeps_its_version(
    project: Project, named: Named
) -> None:
    first, second = named("Ridge"), named("RandomForestRegressor")
    project.promote(f"run_id={first}")
    before = project.state()
    result = project.promote(f"run_id={first}")
    assert (result.code, project.state()) == (0, before)
    assert "is champion already" in result.out
    project.promote(f"run_id={second}")
    assert project.promote(f"run_id={first}", "gate=none").code == 0
    assert project.aliases == {"champion": "1", "previous": "2"}
    assert len(project.client.search_model_versions()) == 2


def test_the_leaderboard_shows_who_is_champion_and_who_was(project: Project, named: Named, command: Command) -> None:
    import json

    for model in ("Ridge", "RandomForestRegressor"):
        project.promote(f"run_id={named(model)}")
    told = json.loads(command("format=json", "top=20", program="leaderboard").out)
    aliases = {each["run_id"]: each["aliases"] for each in told["runs"] if each["aliases"]}
    assert aliases == {named("Ridge"): f"{NAME}@previous", named("RandomForestRegressor"): f"{NAME}@champion"}
    shown = command(program="leaderboard").out
    assert "@champion" in shown
    assert "@previous" in shown
