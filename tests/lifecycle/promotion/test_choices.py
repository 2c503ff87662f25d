"""What a promotion leaves to whoever types it: files, git, alias, refit; and what it makes of where it is typed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from boston_exp.tracking.mlflow import models
from tests.conftest import Command, git
from tests.lifecycle.promotion.conftest import NAME, Project

Named = Callable[..., str]


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


def test_the_champions_card_is_not_logged_to_the_run_of_another_alias(
    project: Project, named: Named, command: Command
) -> None:
    """A run of the test's own: the artifacts of an afternoon are shared with other tests."""
    project.promote(f"run_id={named('Ridge')}")
    run_id = command("model=ridge", "model.alpha=2", "evaluation=cv", "figures=none", "quiet=true").out.strip()
    assert project.promote(f"run_id={run_id}", "alias=challenger", "gate=none").code == 0
    assert project.client.list_artifacts(run_id, "card") == []


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
