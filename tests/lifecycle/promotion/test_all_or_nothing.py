"""Whatever ends a promotion, and wherever: nothing of it is left, or the same command finishes it."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from boston_exp.errors import Fault, StoreUnusable
from boston_exp.lifecycle.promotion import journal, steps
from tests.conftest import ROOT, git
from tests.lifecycle.promotion.conftest import NAME, Project

Named = Callable[..., str]
PLACED = [f"placed {place}" for place in (f"data/models/{NAME}", f"data/models/{NAME}.dvc", "dvc.yaml")]
BEFORE = ["prepare", "push", "register", "place", *PLACED]  # the decision
AFTER = ["committed", "decided", "tag version", "tag stage", "card", "alias", "alias moved", "event"]
KILLED = """
import os, signal, sys
from pathlib import Path
from boston_exp import promote
from boston_exp.lifecycle.promotion import steps
promote.PROJECT_ROOT = Path(sys.argv.pop(1))
step = sys.argv.pop(1)
steps.reached = lambda reached: os.kill(os.getpid(), signal.SIGKILL) if reached == step else None
promote.main()
"""


def killed(project: Project, step: str, *overrides: str) -> int:
    """Run promote in a process of its own that is killed when it reaches a step."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            KILLED,
            str(project.folder),
            step,
            *overrides,
            f"tracking.uri=sqlite:///{project.store}",
        ],
        cwd=project.folder.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode


def _raised(project: Project, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException, run_id: str) -> int:
    def reached(found: str) -> None:
        if found == step:
            raise error

    with monkeypatch.context() as patch:
        patch.setattr(steps, "reached", reached)
        return project.promote(f"run_id={run_id}").code


