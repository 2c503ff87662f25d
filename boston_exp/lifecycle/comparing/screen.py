"""A comparison on the screen, and its pairs for machines."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from boston_exp.lifecycle.comparing.differences import Differs
from boston_exp.lifecycle.comparing.pairs import Comparison, Pair
from boston_exp.lifecycle.comparing.verdicts import about_folds, names, verdict
from boston_exp.redaction import printable
from boston_exp.reporting import numbers
from boston_exp.reporting.tables import plain_table, print_rows
from boston_exp.tracking.recorded import RecordedRun

LONG = 40  # characters of a value on the screen


def show(found: Comparison, differing: list[Differs], form: str) -> None:
    """Print verdict, scores, pairs and what differs; `form` is table, json, csv or markdown."""
    rows = [pair_row(found, pair) for pair in found.pairs]
    about = {"runs": [score_row(found, run) for run in found.runs], "differences": [asdict(each) for each in differing]}
    print_rows(rows, form, lambda: _drawn(found, differing), name="pairs", about=about)


def pair_row(found: Comparison, pair: Pair) -> dict[str, Any]:
    """What is known of two runs, differences as A - B in the metric's own direction and unit."""
    sign = -1 if found.metric.direction == "maximize" else 1
    rows, folds = pair.rows, pair.folds
    low, high = sorted((sign * rows.low, sign * rows.high))
    row: dict[str, Any] = {
        "a": pair.a.run_id,
        "b": pair.b.run_id,
        "metric": found.metric.name,
        "unit": found.unit,
        "better": pair.better.run_id if pair.better else None,
        "difference": sign * rows.mean,
        "low": low,
        "high": high,
        "p": rows.p,
        "p_holm": pair.p,
        "rows": rows.n,
        "missed_below": rows.missed,
        "folds_difference": sign * folds.difference.mean if folds else None,
        "folds_p": folds.difference.p if folds else None,
        "rope": pair.rope,
        "probability_a_better": folds.a_better if folds else None,
        "probability_same": folds.same if folds else None,
        "probability_b_better": folds.b_better if folds else None,
    }
    return row | {"verdict": verdict(found, pair)}


def score_row(found: Comparison, run: RecordedRun) -> dict[str, Any]:
    """Its scores by the metric of the comparison."""
    name = found.metric.name
    columns = (name, f"{name}_ci_low", f"{name}_ci_high", f"cv_{name}", f"cv_{name}_std")
    return {"run_id": run.run_id, "name": run.name, **{column: run.metrics.get(column) for column in columns}}


def score_cells(found: Comparison, run: RecordedRun) -> dict[str, str]:
    """The same for people: name, id, held_out, folds."""
    name = found.metric.name
    folds = numbers.over_folds(run.metrics, name) if f"cv_{name}" in run.metrics else ""
    return {"name": run.name, "id": run.run_id[:8], "held_out": numbers.held_out(run.metrics, name), "folds": folds}


def _drawn(found: Comparison, differing: list[Differs]) -> list[Any]:
    parts: list[Any] = [Text(verdict(found, pair), style="bold") for pair in found.pairs]
    parts += ["", _scores(found)]
    said = about_folds(found)
    if said:
        parts += ["", _over_folds(found), said]
    parts += ["", _differences(found, differing) if differing else "Nothing that was recorded differs."]
    return parts


def _scores(found: Comparison) -> Table:
    table = plain_table()
    unit = f", {found.unit}" if found.unit else ""
    table.add_column("run", overflow="fold")
    table.add_column("id", no_wrap=True)
    table.add_column(f"{found.metric.label}{unit}:\nheld out (95 % interval)", justify="right", no_wrap=True)
    table.add_column("folds ± spread", justify="right", no_wrap=True)
    for run in found.runs:
        table.add_row(*score_cells(found, run).values())
    return table


def _over_folds(found: Comparison) -> Table:
    table = plain_table()
    for heading in ("by folds: A", "B"):
        table.add_column(heading, overflow="fold")
    for heading in ("A - B", "p", "A better", "same", "B better"):
        table.add_column(heading, justify="right", no_wrap=True)
    for pair in found.pairs:
        if pair.folds:
            row = pair_row(found, pair)
            chances = (f"{row[f'probability_{each}']:.0%}" for each in ("a_better", "same", "b_better"))
            table.add_row(*names(pair.a, pair.b), f"{row['folds_difference']:.3g}", f"{row['folds_p']:.2g}", *chances)
    rope = found.pairs[0].rope
    table.caption = f"same: they differ by less than {rope:.2g} {found.unit}".rstrip()
    table.caption_justify = "left"
    return table


def _differences(found: Comparison, differing: list[Differs]) -> Table:
    table = plain_table()
    table.add_column("differs", no_wrap=True)
    table.add_column("")
    for run in found.runs:
        table.add_column(run.run_id[:8], overflow="fold")
    for each in differing:
        table.add_row(each.kind, each.name, *(_cut(value) for value in each.values))
    return table


def _cut(value: str) -> str:
    value = printable(value)
    return value if len(value) <= LONG else f"{value[: LONG - 1]}…"
