"""What came of a sweep: table, figures, counts and the best model on its parent run, and the last screen."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from boston_exp.config.invocation import for_services
from boston_exp.config.schema import Config
from boston_exp.experiment.checks import finding
from boston_exp.process import temporary_folder
from boston_exp.redaction import redact
from boston_exp.reporting import terminal
from boston_exp.reporting.labels import metric_label
from boston_exp.reporting.tables import fits, narrow_console, plain_table
from boston_exp.sweep import families, telling
from boston_exp.sweep.plan import Aim, Report, Result
from boston_exp.tracking.protocol import SweepRecording
from boston_exp.tracking.recorded import History
from boston_exp.training.naming import rounded, short

TOP = 5  # points on the last screen
AT_ONCE = 250  # rows of results.csv that are text at once, a megabyte of them
SHORTEST = 16  # characters of the column of points


def record(
    report: Report,
    table: pd.DataFrame,
    parent: SweepRecording,
    config: Config,
    ranges: Mapping[str, str],
    history: Callable[[], History],
) -> str | None:
    """Write the report to the parent run: results.csv, story, page, figures, counts, the best point. Returns the page,
    where one was asked for.

    `table` is that of `results`; `ranges` says what was tried, by setting; `history` opens that of the points.
    """
    best = report.best
    page = telling.page(report, table, parent.run_id, ranges, history()) if config.report else None
    counts = {f"n_{name}": float(report.count(status)) for name, status in telling.COUNTED.items()}
    metrics = {"n_points": float(len(report.results)), **counts, **(best.metrics if best else {})}
    tags = {
        "mlflow.note.content": telling.story(report, table, parent.run_id, parent.link),
        **finding.tags(report.found),
        "sweep.ended_by": report.ended_by or "its last point",
    }
    if best:
        tags |= {
            "best.run_id": best.run_id or "",
            "best.overrides": " ".join(f"{name}={value}" for name, value in best.point.swept),
            "best.command": best.point.command,
        }
    with temporary_folder() as folder:
        table.to_csv(Path(folder) / "results.csv", index=False, chunksize=AT_ONCE)
        if report.compared:
            pd.DataFrame(families.records(report, report.compared)).to_csv(Path(folder) / "families.csv", index=False)
        if page is not None:
            (Path(folder) / "report.html").write_text(page, encoding="utf-8")
        if config.figures.draw and best:
            from boston_exp.sweep import figures  # matplotlib costs 0.45 s to import

            figures.draw(Path(folder) / "figures", report, table, config.figures.dpi)
        parent.log(metrics, tags, Path(folder))
    return page


def results(report: Report) -> pd.DataFrame:
    """One row a point, the best first: objectives, parameters, status, all metrics, run_id, key, message.

    `trial` is its number in Optuna's study, `ended` its place in the order in which results came back, `known` how many
    had come back when it was asked for: what a search with several workers knew when it proposed the point.
    """
    aim = report.aim
    found = sorted(enumerate(report.results, 1), key=lambda each: _rank(aim, each[1]))
    swept = [dict(result.point.swept) for _, result in found]
    scores = dict.fromkeys(name for result in report.results for name in result.metrics)
    columns: dict[str, Any] = {
        **{metric: _numbers(found, metric) for metric in aim.metrics},
        **{
            name: [values.get(name, math.nan) for values in swept]  # a gap where it is another family's
            for name in dict.fromkeys([*report.swept, *chain.from_iterable(swept)])
        },
        "status": [result.status for _, result in found],
        **{metric: _numbers(found, metric) for metric in scores},
        "run_id": [result.run_id for _, result in found],
        "key": [result.key for _, result in found],
        "trial": [result.point.trial for _, result in found],
        "ended": [place for place, _ in found],
        "known": [result.known for _, result in found],
        "message": [redact(result.message) for _, result in found],
    }
    table = pd.DataFrame(columns, copy=False)
    if len(aim.metrics) > 1:
        table.insert(len(aim.metrics), "pareto", pareto_front(table[list(aim.metrics)], aim.directions))
    return table


def _rank(aim: Aim, result: Result) -> float:
    """By the first objective, less is better; those without one come last."""
    return aim.cost(result) if aim.metrics[0] in result.metrics else math.inf


def _numbers(found: Sequence[tuple[int, Result]], metric: str) -> np.ndarray:
    """Of all points, (n,): nan where one has none. Forty columns as lists would take a kilobyte a point."""
    return np.array([result.metrics.get(metric, math.nan) for _, result in found], dtype=np.float64)


def pareto_front(objectives: pd.DataFrame, directions: Sequence[str]) -> list[bool]:
    """Whether no other row is at least as good in everything and better in something."""
    signs = [-1.0 if direction == "maximize" else 1.0 for direction in directions]
    costs = objectives.astype(float).to_numpy() * signs
    complete = objectives.notna().all(axis=1).to_numpy()
    return [
        bool(complete[row])
        and not ((costs[complete] <= costs[row]).all(axis=1) & (costs[complete] < costs[row]).any(axis=1)).any()
        for row in range(len(costs))
    ]


def show(report: Report, table: pd.DataFrame, parent: SweepRecording, quiet: bool) -> None:
    """The last screen: counts, the top points, the best one's score, the command that trains it again. With `quiet` the
    id of the sweep's run alone."""
    if quiet:
        terminal.show_id(parent.run_id)
        return
    best, console = report.best, narrow_console()
    console.print(Text.assemble((telling.counted(report), "bold"), f"; {report.about}"), soft_wrap=True)
    if report.ended_by:
        console.print(f"ended early: {report.ended_by}", soft_wrap=True, highlight=False)
    if report.results:
        _show_top(report, table, parent.run_id, console)
    if report.compared:
        sure = families.how_sure(report, report.compared)
        console.print(families.shown(report, report.compared, console), *([sure] if sure else []), sep="\n")
    if best and best.metrics:
        said = f"{telling.alone(report)}{best.point.name}: {telling.best_score(report, best)}"
        console.print(f"best        {said}", soft_wrap=True)
    elif report.results:
        console.print(f"best        none: no point has a score of {report.aim.metrics[0]}", soft_wrap=True)
    terminal.show_findings(report.found)
    steps = [*([best.point.command] if best else []), *(parent.next_command or "").splitlines()]
    terminal.show_record(parent.where, parent.run_id, "\n".join(steps))


