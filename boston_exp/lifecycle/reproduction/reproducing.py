"""A run trained again and compared with itself, from its id to what is recorded of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from boston_exp.config.invocation import for_services
from boston_exp.errors import ExpectedFailure, Fault, InvalidData
from boston_exp.lifecycle import records
from boston_exp.lifecycle.reproduction import (
    bisecting,
    environments,
    explaining,
    matching,
    original,
    retraining,
    tables,
    trust,
)
from boston_exp.lifecycle.reproduction.asked import Asked
from boston_exp.lifecycle.reproduction.original import Original
from boston_exp.lifecycle.reproduction.outcome import Reproduced
from boston_exp.lifecycle.reproduction.retraining import Retrained
from boston_exp.process import temporary_folder
from boston_exp.reporting import progress
from boston_exp.storage.disk import refusals_expected
from boston_exp.storage.git import Git, GitFailed
from boston_exp.storage.worktree import worktree
from boston_exp.tracking import backends
from boston_exp.tracking.destination import NOTE
from boston_exp.tracking.recorded import REPRODUCES, Adopted, History, RecordedRun


def reproduced(asked: Asked, history: History, run: RecordedRun) -> Reproduced:
    """Train it again and compare; nothing is left behind but what is recorded.

    Raises InvalidConfig and DataUnavailable where that cannot be done here, FitFailed where the training fails.
    """
    found = original.read(history, run)
    trust.check(found, asked)
    with progress.shown() as doing, code_of(found, asked) as project:
        return trained_again(asked, history, found, project, doing)


@contextmanager
def code_of(found: Original, asked: Asked) -> Iterator[Path]:
    """The project as the run had it. Raises InvalidData where git cannot give it, or the patch does not fit."""
    with ExitStack() as stack:
        try:
            project = stack.enter_context(worktree(Git(asked.root), found.commit, found.code))
        except GitFailed as error:
            said = str(error).partition("\n")[0]
            says = f"The code of {found.shown} cannot be had from commit {found.commit[:12]} and its patch: {said}."
            raise InvalidData(Fault(says, f"git show {found.commit[:12]}")) from error
        yield project


def trained_again(
    asked: Asked, history: History, found: Original, project: Path, doing: Callable[[str], None]
) -> Reproduced:
    """With the code in `project`."""
    with temporary_folder() as name:
        folder = Path(name)
        table = tables.found(found, asked, folder)
        python = None
        if asked.config.environment == "recorded":
            doing("building the recorded environment")
            python = environments.recorded(found, project, folder / "environment", asked.config.trusted_packages)
        doing("training again")
        train = partial(retraining.retrained, found, project, table, asked.config.trusted_packages)
        new = train(folder / "again", python=python)
        doing("comparing")
        outcome = _compared(asked, history, found, new)
        if asked.config.bisect and not outcome.is_same:
            tried = bisecting.tried(history, outcome, folder, train, doing)
            outcome = replace(outcome, tried=tuple(tried))
        if asked.config.record:
            doing("recording")
            try:
                with refusals_expected():
                    outcome = replace(outcome, run_id=_recorded(asked, history, outcome, new, folder / "told"))
            except ExpectedFailure as failure:  # a verdict that took hours is told, whatever becomes of its record
                outcome = replace(outcome, unrecorded=failure)
        return outcome


def _compared(asked: Asked, history: History, found: Original, new: Retrained) -> Reproduced:
    """Numbers and circumstances side by side."""
    before, after = (history, found.run), (new.history, new.run)
    matches, differing = matching.matches(before, after), explaining.differing(before, after)
    if not matches:
        says = f"{found.shown} has recorded nothing that could be compared: no metric, no folds, no predictions."
        raise InvalidData(Fault(says, for_services("leaderboard") + "   (lists runs that have scores)"))
    return Reproduced(found, None, tuple(matches), tuple(differing), asked.config.tolerance)


def _recorded(asked: Asked, history: History, outcome: Reproduced, new: Retrained, folder: Path) -> str:
    found = outcome.of
    folder.mkdir()
    for path in (records.CONFIG, records.OVERRIDES):  # as they were typed then: base= takes them
        history.artifact(found.run.run_id, path, (folder / path).parent)
    said = "the same to the last bit" if outcome.is_identical else "not the same to the last bit"
    note = f"Trained again from the record of {found.run.run_id}: {said}.\n\n{new.run.tags.get(NOTE, '')}"
    tags = {REPRODUCES: found.run.run_id, "reproduces.identical": str(outcome.is_identical).lower(), NOTE: note}
    params = {name: found.run.params[name] for name in explaining.OF_ITSELF if name in found.run.params}
    as_what = Adopted(found.run.run_id, f"{found.run.name} (again)", tags, params, folder)
    return backends.adopt(asked.destination, new.store, new.run.run_id, as_what)
