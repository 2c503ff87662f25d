"""What a sweep tells people, besides its table: a story in Markdown and, where asked for, a page in HTML."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pandas as pd

from boston_exp.config.invocation import again, for_services
from boston_exp.errors import ExpectedFailure
from boston_exp.experiment.metrics import named
from boston_exp.lifecycle.ranking import standings
from boston_exp.reporting import numbers
from boston_exp.reporting.labels import metric_label
from boston_exp.reporting.markdown import escaped
from boston_exp.sweep import families
from boston_exp.sweep.plan import Report, Result
from boston_exp.tracking.recorded import History
from boston_exp.training.naming import assigned, short
from boston_exp.training.telling import origin_of

TOP = 10  # points in the story
SHOWN = 20  # in the page, before the table of all
Link = Callable[[str], str]
Row = Mapping[Hashable, Any]
COUNTED = {"done": "finished", "reused": "reused", "pruned": "pruned", "failed": "failed"}


def story(report: Report, table: pd.DataFrame, run_id: str | None, link: Link) -> str:
    """`table` is that of results.csv; `link` gives the page of a run."""
    lines = [f"**{escaped(report.name)}**: {counted(report)}; {escaped(report.about)}.", ""]
    best = report.best
    if best and best.metrics:
        lines += [f"{escaped(headline(report, best))}.", "", *_points(report, table, link), ""]
    if report.compared:
        lines += ["By family:", "", *families.markdown(report, report.compared), ""]
    if run_id and not report.aim.on_held_out_rows:
        leaderboard = for_services("leaderboard", *report.place, f"sweep={run_id}")
        lines += [f"Which cannot be told from the best: `{leaderboard}`", ""]
    if best:
        lines.append(f"Next, the best point alone: `{best.point.command}`")
    return "\n".join(lines)


def _points(report: Report, table: pd.DataFrame, link: Link) -> list[str]:
    ranked = scored(report, table)
    several = len(report.aim.metrics) > 1
    headings = [*(metric_label(name, report.unit) for name in report.aim.metrics), "held out", "point", "run"]
    lines = ["The Pareto front, which nothing beats in all objectives:", ""] if several else []
    lines += [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    for row in ranked.head(TOP).to_dict("records"):
        run = f"[{id_of(row)}]({link(str(row['run_id']))})" if row["run_id"] else ""
        scores = [selected_by(report, row, number) for number in range(len(report.aim.metrics))]
        lines.append(f"| {' | '.join([*scores, confirmed(report, row), escaped(name_of(report, row)), run])} |")
    return lines + ([f"\nand {len(ranked) - TOP} more: results.csv"] if len(ranked) > TOP else [])


def counted(report: Report) -> str:
    """`grid of 36 points: 35 done, 1 failed`."""
    ended = len(report.results)
    total = ended if report.total is None else report.total
    counts = [f"{report.count(status)} {name}" for name, status in COUNTED.items() if report.count(status)]
    counts += [f"{total - ended} not tried"] if ended < total else []
    more = f" ({ended - total} more than asked for)" if ended > total else ""
    return f"{report.kind} of {total} point{'s' * (total != 1)}: {', '.join(counts)}{more}"


def headline(report: Report, best: Result) -> str:
    """`Best: max_depth=15: cv_rmse 3.721 ± 0.54, held out 3.001 (2.171 to 3.921) thousand USD`."""
    return f"Best{f' {by}' if (by := alone(report)) else ': '}{best.point.name}: {best_score(report, best)}"


def alone(report: Report) -> str:
    """`by cv_rmse alone: `, where there are other objectives; a Pareto front has no best point."""
    return f"by {report.aim.metrics[0]} alone: " if len(report.aim.metrics) > 1 else ""


def best_score(report: Report, best: Result) -> str:
    """By the objective, then by the held-out rows, which confirm; a score that was selected on is called optimistic."""
    first, metrics = report.aim.metrics[0], best.metrics
    metric, said, optimistic = named(first), report.aim.score_of(best), ""
    if report.aim.on_held_out_rows:
        chosen_by = report.aim.on_held_out_rows[0]
        instead = f"objective.metric=cv_{chosen_by}" if f"cv_{chosen_by}" in metrics else "evaluation=cv"
        if chosen_by == first:
            return f"{said} ({instead} selects by folds)"
        optimistic = f", which it was selected on by {chosen_by} (optimistic; {instead} selects by folds)"
    if metric and metric.name in metrics and first.startswith("cv_"):
        score = numbers.with_unit(numbers.held_out(metrics, metric.name), metric.unit_of(report.unit))
        return f"{said}, held out {score}{optimistic}"
    return said + optimistic


def scored(report: Report, table: pd.DataFrame) -> pd.DataFrame:
    """Rows that have the objective, each point once, the best first; of several objectives the front."""
    ranked = table[table[report.aim.metrics[0]].notna()].drop_duplicates("key")
    return ranked[ranked["pareto"]] if len(report.aim.metrics) > 1 else ranked


def selected_by(report: Report, row: Row, objective: int = 0) -> str:
    """`3.721 ± 0.54`: one objective of a row of the table."""
    name = report.aim.metrics[objective]
    spread = float(row.get(f"{name}_std", math.nan)) if name.startswith("cv_") else math.nan
    return numbers.plus_minus(row[name], spread)


def all_of(report: Report, row: Row) -> str:
    """`cv_rmse 3.721 ± 0.54, fit_seconds 0.1307: max_depth=15`: a row of the table as a sentence."""
    scores = (f"{name} {selected_by(report, row, number)}" for number, name in enumerate(report.aim.metrics))
    return f"{', '.join(scores)}: {name_of(report, row)}"


def id_of(row: Row) -> str:
    """The beginning of its run's id, empty where it has none."""
    return str(row["run_id"] or "")[:8]


