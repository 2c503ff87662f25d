"""Families of models that one study has compared: how often each was tried, its best, and whether that is told apart.

A family's best is the best of as many points as it has had: the more, the more luck is in it. The held-out rows were
not chosen on, and the max-t test compares every point with all others, not the bests alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from rich.console import Console, RenderableType
from rich.text import Text

from boston_exp.experiment.metrics import named
from boston_exp.reporting import numbers
from boston_exp.reporting.labels import metric_label
from boston_exp.reporting.markdown import escaped
from boston_exp.reporting.tables import fits, plain_table
from boston_exp.sweep.plan import Families, Family, Report, Result

COMPARED = 20  # points of each family, the best of it: more would hardly change what is told apart


class Alike(Protocol):
    """What the leaderboard's max-t test says of points."""

    @property
    def entries(self) -> int: ...

    @property
    def run_ids(self) -> Collection[str]: ...


def of(report: Report, families: Families) -> tuple[Family, ...]:
    """Each family that was tried, the best first, those without a score last."""
    found = []
    for name in families.parameters:
        points = tuple(result for result in report.results if families.of(result.point) == name)
        if points:
            found.append(Family(name, points, report.aim.best(points)))
    scored = [family for family in found if family.best]
    scored.sort(key=lambda family: report.aim.cost(family.best) if family.best else math.inf)
    return (*scored, *(family for family in found if not family.best))


def compared(report: Report, contending: Callable[[Report], Alike]) -> tuple[Family, ...]:
    """The families of a sweep that has some, with what the leaderboard's max-t test says of their best points.

    `contending` gives, of a report, which of its points contend.
    """
    if report.families is None:
        return ()
    families = of(report, report.families)
    kept = [result for family in families for result in _best(report, family)]
    alike = contending(replace(report, results=tuple(kept)))
    if alike.entries < 2:
        return families
    return tuple(
        replace(family, contends=place == 0 or any(result.run_id in alike.run_ids for result in family.points))
        for place, family in enumerate(families)
    )


def shown(report: Report, families: Sequence[Family], console: Console) -> RenderableType:
    """For the last screen: the widest table that fits; on a very narrow terminal a line a family."""
    headings = _headings(report)
    for score in (headings[2], f"best {report.aim.metrics[0]}"):
        table = plain_table()
        for place, heading in enumerate([*headings[:2], score, *headings[3:]]):
            table.add_column(heading, justify="left" if place == 0 else "right", no_wrap=True)
        for family in families:
            table.add_row(*_cells(report, family))
        if fits(table, console):
            return table
    return Text("\n".join("  ".join(filter(None, _cells(report, family))) for family in families))


def markdown(report: Report, families: Sequence[Family]) -> list[str]:
    """Lines for the story."""
    headings = _headings(report)
    lines = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    lines += [f"| {' | '.join(map(escaped, _cells(report, family)))} |" for family in families]
    return [*lines, "", escaped(how_sure(report, families))]


def rows(report: Report, families: Sequence[Family]) -> dict[str, Any]:
    """Headings and cells, for the page."""
    return {"headings": _headings(report), "rows": [_cells(report, family) for family in families]}


def how_sure(report: Report, families: Sequence[Family]) -> str:
    """Which families are told from the best, in a sentence."""
    if not families or families[0].contends is None:
        return ""
    others = [family.name for family in families[1:] if family.contends]
    told = f"Not told from {families[0].name} (max-t test, 5 %), marked ≈: {', '.join(others)}."
    if not others:
        told = f"Every other is told from {families[0].name} (max-t test, 5 %)."
    return f"{told} A best of more trials has had more luck; the held-out rows were not chosen on."


def records(report: Report, families: Sequence[Family]) -> list[Mapping[str, Any]]:
    """One row a family, for families.csv."""
    metric, aim = named(report.aim.metrics[0]), report.aim.metrics[0]
    held = (metric.name, f"{metric.name}_ci_low", f"{metric.name}_ci_high") if metric and aim.startswith("cv_") else ()
    return [
        {
            "family": family.name,
            **{name: sum(each.status == name for each in family.points) for name in STATUSES},
            **{name: family.best.metrics.get(name) if family.best else None for name in (aim, f"{aim}_std", *held)},
            "contends": family.contends,
            "run_id": family.best.run_id if family.best else None,
        }
        for family in families
    ]


STATUSES = ("finished", "reused", "pruned", "failed")


def _headings(report: Report) -> list[str]:
    group = report.families.group if report.families else ""
    return [group, "trials", f"best {metric_label(report.aim.metrics[0], report.unit)}", "held out", ""]


def _cells(report: Report, family: Family) -> list[str]:
    cut = {name: sum(each.status == name for each in family.points) for name in ("pruned", "failed")}
    ended = ", ".join(f"{number} {name}" for name, number in cut.items() if number)
    trials = f"{len(family.points)}{f' ({ended})' if ended else ''}"
    if family.best is None:
        return [family.name, trials, "", "", ""]
    aim, metrics = report.aim.metrics[0], family.best.metrics
    spread = metrics.get(f"{aim}_std", math.nan) if aim.startswith("cv_") else math.nan
    metric = named(aim)
    held_out = ""
    if metric and metric.name in metrics and not report.aim.on_held_out_rows:
        held_out = numbers.held_out(metrics, metric.name)
    return [family.name, trials, numbers.plus_minus(metrics[aim], spread), held_out, "≈" if family.contends else ""]


def _best(report: Report, family: Family) -> Sequence[Result]:
    scored = [result for result in family.points if report.aim.best([result])]
    return sorted(scored, key=report.aim.cost)[:COMPARED]
