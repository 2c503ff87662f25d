"""Findings of a hostile review, each as it was found."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from boston_exp.lifecycle.promotion import journal, steps
from tests.conftest import ROOT, Command, git
from tests.lifecycle.promotion.conftest import NAME, Project
from tests.lifecycle.promotion.test_all_or_nothing import KILLED, hook, killed

Named = Callable[..., str]


@pytest.mark.slow
def test_a_hook_that_outlives_us_commits_nothing_that_was_undone(project: Project, named: Named) -> None:
    """Killed while the hook runs: git goes on, and so the lock is held until it has ended."""
    hook(project, "pre-commit", "touch .git/in-hook; sleep 4")
    run_id = named("Ridge")
    ours = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(project.folder), "-", f"run_id={run_id}",
         f"tracking.uri=sqlite:///{project.store}"],
        cwd=project.folder.parent, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until = time.monotonic() + 60
    while not (project.folder / ".git" / "in-hook").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    ours.send_signal(signal.SIGKILL)
    ours.wait()
    result = project.promote(f"run_id={run_id}")
    assert "or the git hook that it has started" in result.err
    while result.code:
        assert time.monotonic() < until
        time.sleep(0.3)
        result = project.promote(f"run_id={run_id}")
    assert "was finished" in result.err
    assert project.aliases == {"champion": "1"}
    assert git("rev-list", "--count", f"--grep={journal.DVC_YAML}", "HEAD", cwd=project.folder)
    assert git("status", "--porcelain", cwd=project.folder) == ""
    assert len(project.client.search_model_versions()) == 1


def test_what_somebody_wrote_after_the_kill_stays(project: Project, named: Named) -> None:
    assert killed(project, "placed dvc.yaml", f"run_id={named('Ridge')}") == -signal.SIGKILL
    file = project.folder / "dvc.yaml"
    file.write_text(file.read_text() + "metrics:\n- mine.json\n")
    result = project.promote(f"run_id={named('Ridge')}")
    assert "dvc.yaml was changed meanwhile: it stays as it is." in result.err
    assert "- mine.json" in file.read_text()


def test_a_kill_in_the_middle_of_a_copy_loses_nothing(
    project: Project, named: Named, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy that is cut short by an exception, since no kill can be aimed so well."""
    file = project.folder / "dvc.yaml"
    text = file.read_text()

    def cut(source: object, target: object) -> None:
        open(str(target), "w").close()  # noqa: PTH123
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(journal.shutil, "copy2", cut)
        assert project.promote(f"run_id={named('Ridge')}", "git=none").code == 2
    assert file.read_text() == text
    assert project.promote(f"run_id={named('Ridge')}").code == 0


@pytest.mark.parametrize(
    ("alias", "says"), [("Latest", "means something else already"), ("a" * 101, "it may have 100")]
)
def test_aliases_that_a_later_step_would_refuse(project: Project, named: Named, alias: str, says: str) -> None:
    before = project.state()
    result = project.promote(f"run_id={named('Ridge')}", f"alias={alias}")
    assert result.code == 2
    assert says in result.err
    assert project.state() == before


def test_tags_that_were_fetched_after_a_kill_are_theirs(project: Project, named: Named) -> None:
    run_id = named("Ridge")
    assert killed(project, "decided", f"run_id={run_id}") == -signal.SIGKILL
    for tag in (f"{NAME}@v1.0.0", f"{NAME}#champion#1"):
        git("tag", "--annotate", "--message", "theirs", tag, "HEAD~1", cwd=project.folder)
    result = project.promote(f"run_id={run_id}")
    assert result.code == 0, result.err
    assert project.git.tagged(f"{NAME}@v2.0.0") == project.git.tagged(f"{NAME}#champion#2") == project.git.head
    assert project.client.get_model_version(NAME, "1").tags["gto.version"] == "v2.0.0"


def test_an_older_model_in_its_place_is_no_obstacle(project: Project, named: Named) -> None:
    """As after a `git pull` of a colleague's promotion, without `dvc checkout`: DVC has the older files."""
    project.promote(f"run_id={named('KNeighborsRegressor')}")
    kept = {file.name: file.read_bytes() for file in project.model.iterdir()}
    project.promote(f"run_id={named('RandomForestRegressor')}")
    for name, content in kept.items():
        (project.model / name).unlink()
        (project.model / name).write_bytes(content)
    result = project.promote(f"run_id={named('Ridge')}", "gate=none")
    assert result.code == 0, result.err


def test_a_path_that_cannot_be_a_tag_is_refused_before_the_commit(
    project: Project, named: Named, monkeypatch: pytest.MonkeyPatch
) -> None:
    from boston_exp import promote

    (project.folder / "my projects").mkdir()
    for name in (".dvc", "dvc.yaml", "data"):
        (project.folder / name).rename(project.folder / "my projects" / name)
    git("add", "--all", cwd=project.folder)
    git("commit", "--quiet", "--message", "moved", cwd=project.folder)
    monkeypatch.setattr(promote, "PROJECT_ROOT", project.folder / "my projects")
    result = project.promote(f"run_id={named('Ridge')}")
    assert result.code == 2
    assert "cannot be part of a tag" in result.err
    assert "git=stage" in result.err


def test_data_models_that_is_a_file(project: Project, named: Named) -> None:
    (project.folder / "data" / "models").write_text("mine\n")
    result = project.promote(f"run_id={named('Ridge')}")
    assert result.code == 2
    assert "Traceback" not in result.err


def test_the_registry_is_that_of_the_store_that_was_asked_for(
    project: Project, named: Named, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow resolves a version's source in its default store, `mlflow.db` of this folder, and would create it."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    result = project.promote(f"run_id={named('Ridge')}")
    assert result.code == 0, result.err
    assert result.err == ""
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_the_best_of_several_seeds_is_one_that_has_its_model(project: Project, command: Command) -> None:
    """A sweep over seeds stores one model, and `best` names the configuration."""
    result = command("-m", "model=ridge", "model.alpha=3", "seed=1,2,3", "evaluation=cv", "figures=none",
                     "tracking.experiment_name=seeds")  # fmt: skip
    assert result.code == 0, result.err
    assert project.promote("run_id=best", "tracking.experiment_name=seeds", "dry_run=true").code == 0


def test_a_full_disk_leaves_everything_as_it_was(
    project: Project, named: Named, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the system would say is put in its place: a disk cannot be filled here."""
    before = project.state()

    def full(step: str) -> None:
        if step == "push":
            raise OSError(28, "No space left on device", "card.md")

    monkeypatch.setattr(steps, "reached", full)
    result = project.promote(f"run_id={named('Ridge')}")
    assert result.code == 2
    assert "card.md: No space left on device. All is as it was." in result.err
    assert project.state() == before


def test_a_file_that_a_hook_adds_is_in_the_users_index_too(project: Project, named: Named) -> None:
    hook(project, "pre-commit", "echo changed >> CHANGELOG.md; git add CHANGELOG.md")
    assert project.promote(f"run_id={named('Ridge')}").code == 0
    assert git("status", "--porcelain", cwd=project.folder) == ""


def test_a_dry_run_settles_nothing(project: Project, named: Named) -> None:
    assert killed(project, "place", f"run_id={named('Ridge')}") == -signal.SIGKILL
    before = project.state()
    result = project.promote(f"run_id={named('Ridge')}", "dry_run=true")
    assert "An interrupted promotion" in result.err
    assert project.state() == before
