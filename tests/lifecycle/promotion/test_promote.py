"""What a promotion does: registry, files, DVC, git and GTO agree, and a rollback brings all of them back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import yaml

from boston_exp.tracking.mlflow import models
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


def test_a_dry_run_says_what_would_be_done_and_does_nothing(project: Project, named: Named) -> None:
    before = project.state()
    result = project.promote(f"run_id={named('Ridge')}", "dry_run=true")
    assert result.code == 0
    assert "a new version; alias champion" in result.out
    assert "a commit of data/models/boston-housing.dvc and dvc.yaml" in result.out
    assert project.state() == before


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ("git=stage", f"A  data/models/{NAME}.dvc\nM  dvc.yaml\n"),
        ("git=none", " M dvc.yaml\n?? data/models/\n"),
    ],
)
def test_git_is_left_to_whoever_wants_that(project: Project, named: Named, how: str, status: str) -> None:
    head = project.git.head
    assert project.promote(f"run_id={named('Ridge')}", how).code == 0
    assert (project.git.head, project.git.tags()) == (head, [])
    assert sorted(git("status", "--porcelain", cwd=project.folder).splitlines()) == sorted(status.splitlines())
    assert (project.model / "model.skops").is_file()


def test_without_dvc_the_registry_alone_knows(project: Project, named: Named) -> None:
    before = project.state()
    assert project.promote(f"run_id={named('Ridge')}", "dvc=none").code == 0
    after = project.state()
    assert after["aliases"] == {NAME: {"champion": "1"}}
    assert {**after, "versions": [], "aliases": {}} == {**before, "versions": [], "aliases": {}}
    assert project.client.get_model_version(NAME, "1").description.startswith("**ridge**")


def test_another_alias_is_one_of_the_registry_and_leaves_the_champions_files(project: Project, named: Named) -> None:
    project.promote(f"run_id={named('Ridge')}")
    before = project.state()
    for model in ("RandomForestRegressor", "KNeighborsRegressor"):
        result = project.promote(f"run_id={named(model)}", "alias=challenger", "gate=none")
        assert "are the champion's" in result.out
    assert project.aliases == {"champion": "1", "challenger": "3", "challenger-previous": "2"}
    after = project.state()
    assert {**after, "versions": [], "aliases": {}} == {**before, "versions": [], "aliases": {}}


def test_a_first_challenger_is_measured_by_the_champion(project: Project, named: Named) -> None:
    project.promote(f"run_id={named('RandomForestRegressor')}")
    result = project.promote(f"run_id={named('Ridge')}", "alias=challenger")
    assert result.code == 2
    assert "Shown to be worse" in result.err


def test_refit_fits_on_all_rows_and_says_that_the_scores_are_those_of_the_split(project: Project, named: Named) -> None:
    run_id = named("Ridge")
    result = project.promote(f"run_id={run_id}", "refit=all")
    assert result.code == 0, result.err
    version = project.client.get_model_version_by_alias(NAME, "champion")
    split = models.load(f"{project.client.get_run(run_id).info.artifact_uri}/model")
    refitted = models.load(str(project.model))
    assert len(project.client.get_run(run_id).outputs.model_outputs) == 1  # runs:/<id>/model stays what was scored
    table = pd.read_csv(_housing(), sep=r"\s+", header=None)
    from sklearn.linear_model import Ridge

    whole = Ridge(alpha=1.0).fit(table.iloc[:, :-1].to_numpy(float), table.iloc[:, -1])
    coefficients = refitted[-1].coef_ if hasattr(refitted, "steps") else refitted.coef_
    assert coefficients == pytest.approx(whole.coef_, rel=1e-6)
    assert (split[-1].coef_ if hasattr(split, "steps") else split.coef_) != pytest.approx(whole.coef_, rel=1e-3)
    assert "fitted once more on all rows" in (project.model / "card.md").read_text()
    assert version.tags["refit"] == "all"
    assert project.promote(f"run_id={run_id}", "refit=all").out.startswith("champion    boston-housing, version 1, is")


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


def test_files_of_a_version_without_a_commit_are_those_of_its_model(
    project: Project, named: Named, tmp_path: Path
) -> None:
    """A refit that only the registry knew: not the model of the split."""
    run_id = named("Ridge")
    project.promote(f"run_id={run_id}", "refit=all", "dvc=none")
    project.promote(f"run_id={named('RandomForestRegressor')}")
    assert project.promote(f"run_id={run_id}", "refit=all", "gate=none").code == 0
    source = project.client.get_model_version_by_alias(NAME, "champion").source
    logged = project.client.get_logged_model(source.removeprefix("models:/"))
    place = Path(logged.artifact_location.removeprefix("file://"))
    assert (project.model / "model.skops").read_bytes() == (place / "model.skops").read_bytes()


def _housing() -> Path:
    from tests.conftest import ROOT

    return ROOT / "data" / "raw" / "housing.csv"


def test_a_project_in_a_folder_of_a_larger_repository_gets_tags_with_its_folder(
    afternoon: Path, repository: Path, command: object, named: Named, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from boston_exp import promote as command_module

    large = tmp_path / "large"
    shutil.copytree(repository, large / "models" / "boston", ignore=shutil.ignore_patterns(".git"))
    for arguments in (
        ("init", "--quiet"), ("config", "user.name", "T"), ("config", "user.email", "t@localhost"),
        ("add", "--all"), ("commit", "--quiet", "--message", "begin"),
    ):  # fmt: skip
        git(*arguments, cwd=large)
    monkeypatch.setattr(command_module, "PROJECT_ROOT", large / "models" / "boston")
    assert callable(command)
    run: Command = command
    result = run(f"run_id={named('Ridge')}", program="promote")
    assert result.code == 0, result.err
    assert git("tag", "--list", cwd=large).split() == [
        f"models/boston={NAME}#champion#1", f"models/boston={NAME}@v1.0.0",
    ]  # fmt: skip


def test_a_promoted_model_that_this_registry_does_not_know_is_not_replaced_unasked(
    project: Project, named: Named, command: Command, tmp_path: Path, empty_store: Path
) -> None:
    """As in a colleague's clone, with a store of its own."""
    project.promote(f"run_id={named('Ridge')}")
    other = tmp_path / "other.db"
    other.write_bytes(empty_store.read_bytes())
    here = f"tracking.uri=sqlite:///{other}"
    assert command("model=knn", "evaluation=cv", "figures=none", here).code == 0
    before = project.state()
    result = project.promote("run_id=best", here)
    assert result.code == 2
    assert "has a promoted model that this registry does not know" in result.err
    assert project.state() == before
    assert project.promote("run_id=best", here, "gate=none").code == 0


@pytest.mark.parametrize("more", [("rollback=true",), ("history=true",)])
def test_one_thing_at_a_time(project: Project, named: Named, more: tuple[str, ...]) -> None:
    before = project.state()
    result = project.promote(f"run_id={named('Ridge')}", *more)
    assert result.code == 2
    assert "promote does one thing at a time" in result.err
    assert project.state() == before
