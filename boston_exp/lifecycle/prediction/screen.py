"""What was predicted, on stderr: standard output may be the predictions."""

from __future__ import annotations

import json
import math
import sys
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table

from boston_exp.config.commands import Predict
from boston_exp.config.invocation import for_services
from boston_exp.experiment.conformal import refusal
from boston_exp.lifecycle.prediction.predicting import Predicted
from boston_exp.lifecycle.prediction.scoring import Scored, as_rows
from boston_exp.lifecycle.prediction.source import Source
from boston_exp.reporting import numbers
from boston_exp.reporting.tables import labelled, plain_table

SHOWN = 6


def show(found: Predicted, source: Source, config: Predict, recorded: str | None) -> None:
    """Rows, flags, notes; where the target is known, how true it was."""
    if config.format == "json":
        print(json.dumps(_finite(_as_json(found, source, recorded)), indent=2), file=_stream(config))
        return
    seen = found.seen
    of = f"run {source.run.run_id} ({source.run.name})" if source.run else source.shown
    of = f"{source.version.name}, version {source.version.number}: {of}" if source.version else of
    what = f", with {config.interval:.0%} intervals" if _has_intervals(source, config) else ""
    where = "to standard output" if config.output == "-" else f"into {config.output}"
    _line("predicted", f"{_rows(seen.rows)} by {of}{what}, {where}")
    for note in found.notes:
        _line("", note)
    gaps = {name: number for name, number in seen.flags.items() if name.endswith(" gap")}
    unlike = {name: number for name, number in seen.flags.items() if name not in gaps}
    if seen.flagged:
        told = [*(["unlike the training rows"] if unlike else []), *(["with gaps"] if gaps else [])]
        share = seen.flagged / seen.rows
        _line("flags", f"{_rows(seen.flagged)} ({share:.1%}) {' or '.join(told)}: {_most(unlike, gaps)}")
    elif source.profile is not None:
        _line("flags", "none: every value is within what the training rows had")
    else:
        _line("flags", "none: the model has no profile.json to compare with")
    if found.scored is not None:
        _show_scored(found.scored, source, recorded)


def _show_scored(scored: Scored, source: Source, recorded: str | None) -> None:
    told = [f"{numbers.score(scored.metrics['rmse'])} RMSE", f"{numbers.score(scored.metrics['r2_score'])} R²"]
    if "coverage" in scored.metrics:
        told.append(f"{scored.metrics['coverage']:.1%} covered")
    _line("scored", f"{_rows(scored.rows)} with {source.target}: {', '.join(told)}")
    for says in (*scored.kept, *scored.broken):
        _line("", says)
    if scored.broken:
        _line("ALARM", "the model does not keep what its card promises on this table")
        if source.version:
            _line("next", for_services("promote", "history=true"))
    if len(scored.groups):
        console = Console(stderr=True, highlight=False, markup=False, width=None if sys.stderr.isatty() else 100)
        console.print(_groups(scored, source.unit))
    if recorded:
        _line("recorded", f"as run {recorded}")


def _groups(scored: Scored, unit: str) -> Table:
    table = plain_table()
    for heading in ("column", "group"):
        table.add_column(heading, overflow="fold")
    headings = (
        "rows",
        f"RMSE{f', {unit}' if unit else ''}",
        "MAE",
        *(["covered"] if "coverage" in scored.groups else []),
    )
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in as_rows(scored):
        cells = [str(row["column"]), str(row["group"]), str(row["rows"]), numbers.score(row["rmse"])]
        cells.append(numbers.score(row["mae"]))
        table.add_row(*cells, *([f"{row['coverage']:.0%}"] if "coverage" in row else []))
    return table


def _as_json(found: Predicted, source: Source, recorded: str | None) -> dict[str, object]:
    scored = found.scored
    return {
        "model": source.shown,
        "run_id": source.run.run_id if source.run else None,
        "rows": found.seen.rows,
        "flagged": found.seen.flagged,
        "flags": dict(found.seen.flags),
        "notes": found.notes,
        "scores": scored.metrics if scored else None,
        "scored_rows": scored.rows if scored else None,
        "groups": as_rows(scored) if scored else None,
        "broken": list(scored.broken) if scored else None,
        "recorded": recorded,
    }


def _has_intervals(source: Source, config: Predict) -> bool:
    table = source.out_of_fold
    return config.interval is not None and table is not None and not refusal(table, config.interval)


def _finite(node: Any) -> Any:
    """JSON has neither infinity nor NaN."""
    if isinstance(node, dict):
        return {name: _finite(value) for name, value in node.items()}
    if isinstance(node, list):
        return [_finite(value) for value in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node


def _stream(config: Predict) -> TextIO:
    return sys.stderr if config.output == "-" else sys.stdout


def _most(*flags: dict[str, int]) -> str:
    """The most frequent flags, what is unlike the training rows first."""
    order = [item for each in flags for item in sorted(each.items(), key=lambda item: -item[1])]
    shown = [f"{name} {number:,}" for name, number in order[:SHOWN]]
    return ", ".join(shown) + (f", and {len(order) - SHOWN} more" if len(order) > SHOWN else "")


def _rows(number: int) -> str:
    return f"{number:,} row{'' if number == 1 else 's'}"


def _line(name: str, text: str) -> None:
    print(labelled(name, text, stderr=True), file=sys.stderr)