def confirmed(report: Report, row: Row) -> str:
    """The score of the held-out rows, where it was not selected on."""
    metric = named(report.aim.metrics[0])
    if report.aim.on_held_out_rows or metric is None or not math.isfinite(row.get(metric.name, math.nan)):
        return ""
    return numbers.held_out({str(key): value for key, value in row.items() if value == value}, metric.name)


def name_of(report: Report, row: Row) -> str:
    """`max_depth=15 n_estimators=200`."""
    return assigned([(name, str(row[name])) for name in report.swept if row[name] == row[name]])  # others have a gap


def page(report: Report, table: pd.DataFrame, run_id: str | None, ranges: Mapping[str, str], history: History) -> str:
    """`ranges` says what was tried, by setting; `history` has the points' runs."""
    from boston_exp.reporting import html  # matplotlib and jinja2 take 0.5 s to import
    from boston_exp.sweep import figures

    best = report.best
    rows: Sequence[Row] = scored(report, table).to_dict("records")
    alike = contenders(report, lambda: history)
    recorded = f"Recorded as run {run_id}." if run_id else ""
    origin = origin_of(again(without=["report", "quiet"]), recorded, "each point", ranges)
    drawn = figures.figures(report, table) if best and best.metrics else ()
    return html.rendered(
        "boston_exp.sweep",
        "sweep.html.j2",
        title=report.name,
        about=f"{counted(report)}; {report.about}.",
        best=headline(report, best) if best and best.metrics else "No point has a score.",
        best_command=best.point.command if best else "",
        sure=_how_sure(report, len(rows), alike),
        several=len(report.aim.metrics) > 1,
        ranges={short(name): text for name, text in report.ranges.items()},
        families=families.rows(report, report.compared) if report.compared else None,
        families_sure=families.how_sure(report, report.compared),
        headings=[metric_label(name, report.unit) for name in report.aim.metrics],
        rows=[
            {
                "scores": [selected_by(report, row, number) for number in range(len(report.aim.metrics))],
                "held_out": confirmed(report, row),
                "point": name_of(report, row),
                "id": id_of(row),
                "alike": row["run_id"] in alike.run_ids,
            }
            for row in rows
        ],
        top=SHOWN,
        figures=[html.Shown(TITLES[name], SAYS[name], html.svg(figure)) for name, figure in drawn],
        failed=[result for result in report.results if result.status == "failed"],
        origin=origin,
    )


TITLES = {
    "objective_by_parameter": "The objective over each parameter",
    "history": "How the search went",
    "pareto": "What nothing beats in all objectives",
    "parameter_importance": "Which parameters mattered",
    "families": "The families of models",
}
SAYS = {
    "objective_by_parameter": "Each point once in every panel; the others of its parameters differ as well.",
    "history": "A line that has been flat for long says that more points will hardly help.",
    "pareto": "A choice between the points of the front is yours.",
    "parameter_importance": "In the ranges that were searched; a parameter that hardly varied cannot matter much.",
    "families": "≈: not told from the best family. A best of more trials has had more luck; held-out rows were not "
    "chosen on.",
}


@dataclass(frozen=True)
class Alike:
    """What the leaderboard's max-t test says of a sweep: how many entries it compared, how many contend, their runs."""

    entries: int = 0
    contend: int = 0
    run_ids: frozenset[str] = frozenset()


def contenders(report: Report, history: Callable[[], History]) -> Alike:
    """Which points cannot be told from the best one, seeds of one point taken together."""
    metric = named(report.aim.metrics[0])
    ids = [result.run_id for result in report.results if result.run_id and result.metrics]
    if metric is None or not report.aim.metrics[0].startswith("cv_") or len(ids) < 2:
        return Alike()
    where = f"attributes.run_id IN ({', '.join(map(repr, ids))})"
    boards: tuple[standings.Board, ...] = ()
    with suppress(ExpectedFailure):  # a tracker that cannot be read back
        boards = standings.boards(history(), metric, len(ids), where).boards
    found = boards[0].standings if len(boards) == 1 else ()  # data that is swept is not comparable
    contend = [standing for standing in found if standing.contends]
    run_ids = frozenset(run.run_id for standing in contend for run in standing.entry.runs)
    return Alike(len(found), len(contend), run_ids if len(contend) > 1 else frozenset())


def _how_sure(report: Report, points: int, alike: Alike) -> str:
    if report.aim.on_held_out_rows:
        return (
            f"Not sure: {points} points were scored on the held-out rows and the best of them was taken, so its "
            "score is optimistic, the more so the more points there are. evaluation=cv selects by folds."
        )
    if not report.best or not report.aim.metrics[0].startswith("cv_"):
        return ""
    if alike.entries > 1:
        others = alike.contend - 1
        return (
            f"{others or 'None'} of the {alike.entries - 1} others cannot be told from the best by a max-t test of "
            "out-of-fold errors at 5 %, corrected for their number"
            + (", and are marked ≈." if others else ".")
            + " Points that differ in their seed alone are one. Another seed may rank them otherwise."
        )
    return "Points were chosen by folds of the training rows; the held-out rows confirm, and were not chosen on."
