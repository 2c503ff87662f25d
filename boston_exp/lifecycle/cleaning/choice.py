"""Which runs are to go: every condition that was given has to hold, and what is registered stays."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from boston_exp.config.invocation import again, quoted_list
from boston_exp.errors import Fault, InvalidConfig, did_you_mean
from boston_exp.tracking.recorded import History, RecordedRun, Removal

WHAT = {
    "failed": "attributes.status = 'FAILED'",
    "killed": "attributes.status = 'KILLED' and tags.pruned IS NULL",
    "pruned": "attributes.status = 'KILLED' and tags.pruned = 'true'",
}
ORPHANS = "orphans"  # what no run has
UNITS = {"d": 86400, "h": 3600, "m": 60}


@dataclass(frozen=True)
class Chosen:
    """Runs to be removed, with the children of sweeps; and runs that stay, with the reason."""

    runs: tuple[RecordedRun, ...]
    kept: tuple[tuple[RecordedRun, str], ...]


def check(what: list[str], older_than: str | None, run_id: str | None, sweep: str | None) -> float | None:
    """The age in seconds that `older_than` says.

    Raises InvalidConfig for a word that is unknown, an age that is none, and where nothing was chosen at all.
    """
    faults = [
        Fault(
            f"what=[{word}] is not possible: choose of {', '.join([*WHAT, ORPHANS])}.{did_you_mean(word, WHAT)}",
            again("what=[failed,killed]"),
        )
        for word in what
        if word not in WHAT and word != ORPHANS
    ]
    age = re.fullmatch(r"(\d+)([dhm])", older_than or "")
    if older_than is not None and age is None:
        faults.append(Fault(f"older_than={older_than} is not an age such as 30d, 12h or 90m.", again("older_than=30d")))
    if not (what or older_than or run_id or sweep):
        faults.append(Fault("Nothing says what is to be removed.", again(f"what={quoted_list([*WHAT, ORPHANS])}")))
    if faults:
        raise InvalidConfig(*faults)
    return int(age[1]) * UNITS[age[2]] if age else None


def chosen(
    history: History,
    registered: set[str],
    what: list[str],
    older_than: float | None,
    run: RecordedRun | None,
    sweep: RecordedRun | None,
) -> Chosen:
    """The runs that meet all conditions; none where only orphans were asked for."""
    words = [word for word in what if word in WHAT]
    if what and not words:
        return Chosen((), ())
    found = {each.run_id: each for each in _found(history, words, run, sweep)}
    before = time.time() - (older_than or 0)
    found = {key: each for key, each in found.items() if (each.end_time or each.start_time) / 1000 <= before}
    stays: dict[str, str] = {}
    for parent in [each for each in found.values() if each.is_sweep]:
        for child in history.children(parent.run_id):
            if not words:
                found.setdefault(child.run_id, child)
            elif child.run_id not in found:
                stays[parent.run_id] = "points of it are not among them"
    for key, each in found.items():
        if key in registered:
            stays[key] = "a registered model comes from it"
        elif each.status == "RUNNING":
            stays[key] = "it is running"
    for key in list(stays):  # without its sweep's run a point would lose where it belongs
        parent_id = found[key].tags.get("mlflow.parentRunId", "")
        if parent_id in found:
            stays.setdefault(parent_id, "one of its points stays")
    return Chosen(
        tuple(each for key, each in found.items() if key not in stays),
        tuple((found[key], reason) for key, reason in stays.items()),
    )


def registered(history: History, removal: Removal) -> set[str]:
    """What a registered model points at; of a sweep's model the point, too, that it was made from."""
    found = removal.registered()
    runs = [run for run_id in found if not run_id.startswith("m-") and (run := history.run(run_id))]
    return found | {run.tags[name] for run in runs for name in ("best.run_id", "best.model_of") if name in run.tags}


def _found(history: History, words: list[str], run: RecordedRun | None, sweep: RecordedRun | None) -> list[RecordedRun]:
    if run is not None or sweep is not None:
        found = [run] if run else [sweep, *history.children(sweep.run_id)] if sweep else []
        if run is not None and sweep is not None:
            belongs = run.run_id == sweep.run_id or run.tags.get("mlflow.parentRunId") == sweep.run_id
            found = [run] if belongs else []
        kinds = {each.run_id for word in words for each in history.newest(WHAT[word])}
        return [each for each in found if each is not None and (not words or each.run_id in kinds)]
    if not words:  # an age alone
        return history.newest()
    return [each for word in words for each in history.newest(WHAT[word])]
