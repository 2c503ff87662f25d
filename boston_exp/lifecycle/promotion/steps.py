"""The steps of a promotion, in their order, and back: everything that can fail comes before the commit."""

from __future__ import annotations

import shlex
import shutil
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from boston_exp.config.invocation import again
from boston_exp.config.schema import Storage
from boston_exp.config.settings import Typed
from boston_exp.errors import ExpectedFailure, Fault, NotPromoted
from boston_exp.lifecycle.model_folder import CARD, PAGE
from boston_exp.lifecycle.promotion import tags
from boston_exp.lifecycle.promotion.journal import DVC_YAML, Journal, digest
from boston_exp.lifecycle.promotion.names import previous
from boston_exp.process import temporary_folder
from boston_exp.storage import dvc_remote
from boston_exp.storage.git import Git, GitFailed
from boston_exp.storage.promotion_files import FOLDER
from boston_exp.tracking.recorded import Registry

IDENTITY = "promotion.id"  # tag of a version: the promotion that has made it
GTO, COMMIT = "gto.version", "git.commit"  # tags of a version: what it is called in git, and where it is


@dataclass(frozen=True)
class Content:
    """What is promoted. `fill` writes the files of the model into a folder; `dvc_file` is what an earlier promotion
    has committed, whose files DVC has; `source` of a new version is its logged model."""

    fill: Callable[[Path], None]
    dvc_file: bytes | None
    source: str
    version_tags: dict[str, str]
    describes: Callable[[Path], str]


@dataclass(frozen=True)
class Tools:
    """Where it is done."""

    registry: Registry
    git: Git
    storage: Storage
    typed: Typed
    dvc: str  # push, add, none
    lock: int  # file descriptor that holds it


def reached(step: str) -> None:
    """Called before each step by its name; tests interrupt here."""


def carry_out(tools: Tools, journal: Journal, content: Content) -> Journal:
    """All of it, or nothing.

    Raises what a step raises, once all is undone; NotPromoted where that is not possible, or where the commit is made
    and something after it has failed: the same command goes on from there.
    """
    try:
        _prepare(tools, journal, content)
        reached("register")
        _register(tools, journal, content)
        reached("place")
        for path in (journal.folder, journal.pointer, DVC_YAML):
            journal.put(path)
            reached(f"placed {path}")
        _decide(tools, journal)
    except BaseException as error:
        if decided(tools, journal):
            raise
        _undo_after(tools, journal, error)
        if isinstance(error, OSError):
            says = f"{error.filename or journal.place(journal.folder)}: {error.strerror}. All is as it was."
            raise NotPromoted(Fault(says, f"df -h {journal.root}   (is there room, may it be written?)")) from error
        raise
    finish(tools, journal)
    return journal


def decided(tools: Tools, journal: Journal) -> bool:
    """Whether it is too late to undo it: others may have seen the commit."""
    if journal.git == "commit" and journal.commit is None:
        journal.commit = tools.git.commit_with(journal.trailer)
    return journal.decided or journal.commit is not None


def finish(tools: Tools, journal: Journal) -> None:
    """What follows the decision; every part of it can be done again. Raises NotPromoted where one fails."""
    try:
        _finish(tools, journal)
    except (ExpectedFailure, GitFailed, OSError) as error:
        told = error.faults[0].says if isinstance(error, ExpectedFailure) else str(error)
        says = f"The promotion of {journal.name} is decided, and not all of it is done yet: {told}"
        mend = f"{again()}   (goes on from there; or, where it never will: rm -r {journal.place(str(FOLDER))})"
        mend = _without_lock(error) or mend
        raise NotPromoted(Fault(says, mend)) from error


def undo(tools: Tools, journal: Journal, registered: bool = True) -> None:
    """Everything as it was; every part of it can be done again. `registered` says whether there may be a version.

    Raises StoreUnusable where the registry is away.
    """
    for path in (DVC_YAML, journal.pointer, journal.folder):
        journal.take_back(path)
    reached("undo version")
    for version in tools.registry.versions(journal.name) if registered else ():
        if version.tags.get(IDENTITY) == journal.identity:
            tools.registry.remove(journal.name, version.number)
    journal.close()


def _undo_after(tools: Tools, journal: Journal, error: BaseException) -> None:
    try:
        undo(tools, journal, registered=journal.created)
    except ExpectedFailure as failure:
        why = error.faults[0].says if isinstance(error, ExpectedFailure) else str(error)
        says = f"{why} And it cannot be undone yet: {failure.faults[0].says}"
        raise NotPromoted(Fault(says, f"{again()}   (undoes it, then tries again)")) from error


