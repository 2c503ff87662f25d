"""What cannot be promoted, or not from here: one message, the next command, nothing changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.entities import Run

from tests.conftest import Command, git
from tests.lifecycle.promotion.conftest import NAME, Project

Named = Callable[..., str]


def refused(project: Project, *overrides: str, says: str, mend: str) -> None:
    before = project.state()
    result = project.promote(*overrides)
    assert (result.code, result.out) == (2, "")
    assert says in result.err, result.err
    assert mend in result.err.partition("next:")[2], result.err
    assert "Traceback" not in result.err
    assert project.state() == before


@pytest.mark.parametrize(
    ("overrides", "says", "mend"),
    [
        ((), "promote takes a run, or rollback=true.", "run_id=best"),
        (("run_id=ffffffff",), "no run here has an id that begins so", "boston_exp.leaderboard"),
        (("run_id=best", "alias=v3"), "alias=v3 cannot be an alias", "alias=champion"),
        (("run_id=best", "alias=previous"), "it means something else already", "alias=champion"),
        (("run_id=best", "'alias=gut & billig'"), "cannot be an alias: it takes letters", "alias=champion"),
        (("run_id=best", "name=a/b"), "name=a/b cannot be a model's name", "name=boston-housing"),
        (("run_id=best", "gate=maybe"), "choose one of not_worse, better, none.", "gate=not_worse"),
        (("run_id=best", "git=push"), "choose one of commit, stage, none.", "git=commit"),
        (("rollback=true",), "has no version that had the alias champion before", "history=true"),
        (("run_id=best", "tracking=none"), "has no model registry", "tracking=local"),
    ],
)
def test_what_was_typed(project: Project, overrides: tuple[str, ...], says: str, mend: str) -> None:
    typed = [each.strip("'") if each.startswith("'") else each for each in overrides]
    typed = ["alias='gut & billig'" if each.startswith("alias=gut") else each for each in typed]
    refused(project, *typed, says=says, mend=mend)


def test_a_run_that_did_not_end_well(project: Project, runs: Callable[[str], list[Run]]) -> None:
    crashed = runs("attributes.status = 'FAILED'")[0].info.run_id
    refused(project, f"run_id={crashed}", says="is FAILED: only a run that has ended well", mend=f"base={crashed}")


def test_a_sweeps_own_run(project: Project, runs: Callable[[str], list[Run]]) -> None:
    sweep = runs("tags.`sweep.key` LIKE '%'")[0]
    best = sweep.data.tags["best.run_id"]
    refused(project, f"run_id={sweep.info.run_id}", says=f"its best point is {best}", mend=f"run_id={best}")


def test_a_point_whose_model_was_not_stored(project: Project, runs: Callable[[str], list[Run]]) -> None:
    point = runs("params.`model.max_depth` = '2'")[0].info.run_id
    refused(project, f"run_id={point}", says="a sweep stores its best alone", mend=f"base={point}")


def test_a_run_without_folds(project: Project, named: Named) -> None:
    run_id = named("Ridge", folds=0)
    refused(project, f"run_id={run_id}", says="has no folds", mend=f"base={run_id} evaluation=cv")
    assert project.promote(f"run_id={run_id}", "gate=none").code == 0
    card = (project.model / "card.md").read_text()
    assert "**What is missing:** it has no folds: there are no prediction intervals." in card
    assert "gate=none was typed" in card


def test_a_record_of_version_1(project: Project, named: Named) -> None:
    """As such a record is: without digest and version, and without what version 2 added."""
    run_id = named("Ridge", folds=0)
    for tag in ("split.digest", "record.version"):
        project.client.delete_tag(run_id, tag)
    refused(project, f"run_id={run_id}", says="is a record of version 1", mend=f"base={run_id} evaluation=cv")
    assert project.promote(f"run_id={run_id}", "gate=none").code == 0
    assert "it is a record of version 1" in (project.model / "card.md").read_text()


def test_a_model_of_types_that_are_not_trusted(project: Project, named: Named, tmp_path: Path) -> None:
    import pickle
    import shutil

    run_id = named("Ridge")
    model = project.client.get_run(run_id).outputs.model_outputs[0].model_id
    place = Path(project.client.get_logged_model(model).artifact_location.removeprefix("file://"))
    kept = shutil.copy(place / "model.skops", tmp_path / "kept.skops")
    try:
        (place / "model.skops").write_bytes(pickle.dumps(print))
        refused(project, f"run_id={run_id}", says="is not a model in skops format", mend="get it anew")
    finally:
        shutil.copy(kept, place / "model.skops")


def test_a_detached_head(project: Project, named: Named) -> None:
    git("checkout", "--quiet", "--detach", cwd=project.folder)
    refused(project, f"run_id={named('Ridge')}", says="HEAD is detached", mend="git switch -c <branch>")


def test_a_branch_without_a_commit(project: Project, named: Named) -> None:
    git("checkout", "--quiet", "--orphan", "empty", cwd=project.folder)
    before = project.state()
    result = project.promote(f"run_id={named('Ridge')}")
    assert result.code == 2
    assert "has no commit on this branch yet" in result.err
    assert project.state() == before


def test_no_repository_at_all(project: Project, named: Named, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.folder.parent))
    shutil.rmtree(project.folder / ".git")
    result = project.promote(f"run_id={named('Ridge')}")
    assert result.code == 2
    assert "is no git repository." in result.err
    assert project.promote(f"run_id={named('Ridge')}", "git=none").code == 0


def test_a_shallow_clone(project: Project, named: Named, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from boston_exp import promote

    git("clone", "--quiet", "--depth=1", f"file://{project.folder}", str(tmp_path / "shallow"), cwd=tmp_path)
    git("config", "user.name", "T", cwd=tmp_path / "shallow")
    git("config", "user.email", "t@localhost", cwd=tmp_path / "shallow")
    monkeypatch.setattr(promote, "PROJECT_ROOT", tmp_path / "shallow")
    refused(project, f"run_id={named('Ridge')}", says="This clone is shallow", mend="git fetch --unshallow --tags")


def test_nobody_who_commits(project: Project, named: Named, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("user.name", "user.email"):
        git("config", "--unset", name, cwd=project.folder)
    git("config", "user.useConfigOnly", "true", cwd=project.folder)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    refused(project, f"run_id={named('Ridge')}", says="git does not know who commits", mend="git config user.name")


def test_a_lock_that_a_dead_git_has_left(project: Project, named: Named) -> None:
    lock = project.folder / ".git" / "index.lock"
    lock.touch()
    refused(project, f"run_id={named('Ridge')}", says="index.lock exists", mend=f"rm {lock}")


def test_a_merge_that_is_not_finished(project: Project, named: Named) -> None:
    (project.folder / ".git" / "MERGE_HEAD").write_text(project.git.head + "\n")
    refused(project, f"run_id={named('Ridge')}", says="is not finished in this repository", mend="git status")


@pytest.mark.parametrize("staged", [False, True])
def test_a_dvc_yaml_with_changes_of_somebody(project: Project, named: Named, staged: bool) -> None:
    file = project.folder / "dvc.yaml"
    file.write_text(file.read_text() + "# mine\n")
    if staged:
        git("add", "dvc.yaml", cwd=project.folder)
    refused(project, f"run_id={named('Ridge')}", says="dvc.yaml has changes that are not committed", mend="git commit")


def test_a_model_that_somebody_changed_in_its_place(project: Project, named: Named) -> None:
    project.promote(f"run_id={named('KNeighborsRegressor')}")
    (project.model / "notes.txt").write_text("mine\n")
    refused(
        project, f"run_id={named('Ridge')}", says="has files that DVC does not have", mend=f"dvc add data/models/{NAME}"
    )


def test_a_folder_that_cannot_be_written(project: Project, named: Named, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs tests may be root, who can write anywhere: what the system would say is put in its place."""
    monkeypatch.setattr("os.access", lambda path, mode: False)
    refused(project, f"run_id={named('Ridge')}", says="cannot be written to", mend="chmod u+w")


def test_a_project_without_dvc(project: Project, named: Named) -> None:
    import shutil

    shutil.rmtree(project.folder / ".dvc")
    before = project.state()
    result = project.promote(f"run_id={named('Ridge')}")
    assert result.code == 2
    assert "is not under DVC" in result.err
    assert project.state() == before


def test_help_and_composition_import_neither_mlflow_nor_scikit_learn(command: Command) -> None:
    import subprocess
    import sys

    for program in ("promote", "predict"):
        code = (
            f"import sys; sys.argv = ['x', '--help']\nfrom boston_exp import {program}\n"
            f"try:\n    {program}.main()\nexcept SystemExit:\n    pass\n"
            "assert not {'mlflow', 'sklearn', 'pandas', 'dvc', 'skops'} & set(sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert f"python -m boston_exp.{program} " in done.stdout
