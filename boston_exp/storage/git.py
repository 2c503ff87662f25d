"""The project's git repository as promotion needs it: what stands in the way, a commit of a few paths, tags.

Everything is git's own command, so hooks, signing and the user's settings hold.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from boston_exp.errors import Fault
from boston_exp.process import temporary_folder

PATIENCE = 600.0  # seconds: a hook may run tests
LOCKED = 2.0  # seconds; git has the lock of a tag for milliseconds
IN_PROGRESS = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply")


class GitFailed(Exception):
    """A git command that did not end well, with what it said."""

    @property
    def lock(self) -> Path | None:
        """The file that another git has made, or has left because it was killed: only somebody who looks knows."""
        found = re.search(r"Unable to create '(.+\.lock)': File exists", str(self))
        return Path(found[1]) if found else None


@dataclass(frozen=True)
class Git:
    """The repository that has `folder` in it; paths are relative to that folder."""

    folder: Path

    def run(self, *arguments: str, index: Path | None = None, holding: tuple[int, ...] = ()) -> str:
        """What git prints, its last line break removed; it keeps the file descriptors open that it is `holding`.

        Raises GitFailed.
        """
        done = self._done(arguments, index, holding)
        if done.returncode:
            said = (done.stderr or done.stdout).decode(errors="replace").strip()
            raise GitFailed(said or f"git {arguments[0]} ended with code {done.returncode}")
        return done.stdout.decode(errors="replace").removesuffix("\n")

    def _done(
        self, arguments: Sequence[str], index: Path | None = None, holding: tuple[int, ...] = ()
    ) -> subprocess.CompletedProcess[bytes]:
        environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
        if index is not None:
            environment["GIT_INDEX_FILE"] = str(index)
        try:
            return subprocess.run(
                ["git", *arguments],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PATIENCE,
                check=False,
                pass_fds=holding,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise GitFailed(str(error)) from error

    def answer(self, *arguments: str) -> str:
        """The same, empty where git fails."""
        try:
            return self.run(*arguments)
        except GitFailed:
            return ""

    @property
    def head(self) -> str:
        """The commit; empty in a repository without one."""
        return self.answer("rev-parse", "--verify", "--quiet", "HEAD^{commit}")

    @property
    def prefix(self) -> str:
        """Of the folder in its repository: empty, or `experiments/boston`."""
        return self.answer("rev-parse", "--show-prefix").rstrip("/")

    def path(self, name: str) -> Path:
        """Of a file of git's own, which a work tree may have elsewhere."""
        return Path(self.run("rev-parse", "--path-format=absolute", "--git-path", name))

    def faults(self) -> Iterator[Fault]:
        """What keeps a commit from being made that everybody would get."""
        if self.answer("rev-parse", "--is-inside-work-tree") != "true":
            yield Fault(f"{self.folder} is no git repository.", "git init && git add --all && git commit -m 'begin'")
            return
        if not self.head:
            yield Fault(
                "The git repository has no commit on this branch yet.", "git add --all && git commit -m 'begin'"
            )
            return
        if not self.answer("symbolic-ref", "--quiet", "HEAD"):
            yield Fault(
                "No branch is checked out (HEAD is detached): the commit would be lost.", "git switch -c <branch>"
            )
        if self.answer("rev-parse", "--is-shallow-repository") == "true":
            says = "This clone is shallow: its tags, by which versions and stages are counted, may not be all."
            yield Fault(says, "git fetch --unshallow --tags")
        if not (self.answer("var", "GIT_AUTHOR_IDENT") and self.answer("var", "GIT_COMMITTER_IDENT")):
            yield Fault(
                "git does not know who commits.",
                "git config user.name '<your name>' && git config user.email '<you@example.org>'",
            )
        lock = self.path("index.lock")
        if lock.exists():
            says = f"Another git command is at work in this repository, or was killed there: {lock} exists."
            yield Fault(says, f"rm {lock}   (once no git runs there)")
        under_way = [name for name in IN_PROGRESS if self.path(name).exists()]
        if under_way:
            says = f"A merge, rebase or cherry-pick is not finished in this repository ({', '.join(under_way)})."
            yield Fault(says, "git status   (says how to finish it)")

    def changed(self, paths: Iterable[str]) -> list[str]:
        """Those of the paths that have staged or unstaged changes, or are there and git does not know them."""
        found = self.answer("status", "--porcelain", "-z", "--untracked-files=all", "--", *paths)
        return [each[3:] for each in found.split("\0") if len(each) > 3]

    def content(self, commit: str, path: str) -> bytes | None:
        """Of a file in a commit; None where it has no such file."""
        done = self._done(("cat-file", "blob", f"{commit}:./{path}"))
        return None if done.returncode else done.stdout

    def commit(self, paths: Sequence[str], message: str, holding: tuple[int, ...]) -> str:
        """A commit of exactly these paths as they are in the work tree, on top of HEAD; returns it.

        git goes on where we are killed: what it is `holding`, a lock, is held until it has ended.

        The index that it is made from is a temporary one: whatever else is staged or changed stays as it is. Hooks run.
        Returns HEAD where the paths are in it already. Raises GitFailed.
        """
        with self._temporary_index() as index:
            self.run("add", "--force", "--", *paths, index=index)
            if self.run("write-tree", index=index) != self.run("rev-parse", "HEAD^{tree}"):
                quiet = ("-c", "gc.auto=0", "-c", "maintenance.auto=false")  # which would go on in the background
                self.run(*quiet, "commit", "--quiet", "--message", message, index=index, holding=holding)
        return self.head

    @contextmanager
    def _temporary_index(self) -> Iterator[Path]:
        with temporary_folder() as folder:
            index = Path(folder) / "index"
            self.run("read-tree", "HEAD", index=index)
            yield index

    def take_over(self, commit: str) -> None:
        """Have the user's index know of a commit that was made without it: of each path that the index had as the
        commit before, also one that a hook has added."""
        changed = self.run("diff-tree", "--no-commit-id", "--name-only", "-r", "-z", "--relative", commit)
        paths = [path for path in changed.split("\0") if path]
        staged = self.run("diff", "--cached", "--name-only", "-z", "--relative", f"{commit}^", "--", *paths)
        mine = [path for path in paths if path not in staged.split("\0")]
        if mine:
            self.run("reset", "--quiet", "HEAD", "--", *mine)

    def stage(self, paths: Sequence[str]) -> None:
        """Add these paths to the user's index."""
        self.run("add", "--force", "--", *paths)

    def commit_with(self, text: str) -> str | None:
        """The newest commit of this branch whose message has this line."""
        return self.answer("log", "-1", "--format=%H", "--fixed-strings", f"--grep={text}", "HEAD") or None

    def has(self, commit: str) -> bool:
        """Whether a commit is in this repository."""
        return bool(self.answer("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}"))

    def is_known(self, commit: str) -> bool:
        """Whether a branch or tag that is here leads to a commit."""
        places = ("refs/heads", "refs/tags", "refs/remotes")
        return bool(self.answer("for-each-ref", "--count=1", "--contains", commit, *places))

    def tags(self) -> list[str]:
        return self.answer("tag", "--list").splitlines()

    def tagged(self, tag: str) -> str | None:
        """The commit that a tag is on."""
        return self.answer("rev-parse", "--verify", "--quiet", f"refs/tags/{tag}^{{commit}}") or None

    def tag(self, tag: str, commit: str, message: str) -> None:
        """An annotated tag; nothing where this commit has it. Raises GitFailed where another has it.

        Nobody but the caller makes tags of this name: a lock of it that stays was left by a git that was killed.
        """
        making = ("tag", "--annotate", "--message", message, tag, commit)
        if self.tagged(tag) == commit:
            return
        try:
            self.run(*making)
        except GitFailed as failed:
            if failed.lock is None or not failed.lock.as_posix().endswith(f"refs/tags/{tag}.lock"):
                raise
            time.sleep(LOCKED)
            if self.tagged(tag) != commit:
                failed.lock.unlink(missing_ok=True)
                self.run(*making)