def _prepare(tools: Tools, journal: Journal, content: Content) -> None:
    """The model's files under DVC, beside their place; the journal, before anything that others see."""
    reached("prepare")
    if tools.dvc != "none":
        folder = journal.new(journal.folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        if content.dvc_file is not None:
            journal.new(journal.pointer).write_bytes(content.dvc_file)
            dvc_remote.pull(folder, tools.storage, tools.typed)
        else:
            folder.mkdir()
            content.fill(folder)
            reached("push")
            dvc_remote.add(folder, tools.storage, tools.typed, push=tools.dvc == "push")
        tags.add_artifact(journal.place(DVC_YAML), journal.new(DVC_YAML), journal.name, journal.folder)
        for path in (journal.folder, *journal.paths):
            journal.had[path] = journal.place(path).exists()
            if journal.new(path).exists():
                journal.placed[path] = digest(journal.new(path))
    journal.save()


def _register(tools: Tools, journal: Journal, content: Content) -> None:
    if journal.number is None:
        journal.created = True
        own = content.version_tags | {IDENTITY: journal.identity}
        described = content.describes(journal.new(journal.folder))
        version = tools.registry.create(journal.name, content.source, journal.run_id, own, described)
        journal.number = version.number
    if journal.git == "commit":
        journal.version_tag = journal.version_tag or tags.version(tools.git, journal.name, journal.number)
        journal.stage_tag = tags.stage(tools.git, journal.name, journal.alias)
        journal.message = journal.message.replace(tags.UNKNOWN, journal.version_tag.rpartition("@")[2])
    else:
        journal.message = journal.message.replace(tags.UNKNOWN, f"version {journal.number}")
    journal.save()


def _decide(tools: Tools, journal: Journal) -> None:
    if journal.git == "commit":
        try:
            commit = tools.git.commit(journal.paths, f"{journal.message}\n\n{journal.trailer}", (tools.lock,))
        except GitFailed as error:
            mend = f"{again()}   (once git, or its hook, takes the commit; or leave it to you: {again('git=stage')})"
            mend = _without_lock(error) or mend
            raise NotPromoted(Fault(f"git refuses the commit, all is as it was: {_short(str(error))}", mend)) from error
        reached("committed")
        journal.commit = commit
    journal.decided = True
    journal.save()
    reached("decided")


def _finish(tools: Tools, journal: Journal) -> None:
    registry, name, number = tools.registry, journal.name, journal.number
    assert number  # it is registered before anything is decided
    if journal.git == "commit":
        assert journal.commit
        if tools.git.commit_with(journal.trailer) == journal.commit:
            tools.git.take_over(journal.commit)
        reached("tag version")
        of_version = _tag(tools, journal)
        assert journal.version_tag
        registry.tag(name, number, {GTO: journal.version_tag.rpartition("@")[2], COMMIT: of_version})
    elif journal.git == "stage":
        tools.git.stage(journal.paths)
    reached("card")
    if journal.created and journal.folder in journal.placed:  # else the files there are another version's
        _log_card(tools, journal)
    reached("alias")
    if journal.previous != number:
        registry.point(name, previous(journal.alias), journal.previous)
    reached("alias moved")
    registry.point(name, journal.alias, number)
    registry.describe(name, journal.about)
    reached("event")
    registry.note_event(name, journal.event["number"], {**journal.event, "version": number, "commit": journal.commit})
    journal.close()


def _tag(tools: Tools, journal: Journal) -> str:
    """Give the version and the stage their tags; returns the commit of the version.

    A tag that somebody has made or fetched meanwhile is theirs: ours gets the next number.
    """
    git, commit = tools.git, journal.commit
    assert commit
    assert journal.version_tag
    assert journal.stage_tag
    of_version = git.tagged(journal.version_tag)
    if of_version is None or (journal.created and of_version != commit):
        if of_version is not None:
            journal.version_tag = tags.version(git, journal.name, str(journal.number))
        of_version = commit
        git.tag(journal.version_tag, commit, journal.message)
    reached("tag stage")
    if git.tagged(journal.stage_tag) not in (None, of_version):
        journal.stage_tag = tags.stage(git, journal.name, journal.alias)
    git.tag(journal.stage_tag, of_version, journal.message)
    journal.save()
    return of_version


def _log_card(tools: Tools, journal: Journal) -> None:
    with temporary_folder() as name:
        for file in (CARD, PAGE):
            shutil.copy(journal.place(journal.folder) / file, name)
        tools.registry.log_artifacts(journal.run_id, Path(name), "card")


def _without_lock(error: Exception) -> str | None:
    """The next command where another git's lock is in the way, or one that a killed git has left."""
    if not isinstance(error, GitFailed) or error.lock is None:
        return None
    return f"rm {shlex.quote(str(error.lock))}   (once no git runs there; then: {again()})"


def _short(said: str) -> str:
    return textwrap.shorten(" ".join(said.split()), 400, placeholder=" …")
