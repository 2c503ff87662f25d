"""A commit of the project's repository as files of their own, beside the work tree that the user has."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from boston_exp.process import temporary_folder
from boston_exp.signals import undisturbed
from boston_exp.storage.git import Git

QUIET = ("-c", "core.hooksPath=/dev/null", "-c", "advice.detachedHead=false")  # no hook of anybody runs
_SECTION = re.compile(rb"^(?=diff --git )", re.MULTILINE)
_BINARY = re.compile(rb"^Binary files .* differ$", re.MULTILINE)
_NAMES = re.compile(rb"diff --git (.*)\n")


@contextmanager
def worktree(git: Git, commit: str, patch: bytes = b"") -> Iterator[Path]:
    """The project's folder as `commit` and then `patch` have it, in a temporary git worktree; both go on the way out.

    Raises GitFailed for a commit that is not here and a patch that does not fit.
    """
    with temporary_folder() as folder:
        place = Path(folder) / Path(folder).name  # git names what it keeps of a worktree after its folder
        try:
            git.run(*QUIET, "worktree", "add", "--quiet", "--detach", str(place), commit)
            if patch:
                (Path(folder) / "diff.patch").write_bytes(patch)
                Git(place).run("apply", "--whitespace=nowarn", str(Path(folder) / "diff.patch"))
            yield place / git.prefix
        finally:
            with undisturbed():
                _remove(git, place)


def _remove(git: Git, place: Path) -> None:
    git.answer(*QUIET, "worktree", "remove", "--force", "--force", str(place))
    kept = git.answer("rev-parse", "--path-format=absolute", "--git-path", f"worktrees/{place.name}")
    if kept and Path(kept).is_dir():  # `worktree add` was interrupted
        shutil.rmtree(place, ignore_errors=True)
        shutil.rmtree(kept, ignore_errors=True)


def without_binaries(patch: bytes) -> tuple[bytes, tuple[str, ...]]:
    """A patch without the sections that say only that a binary file differs, which git cannot apply; and whose they
    are."""
    sections = _SECTION.split(patch)
    binary = [each for each in sections if _BINARY.search(each)]
    names = (_NAMES.match(each) for each in binary)
    said = tuple(found[1].decode(errors="replace").rpartition(" b/")[2] for found in names if found)
    return b"".join(each for each in sections if each not in binary), said
