"""A comparison as one self-contained HTML file."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from boston_exp.lifecycle.comparing import figures as drawing
from boston_exp.lifecycle.comparing.differences import Differs
from boston_exp.lifecycle.comparing.pairs import Comparison, Pair
from boston_exp.lifecycle.comparing.screen import pair_row, score_cells
from boston_exp.lifecycle.comparing.verdicts import about_folds, names, number, verdict
from boston_exp.reporting import html

LONGEST = 40  # characters of a name in a figure


def write(file: Path, found: Comparison, slices: Sequence[pd.DataFrame | None], differing: list[Differs]) -> None:
    """Write the report; raises InvalidConfig where the file cannot be written. It is there whole or not at all.

    `slices` has the errors by groups of rows that each run has recorded.
    """
    unit = f", {found.unit}" if found.unit else ""
    text = html.rendered(
        "boston_exp.lifecycle.comparing",
        "report.html.j2",
        title=f"{' against '.join(dict.fromkeys(run.name for run in found.runs))}: {found.metric.label}",
        verdicts=[verdict(found, pair) for pair in found.pairs],
        label=f"{found.metric.label}{unit}",
        scores=[score_cells(found, run) for run in found.runs],
        pairs=[_pair(found, pair) for pair in found.pairs],
        has_folds=any(pair.folds for pair in found.pairs),
        about_folds=about_folds(found),
        figures=[each for pair in found.pairs for each in _figures(found, pair, slices)],
        differences=differing,
    )
    html.write(file, text)


def _pair(found: Comparison, pair: Pair) -> dict[str, str]:
    row: dict[str, Any] = pair_row(found, pair)
    a, b = names(pair.a, pair.b)
    cells = {
        "a": a,
        "b": b,
        "difference": f"{number(row['difference'])} ({number(row['low'])} to {number(row['high'])})",
        "p": f"{row['p_holm']:.2g}",
    }
    if pair.folds:
        shares = (row[f"probability_{each}"] for each in ("a_better", "same", "b_better"))
        cells |= {
            "folds": number(row["folds_difference"]),
            "folds_p": f"{row['folds_p']:.2g}",
            "chances": " / ".join(f"{share:.0%}" for share in shares),
        }
    return cells


def _figures(found: Comparison, pair: Pair, slices: Sequence[pd.DataFrame | None]) -> list[html.Shown]:
    a, b = (textwrap.shorten(name, LONGEST, placeholder=" …") for name in names(pair.a, pair.b))
    tables = dict(zip((run.run_id for run in found.runs), found.held_out, strict=True))
    of_a, of_b = tables[pair.a.run_id], tables[pair.b.run_id]
    by_run = dict(zip((run.run_id for run in found.runs), slices, strict=True))
    shown = [
        html.Shown(
            "Error against error",
            f"Each held-out row once. Above the line {b} is off by more than {a}.",
            html.svg(drawing.errors(of_a, of_b, a, b, found)),
        ),
        html.Shown(
            "Difference over the target",
            f"Contribution of each tenth of the rows, by their target, to {found.metric.label}; below zero {a} is "
            "better. Bars are 95 % intervals of a mean of about ten rows each.",
            html.svg(drawing.deciles(of_a, of_b, a, b, found)),
        ),
    ]
    one, other = by_run[pair.a.run_id], by_run[pair.b.run_id]
    if one is not None and other is not None:
        both = one.merge(other, on=["column", "group"], suffixes=("_a", "_b"))
        for column, part in both.groupby("column", sort=False):
            shown.append(
                html.Shown(
                    f"Over groups of {column}",
                    f"{found.metric.label} of the held-out rows of each group; few rows make a score uncertain.",
                    html.svg(drawing.groups(part, str(column), a, b, found)),
                )
            )
    return shown