@pytest.mark.parametrize("step", BEFORE)
def test_a_failure_before_the_decision_leaves_nothing(
    project: Project, named: Named, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The second promotion, so that there is something to bring back. The step is interrupted by an exception, since
    a real cause cannot be placed between any two of them."""
    project.promote(f"run_id={named('KNeighborsRegressor')}")
    before = project.state()
    failure = StoreUnusable(Fault("the registry is away", "wait"))
    assert _raised(project, monkeypatch, step, failure, named("Ridge")) == 2
    assert project.state() == before
    assert project.promote(f"run_id={named('Ridge')}", "gate=none").code == 0


@pytest.mark.parametrize("step", AFTER[1:])
def test_a_failure_after_the_decision_is_finished_by_the_same_command(
    project: Project, named: Named, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    project.promote(f"run_id={named('KNeighborsRegressor')}")
    run_id = named("RandomForestRegressor")
    failure = StoreUnusable(Fault("the registry is away", "wait"))
    assert _raised(project, monkeypatch, step, failure, run_id) == 2
    result = project.promote(f"run_id={run_id}")
    assert result.code == 0, result.err
    assert "was finished" in result.err
    _is_whole(project, run_id)


@pytest.mark.slow
@pytest.mark.parametrize("step", BEFORE + AFTER)
def test_kill_9_between_any_two_steps(project: Project, named: Named, step: str) -> None:
    project.promote(f"run_id={named('KNeighborsRegressor')}")
    run_id = named("RandomForestRegressor")
    assert killed(project, step, f"run_id={run_id}") == -signal.SIGKILL
    result = project.promote(f"run_id={run_id}")
    assert result.code == 0, result.err
    _is_whole(project, run_id)


def _is_whole(project: Project, run_id: str) -> None:
    """The run is champion everywhere, once."""
    version = project.client.get_model_version_by_alias(NAME, "champion")
    assert version.run_id == run_id
    assert len([each for each in project.client.search_model_versions() if each.run_id == run_id]) == 1
    assert project.aliases["previous"] == "1"
    tag = f"{NAME}@{version.tags['gto.version']}"
    assert project.git.tagged(tag) == project.git.tagged(f"{NAME}#champion#2") == project.git.head
    assert git("status", "--porcelain", cwd=project.folder) == ""
    assert git("rev-list", "--count", f"{NAME}@v1.0.0..HEAD", cwd=project.folder).strip() == "1"
    assert run_id in (project.model / "card.json").read_text()
    assert not (project.folder / journal.FOLDER).exists()
    events = project.promote("history=true", "format=json").out
    assert events.count(f'"run_id": "{run_id}"') == 1


def test_the_lock_of_a_tag_that_a_killed_git_has_left_does_not_stop_it(project: Project, named: Named) -> None:
    """Found by kills at random moments: the same command failed until somebody removed the file by hand."""
    project.promote(f"run_id={named('KNeighborsRegressor')}")
    lock = project.folder / ".git" / "refs" / "tags" / f"{NAME}#champion#2.lock"
    lock.touch()
    run_id = named("RandomForestRegressor")
    result = project.promote(f"run_id={run_id}")
    assert result.code == 0, result.err
    _is_whole(project, run_id)
    assert not lock.exists()


def test_a_lock_that_may_be_anybodys_is_named(project: Project, named: Named) -> None:
    lock = project.folder / ".git" / "HEAD.lock"
    lock.touch()
    result = project.promote(f"run_id={named('Ridge')}")
    assert result.code == 2
    assert f"next: rm {lock}   (once no git runs there; then: python -m boston_exp.promote" in result.err


def hook(project: Project, name: str, text: str) -> None:
    """Have git run a shell script."""
    file = project.folder / ".git" / "hooks" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(file.stat().st_mode | stat.S_IEXEC)


def test_a_hook_that_refuses_the_commit(project: Project, named: Named) -> None:
    hook(project, "pre-commit", "echo no models on a Friday >&2; exit 1")
    before = project.state()
    result = project.promote(f"run_id={named('Ridge')}")
    assert result.code == 2
    assert "no models on a Friday" in result.err
    assert "git=stage" in result.err
    assert project.state() == before


def test_a_hook_sees_what_is_committed_alone(project: Project, named: Named) -> None:
    (project.folder / "README.md").write_text("staged\n")
    git("add", "README.md", cwd=project.folder)
    hook(project, "pre-commit", "git diff --cached --name-only > .git/seen")
    assert project.promote(f"run_id={named('Ridge')}").code == 0
    assert (project.folder / ".git" / "seen").read_text().split() == [f"data/models/{NAME}.dvc", "dvc.yaml"]


def test_a_push_that_is_refused(project: Project, named: Named) -> None:
    (project.folder / "data" / "models").mkdir()
    (project.folder / "data" / "models" / ".remote").write_text("a file where the remote should be")
    before = project.state()
    result = project.promote(f"run_id={named('Ridge')}")
    assert result.code == 2
    assert "DVC cannot keep or get boston-housing" in result.err
    assert project.state() == before


def test_a_commit_that_somebody_made_meanwhile_stays(project: Project, named: Named, tmp_path: Path) -> None:
    """Killed after the commit; then somebody commits on top of it: it is finished, where it is."""
    project.promote(f"run_id={named('KNeighborsRegressor')}")
    run_id = named("RandomForestRegressor")
    assert killed(project, "decided", f"run_id={run_id}") == -signal.SIGKILL
    made = project.git.head
    (project.folder / "LICENSE").write_text("ours\n")
    git("commit", "--quiet", "--message", "theirs", "LICENSE", cwd=project.folder)
    assert project.promote(f"run_id={run_id}").code == 0
    assert project.git.tagged(f"{NAME}@v2.0.0") == made
    assert git("status", "--porcelain", cwd=project.folder) == ""


def test_a_promotion_of_another_store_is_not_undone_here(
    project: Project, named: Named, tmp_path: Path, empty_store: Path
) -> None:
    assert killed(project, "place", f"run_id={named('Ridge')}") == -signal.SIGKILL
    other = tmp_path / "other.db"
    other.write_bytes(empty_store.read_bytes())
    result = project.promote("run_id=best", f"tracking.uri=sqlite:///{other}")
    assert result.code == 2
    assert f"tracking.uri=sqlite:///{project.store}" in result.err
    assert len(project.client.search_model_versions()) == 1
    assert project.promote(f"run_id={named('Ridge')}").code == 0


def test_two_promotions_at_once(project: Project, named: Named) -> None:
    with journal.alone(project.folder):
        result = project.promote(f"run_id={named('Ridge')}")
    assert result.code == 2
    assert "Another promotion is at work in this project" in result.err
