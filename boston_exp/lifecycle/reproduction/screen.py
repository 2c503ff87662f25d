"""What came of it, on the screen and for machines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from boston_exp.config.invocation import again, was_typed
from boston_exp.errors import Fault, RecordingFailed, print_failure
from boston_exp.lifecycle.evidence import FOLDS, HELD_OUT, OUT_OF_FOLD
from boston_exp.lifecycle.reproduction.explaining import is_numeric
from boston_exp.lifecycle.reproduction.matching import METRIC, Match
from boston_exp.lifecycle.reproduction.outcome import Reproduced, largest
from boston_exp.lifecycle.reproduction.sampling import Sampled
from boston_exp.reporting.tables import BAD, labelled, plain_table, print_rows

SHOWN = 8  # numbers that differ, and versions of packages that compute nothing
LONG = 40  # characters of a value
SIDES = {"again": "only in the record", "original": "not in the record", "damaged": "cannot be read in the record"}
COLUMNS = ("run_id", "name", "again", "identical", "same", "largest_relative", "verdict")  # of a sample
NAMES = {METRIC: "metrics", FOLDS: "folds", OUT_OF_FOLD: "out-of-fold predictions", HELD_OUT: "held-out predictions"}


def show(found: Reproduced, form: str) -> None:
    """Print the verdict, what differs by how much, and what else is not the same."""
    rows = [asdict(match) | {"same": match.is_same(found.tolerance)} for match in found.matches]
    about = summary(found) | {"differences": [asdict(each) for each in found.differing]}
    print_rows(rows, form, lambda: _drawn(found), name="values", about=about)
    _say_unrecorded(found)


def _say_unrecorded(found: Reproduced) -> None:
    """On stderr, and the exit code stays that of the verdict."""
    if found.unrecorded:
        fault = found.unrecorded.faults[0]
        print_failure(
            RecordingFailed(Fault(f"What came of {found.of.shown} is not recorded. {fault.says}", fault.mend))
        )


def summary(found: Reproduced) -> dict[str, Any]:
    """One row a run, for machines."""
    return {
        "run_id": found.of.run.run_id,
        "name": found.of.run.name,
        "again": found.run_id,
        "not_recorded": found.unrecorded.faults[0].says if found.unrecorded else None,
        "identical": found.is_identical,
        "same": found.is_same,
        "tolerance": found.tolerance,
        "largest_relative": largest(found.matches),
        "verdict": verdict(found),
        "left_out": list(found.of.binaries),
        "tried": [asdict(each) for each in found.tried],
        "cause": found.cause,
    }


def verdict(found: Reproduced) -> str:
    """One sentence."""
    if found.is_identical:
        return f"identical to the last bit: {_listed(_counts(found.matches))}."
    apart = [match for match in found.matches if not match.is_same(0.0)]
    size, far = f"{largest(apart):.2g}", largest(apart)
    by = f", by {size} of their size at most" if math.isfinite(far) else ""
    share = _listed(_counts(found.matches, apart))
    if found.is_same:
        return f"the same within tolerance={found.tolerance:g}: {share} differ{by}."
    return f"not the same: {share} differ{by}."


def _counts(matches: Sequence[Match], apart: Sequence[Match] | None = None) -> list[str]:
    """`24 metrics`, `404 out-of-fold predictions`; with `apart` how many of them: `9 of 24 metrics`."""
    told = []
    for of, name in NAMES.items():
        own = [match for match in matches if match.of == of]
        bad = [match for match in apart or () if match.of == of]
        if not own or (apart is not None and not bad):
            continue
        total = len(own) if of == METRIC else max(match.values for match in own)
        wrong = len(bad) if of == METRIC else max((match.differing for match in bad), default=0)
        told.append(f"{wrong:,} of {total:,} {name}" if apart is not None else f"{total:,} {name}")
    return told


def _listed(parts: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]])) if parts else "nothing that was compared"


def _drawn(found: Reproduced) -> list[Any]:
    run, said = found.of.run, verdict(found)
    style = "bold" if found.is_same else BAD
    parts: list[Any] = [Text.assemble((run.name, "bold"), f" ({run.run_id[:8]}), trained again: ", (said, style))]
    apart = [match for match in found.matches if not match.is_same(0.0)]
    if apart:
        parts += ["", _numbers(apart), ""]
    if found.of.binaries:
        parts.append(
            labelled("left out", f"binary files, whose content is not recorded: {', '.join(found.of.binaries)}")
        )
    if not found.of.platform:
        parts.append(labelled("unknown", "machine and BLAS that it was recorded on: a record of version 1 has no more"))
    parts += _differences(found)
    if not found.is_same and not found.tried and not was_typed("bisect"):
        parts.append(labelled("next", again("bisect=true"), is_command=True))
    for tried in found.tried:
        parts.append(labelled("tried", f"{tried.name}: {tried.says}"))
    if found.tried:
        said = f"by {found.cause}" if found.cause else "by none of what could be tried here"
        parts.append(labelled("explained", said))
    if found.run_id:
        parts.append(labelled("run id", found.run_id))
    if found.unrecorded:
        parts.append(labelled("not recorded", "the repetition could not be, for the reason below"))
    return parts


def _numbers(apart: list[Match]) -> Table:
    table = plain_table()
    for heading in ("", "", "differ", "by", "relative"):
        table.add_column(heading, justify="left" if not heading else "right", no_wrap=bool(heading))
    order = sorted(apart, key=lambda match: (not match.missing, -match.relative))
    for match in order[:SHOWN]:
        if match.missing:
            table.add_row(match.of, match.name, SIDES[match.missing], "", "")
        else:
            share = f"{match.differing:,} of {match.values:,}" if match.of != METRIC else ""
            table.add_row(match.of, match.name, share, f"{match.absolute:.2g}", f"{match.relative:.2g}")
    if len(order) > SHOWN:
        table.add_row("…", f"{len(order) - SHOWN} more", "", "", "")
    return table


def _differences(found: Reproduced) -> list[Any]:
    if not found.differing:
        known = ["code", "data", "settings"]
        known += ["machine"] if found.of.platform else []
        known += ["versions"] if found.of.requirements else []
        return [f"Nothing else differs that was recorded: {_listed(known)} are the same."]
    table = plain_table()
    for heading in ("differs", "", "recorded", "here"):
        table.add_column(heading, overflow="fold")
    minor = [each for each in found.differing if each.kind == "version" and not is_numeric(each)]
    several = [each for each in minor if all(each.values)]
    left = [each for each in minor if each not in several[:SHOWN]]
    for each in found.differing:
        if each not in left:
            table.add_row(each.kind, each.name, *map(_cut, each.values))
    parts: list[Any] = [table] if table.row_count else []
    if left:
        parts.append(f"and {len(left)} packages of other versions, or installed on one side alone   (format=json)")
    return parts


def _cut(value: str) -> str:
    return value if len(value) <= LONG else f"{value[: LONG - 1]}…"


def show_several(found: Sequence[Sampled], form: str) -> None:
    """One line a run."""
    rows = [summary(each.outcome) if each.outcome else _impossible(each) for each in found]
    about = {"runs": len(found), "same": sum(each.is_same for each in found)}
    rows = [{name: row[name] for name in COLUMNS} for row in rows]
    print_rows(rows, form, lambda: _lines(rows, about), name="sample", about=about)
    for each in found:
        if each.outcome:
            _say_unrecorded(each.outcome)


def _impossible(each: Sampled) -> dict[str, Any]:
    """The same keys for a run that was not trained."""
    known = {"run_id": each.run.run_id, "name": each.run.name, "verdict": f"not possible: {each.refused}"}
    return dict.fromkeys(COLUMNS) | known | {"identical": False, "same": False}


def _lines(rows: list[dict[str, Any]], about: dict[str, int]) -> list[Any]:
    table = plain_table()
    table.add_column("id", no_wrap=True)
    table.add_column("name", overflow="fold")
    table.add_column("trained again", overflow="fold")
    for row in rows:
        said = Text(row["verdict"], style="" if row["same"] else BAD)
        table.add_row(row["run_id"][:8], row["name"], said)
    return [table, f"{about['same']} of {about['runs']} runs are the same."]
