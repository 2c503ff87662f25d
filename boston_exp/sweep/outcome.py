"""What came of a sweep: table, figures, counts and the best model on its parent run, and the last screen."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from boston_exp.config.schema import Figures
from boston_exp.experiment.metrics import METRICS
from boston_exp.process import temporary_folder
from boston_exp.redaction import redact
from boston_exp.reporting.tables import plain_table
from boston_exp.sweep.plan import Report
from boston_exp.tracking.protocol import SweepRecording

TOP = 5  # points on the last screen
COUNTED = {"done": "finished", "reused": "reused", "pruned": "pruned", "failed": "failed"}


def record(report: Report, parent: SweepRecording, drawing: Figures) -> None:
    """Write the report to the parent run: results.csv, figures, counts, metrics and tags of the best point."""
    best = report.best
    counts = {f"n_{name}": float(report.count(status)) for name, status in COUNTED.items()}
    metrics = {"n_points": float(len(report.results)), **counts, **(best.metrics if best else {})}
    tags = {}
    if best:
        tags = {
            "best.run_id": best.run_id or "",
            "best.overrides": best.point.name,
            "best.command": best.point.command,
        }
    with temporary_folder() as folder:
        results(report).to_csv(Path(folder) / "results.csv", index=False)
        if drawing.draw and best:
            from boston_exp.sweep import figures  # matplotlib costs 0.45 s to import

            figures.draw(Path(folder) / "figures", report, results(report), drawing.dpi)
        parent.log(metrics, tags, Path(folder))


def results(report: Report) -> pd.DataFrame:
    """One row a point, the best first: status, parameters, metrics, run_id, key, message."""
    aim = report.aim
    rows = [
        {
            "status": result.status,
            **dict(result.point.swept),
            **{metric: result.metrics.get(metric) for metric in aim.metrics},
            **result.metrics,
            "run_id": result.run_id,
            "key": result.key,
            "message": redact(result.message),
        }
        for result in report.results
    ]
    table = pd.DataFrame(rows)
    if len(aim.metrics) > 1:
        table.insert(1, "pareto", pareto_front(table[list(aim.metrics)], aim.directions))
    ascending = aim.directions[0] == "minimize"
    return table.sort_values(aim.metrics[0], ascending=ascending, na_position="last", kind="stable", ignore_index=True)


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


def show(report: Report, parent: SweepRecording) -> None:
    """The last screen: counts, the top points, the best one's held-out score, the command that trains it again."""
    best, aim = report.best, report.aim
    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)
    counts = ", ".join(f"{report.count(status)} {name}" for name, status in COUNTED.items() if report.count(status))
    left = report.total - len(report.results)
    untried = f", {left} not tried" if left else ""
    console.print(f"[bold]{report.kind} of {report.total} points[/bold]: {counts}{untried}")
    if report.results:
        _show_top(report, console)
    if best:
        known = [metric.name for metric in METRICS if metric.name in best.metrics]
        scores = ", ".join(f"{name} {best.metrics[name]:.4f}" for name in known)
        heading = "best, on the held-out rows"
        if aim.on_held_out_rows:
            metric = aim.on_held_out_rows[0]
            instead = f"objective.metric=cv_{metric}" if f"cv_{metric}" in best.metrics else "evaluation=cv"
            heading += f", which it was selected on by {metric} (optimistic; {instead} selects by folds)"
        if scores:  # a study may know of a point that this store does not
            console.print(f"{heading}: {scores}")
    console.print(f"recorded in {parent.where}", markup=False)
    if parent.run_id:
        console.print(f"run id      {parent.run_id}")
    if best:
        console.print(f"next        {best.point.command}", markup=False)


def _show_top(report: Report, console: Console) -> None:
    table, metrics = results(report), report.aim.metrics
    shown = plain_table()
    for heading in [*metrics, *report.swept, "run id"]:
        shown.add_column(
            heading.removeprefix("model."), justify="left" if heading == "run id" else "right", no_wrap=True
        )
    top = table[table[metrics[0]].notna()]
    if len(metrics) > 1:
        top = top[top["pareto"]]
        console.print(f"Pareto front of {', '.join(metrics)}: {len(top)} points")
    for _, row in top.head(TOP).iterrows():
        values = (str(row[name]) for name in report.swept)
        shown.add_row(*(f"{row[name]:.4f}" for name in metrics), *values, str(row["run_id"] or ""))
    if len(top):
        console.print(shown)