def _show_top(report: Report, table: pd.DataFrame, run_id: str | None, console: Console) -> None:
    ranked = telling.scored(report, table)
    if len(report.aim.metrics) > 1:
        front = f"Pareto front of {', '.join(report.aim.metrics)}: {len(ranked)} point{'s' * (len(ranked) != 1)}"
        console.print(front)
    if not len(ranked):
        return
    top = ranked.head(TOP).to_dict("records")
    console.print(_fitting(report, top, console))
    more = len(ranked) - len(top)
    if more:
        listed = f": {for_services('leaderboard', *report.place, f'sweep={run_id[:8]}')}" if run_id else ""
        console.print(f"and {more} more{listed}", soft_wrap=True)


def _fitting(report: Report, top: Sequence[telling.Row], console: Console) -> RenderableType:
    """The widest table that fits; on a very narrow terminal a few lines a point."""
    labels = [metric_label(name, report.unit) for name in report.aim.metrics]
    names = list(report.aim.metrics)
    wide = _top_table(report, top, labels, list(report.swept))
    if fits(wide, console):
        return wide
    for headings in (labels, names):
        folded = _top_table(report, top, headings, [])
        if fits(folded, console, folded.columns[len(headings)], SHORTEST):
            return folded
    return Text("\n".join(f"{telling.all_of(report, row)}  {telling.id_of(row)}" for row in top))


def _top_table(report: Report, top: Sequence[telling.Row], headings: Sequence[str], swept: Sequence[str]) -> Table:
    """A column for each objective and each parameter; without the latter one for the point as a whole, which wraps."""
    shown = plain_table()
    for heading in headings:
        shown.add_column(heading, justify="right", no_wrap=True)
    for name in swept:
        shown.add_column(short(name), justify="right", no_wrap=True)
    if not swept:
        shown.add_column("point", min_width=SHORTEST)
    shown.add_column("id", no_wrap=True, min_width=8)
    for row in top:
        scores = [telling.selected_by(report, row, number) for number in range(len(report.aim.metrics))]
        values = [rounded(str(row[name])) if row[name] == row[name] else "" for name in swept] or [
            telling.name_of(report, row)
        ]
        shown.add_row(*scores, *values, telling.id_of(row))
    return shown
