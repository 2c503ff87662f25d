"""What killed commands have left: temporary folders, git work trees, a promotion that is half done."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Sized
from functools import partial
from pathlib import Path

from boston_exp.config.invocation import again, command_line
from boston_exp.config.settings import PROJECT_ROOT
from boston_exp.diagnosis import locks
from boston_exp.diagnosis.finding import Finding, Patient, ok, warning
from boston_exp.storage import promotion_files
from boston_exp.storage.folders import HOUR, left_behind, left_lately, process_of, was_left
from boston_exp.storage.git import Git


def leftovers(patient: Patient) -> Iterator[Finding]:
    """`fix` removes work trees and folders of dead processes of this user, and nothing else."""
    git = Git(PROJECT_ROOT)
    trees = list(_trees(git))
    folders = [folder for folder in left_behind() if folder not in {folder for _, folder in trees}]
    if trees:
        says = f"{_number(trees, 'git work tree')} of commands that were killed: {trees[0][0]}{' …' * (len(trees) > 1)}"
        yield warning("left over", says, again("fix=true"), partial(_remove_trees, git, trees))
    if folders:
        says = f"{_number(folders, 'temporary folder')} of commands that were killed: {folders[0]}"
        mend = f"{again('fix=true')}   (or {command_line('clean', 'what=[orphans]')})"
        yield warning("left over", says + " …" * (len(folders) > 1), mend, partial(_remove, folders))
    half = list(_promotion(PROJECT_ROOT))
    yield from half
    if not (trees or folders or half):
        young = left_lately()
        told = f" but {young} temporary folder{'s' * (young != 1)} younger than an hour" if young else ""
        yield ok("left over", f"nothing of killed commands{told}")


def _trees(git: Git) -> Iterator[tuple[Path, Path]]:
    """Work trees of this repository in temporary folders that dead processes have left, and those folders.

    One whose folder is gone is known to git alone; a machine that shares the repository may have it, so it has to be
    an hour old.
    """
    shared = git.answer("rev-parse", "--path-format=absolute", "--git-common-dir")
    for note in sorted(Path(shared).glob("worktrees/*/gitdir")) if shared else []:
        try:
            found, tree = note.stat(), (note.parent / note.read_text().strip()).parent
        except OSError:
            continue
        folder = next((each for each in (*reversed(tree.parents), tree) if process_of(each) is not None), None)
        if folder is None:
            continue
        old = found.st_uid == os.getuid() and time.time() - found.st_mtime > HOUR
        if was_left(folder) if folder.exists() else old:
            yield tree, folder


def _remove_trees(git: Git, trees: list[tuple[Path, Path]]) -> str:
    for tree, folder in trees:
        shutil.rmtree(folder, ignore_errors=True)
        git.run("worktree", "remove", "--force", "--force", str(tree))  # twice: one that is locked, too
    return f"{_number(trees, 'git work tree')} removed"


def _remove(folders: list[Path]) -> str:
    for folder in folders:
        shutil.rmtree(folder)
    return f"{_number(folders, 'temporary folder')} removed"


def _promotion(root: Path) -> Iterator[Finding]:
    """One that was interrupted: while another is at work, its journal is no left-over."""
    if not (root / promotion_files.JOURNAL).is_file() or any(locks.holders([root / promotion_files.LOCK])):
        return
    try:
        journal = json.loads((root / promotion_files.JOURNAL).read_text())
        of, store = f"{journal['run_id']} to {journal['name']}@{journal['alias']}", f"tracking.uri={journal['store']}"
        mend = command_line("promote", f"run_id={journal['run_id']}", f"alias={journal['alias']}", store)
        yield warning("promotion", f"The promotion of {of} was interrupted.", f"{mend}   (undoes or finishes it first)")
    except (OSError, ValueError, KeyError, TypeError):
        says = f"{root / promotion_files.JOURNAL} cannot be read: it is of a promotion that was interrupted."
        yield warning("promotion", says, f"git status   (then: rm -r {root / promotion_files.FOLDER})")


def _number(things: Sized, noun: str) -> str:
    return f"{len(things)} {noun}{'s' * (len(things) != 1)}"
