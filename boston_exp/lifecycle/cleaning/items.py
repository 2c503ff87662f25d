"""Everything that would be removed, piece by piece, with its size; and removing it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from boston_exp.lifecycle.cleaning import belongings
from boston_exp.lifecycle.cleaning.belongings import remove_folder
from boston_exp.lifecycle.cleaning.choice import ORPHANS, Chosen
from boston_exp.storage.folders import bytes_in, is_older, left_behind
from boston_exp.tracking import liveness
from boston_exp.tracking.recorded import History, RecordedRun, Removal


@dataclass(frozen=True)
class Item:
    """One thing to be removed; `size` in bytes, None where it cannot be known from here."""

    kind: str  # run, output folder, study, artifacts, temporary folder
    name: str
    says: str
    size: int | None
    models: int
    remove: Callable[[], None]


def items(
    history: History,
    removal: Removal,
    registered: set[str],
    chosen: Chosen,
    what: list[str],
    older_than: float | None,
    store: str,
    studies: str | None,
    only_these: bool,
) -> list[Item]:
    """What goes: first what belongs to the runs, then the runs, children before their sweep; orphans where asked for.

    `store` is the local store's URI, `studies` Optuna's; `only_these` runs leaves out what belongs to none.
    """
    runs = sorted(chosen.runs, key=lambda run: (run.is_sweep, run.start_time))
    ids = {run.run_id for run in runs}
    found = [*_outputs(ids, store), *_studies(history, runs, studies)]
    found += [_run(removal, run, run.status.lower()) for run in runs]
    if ORPHANS in what and not only_these:
        found += _orphans(history, removal, registered, older_than, store)
    return found


def _run(removal: Removal, run: RecordedRun, says: str) -> Item:
    remove = partial(removal.remove, run.run_id)
    told = f"{says}, {run.name}"
    return Item("run", run.run_id, told, removal.size(run.run_id), len(removal.models(run.run_id)), remove)


def _outputs(ids: set[str], store: str) -> Iterator[Item]:
    found = [output for output in belongings.outputs() if output.run_id in ids and output.store == store]
    whole = {output.folder for output in found}
    for output in found:
        if output.folder.parent not in whole:  # a sweep's folder has those of its points
            yield _folder("output folder", output.folder, f"of run {output.run_id[:8]}")


def _studies(history: History, runs: list[RecordedRun], url: str | None) -> Iterator[Item]:
    """Of the sweeps that go; one that other stores' sweeps rest on, or that is being searched, stays."""
    keys = {run.tags["sweep.key"] for run in runs if run.is_sweep}
    if not keys or url is None or not _is_there(url):
        return
    from boston_exp.tracking import studies

    for name, trained in studies.of_searches(url, keys).items():
        if all(history.run(run_id) is not None for run_id in trained):
            yield Item("study", name, "of a sweep that goes", None, 0, partial(studies.remove, url, name))


def _orphans(
    history: History, removal: Removal, registered: set[str], older_than: float | None, store: str
) -> Iterator[Item]:
    before = (time.time() - (older_than or 0)) * 1000
    for run in removal.deleted():
        ended = run.end_time or run.start_time
        used = run.run_id in registered or registered & set(removal.models(run.run_id))
        if not used and ended <= before and (run.status != "RUNNING" or liveness.is_dead(run.tags)):
            yield _run(removal, run, "deleted before")
    for folder in removal.unowned():
        if is_older(folder, older_than):
            yield _folder("artifacts", folder, "no run has them")
    for output in belongings.outputs():
        if output.store == store and history.run(output.run_id) is None and is_older(output.folder, older_than):
            yield _folder("output folder", output.folder, "its run is gone")
    for folder in left_behind(older_than):
        yield _folder("temporary folder", folder, "its process is gone")


def _folder(kind: str, folder: Path, says: str) -> Item:
    return Item(kind, str(folder), says, bytes_in(folder), 0, partial(remove_folder, folder))


def _is_there(url: str) -> bool:
    """Optuna would create an sqlite file that is not there."""
    return not url.startswith("sqlite:///") or Path(url.removeprefix("sqlite:///")).is_file()
