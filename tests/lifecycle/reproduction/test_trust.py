"""Code that a record brings runs only if it comes from here, or somebody says so; and then without anybody's keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from boston_exp.lifecycle.reproduction.trust import printable
from boston_exp.storage.git import Git, GitFailed
from boston_exp.storage.worktree import without_binaries, worktree
from tests.conftest import Result, git, python

RIDGE = ("model=ridge", "figures=none", "quiet=true")
SPY = """
import os, pathlib
pathlib.Path({told!r}).write_text(chr(10).join(sorted(os.environ)))
"""


def boston_exp(program: str, *overrides: str, cwd: Path, **environment: str) -> Result:
    return python("-m", f"boston_exp.{program}", *overrides, cwd=cwd, project=cwd, **environment)


@pytest.mark.slow
def test_uncommitted_changes_run_again_where_they_were_recorded_and_elsewhere_once_they_were_read(
    clone: Path, tmp_path: Path
) -> None:
    """The changes are gone since. For another user they are shown first; what runs then knows no key."""
    told = tmp_path / "told"
    file = clone / "boston_exp" / "experiment" / "metrics.py"
    before = file.read_text()
    file.write_text(before + SPY.format(told=str(told)))
    (clone / "conf" / "model" / "own.yaml").write_text("_target_: sklearn.linear_model.Ridge\nalpha: 3.0\n")
    recorded = boston_exp("run", *RIDGE[1:], "model=own", cwd=clone)
    assert recorded.code == 0, recorded.err
    run_id = recorded.out.split()[-1]
    file.write_text(before)
    (clone / "conf" / "model" / "own.yaml").unlink()
    told.unlink()
    hook = clone / ".git" / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/hook-ran\n")
    hook.chmod(0o755)
    secrets = {"AWS_SECRET_ACCESS_KEY": "a" * 40, "MLFLOW_TRACKING_PASSWORD": "b" * 20, "OTHER_TOKEN": "c" * 20}
    own = boston_exp("reproduce", f"run_id={run_id}", cwd=clone, **secrets)
    assert own.code == 0, own.err
    assert "identical to the last bit" in own.out
    assert not {*secrets} & {*told.read_text().split()}
    told.unlink()

    another = {"XDG_STATE_HOME": str(tmp_path / "another")}
    refused = boston_exp("reproduce", f"run_id={run_id}", cwd=clone, **another)
    assert (refused.code, refused.out, told.exists()) == (2, "", False)
    assert "+pathlib.Path(" in refused.err
    assert "not recorded by you on this machine" in refused.err
    assert f"python -m boston_exp.reproduce run_id={run_id} trust=true" in refused.err
    trusted = boston_exp("reproduce", f"run_id={run_id}", "trust=true", cwd=clone, **another)
    assert trusted.code == 0, trusted.err
    assert told.exists()
    assert not (tmp_path / "hook-ran").exists()
    assert git("status", "--porcelain", cwd=clone) == ""
    assert len(git("worktree", "list", cwd=clone).splitlines()) == 1


@pytest.mark.slow
def test_a_commit_that_no_branch_leads_to_is_code_from_elsewhere(clone: Path, tmp_path: Path) -> None:
    """It came with a fetch, or was amended since. The seal tells one's own from it. In a folder of a repository."""
    folder = tmp_path / "whole" / "part"
    folder.parent.mkdir()
    clone.rename(folder)
    (folder / ".git").rename(folder.parent / ".git")
    git("add", "--all", cwd=folder.parent)
    git("commit", "--quiet", "--message", "moved", cwd=folder.parent)
    recorded = boston_exp("run", *RIDGE, cwd=folder)
    assert recorded.code == 0, recorded.err
    run_id = recorded.out.split()[-1]
    git("commit", "--quiet", "--amend", "--message", "another message", cwd=folder)
    git("remote", "remove", "origin", cwd=folder)
    refused = boston_exp("reproduce", f"run_id={run_id}", cwd=folder, XDG_STATE_HOME=str(tmp_path / "another"))
    assert refused.code == 2
    assert "which no branch or tag here leads to" in refused.err
    own = boston_exp("reproduce", f"run_id={run_id}", cwd=folder)
    assert own.code == 0, own.err


def test_nothing_in_a_patch_hides_what_it_says() -> None:
    """A terminal obeys what is written to it."""
    assert printable(b"+a = 1\n\x1b[2K\x1b[1A+\tb\r\xe2\x80\xae\n") == "+a = 1\n\\x1b[2K\\x1b[1A+\tb\\x0d\\x202e\n"


def test_a_binary_file_that_was_left_out_of_a_patch_is_named_and_the_rest_applies(tmp_path: Path) -> None:
    git("init", "--quiet", cwd=tmp_path)
    (tmp_path / "a.py").write_text("old = 1\n")
    (tmp_path / "b.bin").write_bytes(b"\x00old")
    git("add", "--all", cwd=tmp_path)
    git("commit", "--quiet", "--message", "first", cwd=tmp_path)
    commit = git("rev-parse", "HEAD", cwd=tmp_path).strip()
    (tmp_path / "a.py").write_text("new = 2\n")
    (tmp_path / "b.bin").write_bytes(b"\x00new")
    code, names = without_binaries(git("diff", cwd=tmp_path).encode())
    assert names == ("b.bin",)
    with worktree(Git(tmp_path), commit, code) as project:
        assert (project / "a.py").read_text() == "new = 2\n"
        assert (project / "b.bin").read_bytes() == b"\x00old"
    assert not project.exists()


def test_a_patch_that_does_not_fit_leaves_no_work_tree(tmp_path: Path) -> None:
    git("init", "--quiet", cwd=tmp_path)
    (tmp_path / "a.py").write_text("old = 1\n")
    git("add", "--all", cwd=tmp_path)
    git("commit", "--quiet", "--message", "first", cwd=tmp_path)
    commit = git("rev-parse", "HEAD", cwd=tmp_path).strip()
    patch = b"diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-other\n+new\n"
    outside = b"diff --git a/../x b/../x\nnew file mode 100644\n--- /dev/null\n+++ b/../x\n@@ -0,0 +1 @@\n+new\n"
    for each in (patch, outside):
        with pytest.raises(GitFailed), worktree(Git(tmp_path), commit, each):
            pass
    assert len(git("worktree", "list", cwd=tmp_path).splitlines()) == 1
    assert not (tmp_path / ".git" / "worktrees").exists()
