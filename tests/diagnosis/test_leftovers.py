"""Locks that nobody gives up, and what killed commands leave, are told; `fix` removes only what no process uses."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from boston_exp import process
from boston_exp.diagnosis import examination, leftovers, locks
from boston_exp.diagnosis.finding import Finding
from boston_exp.storage import promotion_files
from tests.conftest import git
from tests.diagnosis.test_doctor import found, listed

DEAD = 2**22 + 1  # no process has this pid
HOLDS = "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of its own with a commit, and a folder for temporary files of its own."""
    root = tmp_path / "project"
    root.mkdir()
    git("init", "--quiet", cwd=root)
    git("commit", "--quiet", "--allow-empty", "--message", "begin", cwd=root)
    for module in (leftovers, locks):
        monkeypatch.setattr(module, "PROJECT_ROOT", root)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    return root


@contextmanager
def held(file: Path) -> Iterator[psutil.Process]:
    """A process that has locked a file."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        try:
            yield psutil.Process(holder.pid)
        finally:
            holder.kill()


def folder(project: Path, pid: int, name: str = "abcd_123", age: float = 2 * 3600) -> Path:
    made = project.parent / "temporary" / f"boston_exp-{pid}-{name}"
    made.mkdir()
    aged(made, age)
    return made


def aged(path: Path, seconds: float = 2 * 3600) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


def tree(project: Path, place: Path) -> Path:
    git("worktree", "add", "--quiet", "--detach", str(place), cwd=project)
    return place


def known(project: Path) -> str:
    return git("worktree", "list", "--porcelain", cwd=project)


def told(uri: str = "tracking=none") -> list[Finding]:
    return [finding for finding in found(leftovers.leftovers, uri) if finding.state != "ok"]


def test_a_stopped_process_that_holds_a_lock_is_named_and_one_that_runs_is_not(project: Path, store: Path) -> None:
    """A run that was stopped with Ctrl-Z while it published keeps all others waiting."""
    uri = f"tracking.uri=sqlite:///{store}"
    file = store.with_name(f".{store.name}.publish.lock")
    file.touch()  # that lies there, and nobody holds it
    assert [finding.state for finding in found(locks.locks, uri)] == ["ok"]
    with held(file) as holder:
        assert [finding.state for finding in found(locks.locks, uri)] == ["ok"]
        holder.send_signal(signal.SIGSTOP)
        while holder.status() != psutil.STATUS_STOPPED:
            time.sleep(0.01)
        (finding,) = found(locks.locks, uri)
        assert f"process {holder.pid} ({holder.name()}), which is stopped, holds {file}" in finding.says
        assert re.search(listed("which is stopped, holds …"), finding.says)
        assert finding.mend.startswith(f"kill -CONT {holder.pid}")
        assert finding.fix is None


def test_a_lock_file_of_a_git_that_was_killed_is_told_and_one_of_a_git_at_work_is_not(project: Path) -> None:
    lock = project / ".git" / "index.lock"
    lock.touch()
    assert [finding.state for finding in found(locks.locks, "tracking=none")] == ["ok"]  # it may be of this moment
    aged(lock)
    with subprocess.Popen(["git", "cat-file", "--batch"], cwd=project, stdin=subprocess.PIPE):
        assert [finding.state for finding in found(locks.locks, "tracking=none")] == ["ok"]
    (finding,) = found(locks.locks, "tracking=none")
    assert f"{lock} exists since 120 min" in finding.says
    assert re.search(listed("and no git is at work in …: it was killed there"), finding.says)
    assert finding.mend.startswith(f"rm {lock}")
    assert finding.fix is None


def test_fix_removes_the_work_trees_and_folders_of_dead_processes_and_no_others(project: Path) -> None:
    dead = tree(project, folder(project, DEAD, "with_dir", age=0) / "tree")
    (dead / "changed").write_text("x")
    alive = tree(project, folder(project, os.getpid(), "alive_01") / "tree")
    mine = tree(project, project.parent / "mine")
    old, new = folder(project, DEAD, "old_1234"), folder(project, DEAD, "new_1234", age=0)
    with process.temporary_folder() as used:  # of a process in another container: its id says nothing here
        other = Path(used).rename(project.parent / "temporary" / f"boston_exp-{DEAD}-used_123")
        tree(project, other / other.name)  # of the same name: the lock is on the outer one
        aged(other)
        findings = told()
        assert [finding.says.partition(":")[0] for finding in findings] == [
            "1 git work tree of commands that were killed",
            "1 temporary folder of commands that were killed",
        ]
        assert all(re.search(listed("of commands that were killed"), finding.says) for finding in findings)
        examination.fix(findings)
        assert told() == []
        assert other.exists()
    assert not dead.parent.exists()
    assert not old.exists()
    assert all(each.exists() for each in (alive, mine, new))
    assert str(dead) not in known(project)
    assert all(str(each) in known(project) for each in (alive, mine, other / other.name))


def test_a_folder_that_is_too_young_to_be_removed_is_told(project: Path) -> None:
    """`nothing` would be wrong, and `fix` leaves it: a process of another container may use it."""
    young = folder(project, DEAD, "new_1234", age=0)
    (finding,) = found(leftovers.leftovers, "tracking=none")
    assert (finding.state, finding.fix) == ("ok", None)
    assert finding.says == "nothing of killed commands but 1 temporary folder younger than an hour"
    assert young.exists()


def test_a_work_tree_whose_folder_is_gone_is_forgotten_once_it_is_an_hour_old(project: Path) -> None:
    """Until then it may be in the temporary folder of another machine that shares the repository."""
    gone = tree(project, folder(project, DEAD) / "tree")
    gone.parent.rename(project.parent / "away")
    assert told() == []
    (note,) = (project / ".git" / "worktrees").glob("*/gitdir")
    aged(note)
    examination.fix(told())
    assert str(gone) not in known(project)


def test_a_promotion_that_was_interrupted_is_told_with_the_command_that_settles_it(project: Path) -> None:
    assert told() == []
    journal = project / promotion_files.JOURNAL
    journal.parent.mkdir(parents=True)
    journal.write_text(
        json.dumps({"run_id": "1" * 32, "name": "houses", "alias": "champion", "store": "sqlite:///m.db"})
    )
    with held(project / promotion_files.LOCK):
        assert told() == []  # it is at work
    (finding,) = told()
    assert re.search(listed("The promotion of … was interrupted"), finding.says)
    assert finding.says == f"The promotion of {'1' * 32} to houses@champion was interrupted."
    assert finding.mend.startswith(
        f"python -m boston_exp.promote run_id={'1' * 32} alias=champion tracking.uri=sqlite:///m.db"
    )
    journal.write_text("{")
    (finding,) = told()
    assert "cannot be read" in finding.says
