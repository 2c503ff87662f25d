"""What came of a sweep: table, figures, best model and counts on its parent run, and the last screen."""

from __future__ import annotations

import shlex
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from rich.console import Console
from rich.table import Table

from boston_exp.config import METRICS

if TYPE_CHECKING:
    from boston_exp.sweep.engine import Result, Sweep

TOP = 5


def record(sweep: Sweep) -> pd.DataFrame:
    """Write it to the parent, the best point's model too unless that is switched off; gives the table of results."""
    table = results(sweep)
    best = sweep.best()
    counts = {f"n_{name}": float(sweep.count(status)) for name, status in COUNTED.items()}
    metrics = {"n_points": float(len(sweep.results)), **counts, **(best.metrics if best else {})}
    tags = {}
    if best:
        tags = {"best.run_id": best.run_id or "", "best.overrides": best.point.name, "best.command": command(best)}
    with tempfile.TemporaryDirectory(prefix="boston_exp-") as folder:
        table.to_csv(Path(folder) / "results.csv", index=False)
        if sweep.config.figures.draw and best:
            from boston_exp.sweep import figures

            figures.draw(Path(folder) / "figures", sweep, table)
        sweep.parent.log(metrics, tags, Path(folder))
    if best and sweep.config.tracking.log_model != "none" and not sweep.parent.adopt_model(best.run_id):
        _store_model(sweep, best)
    return table


COUNTED = {"done": "finished", "reused": "reused", "pruned": "pruned", "failed": "failed"}


def results(sweep: Sweep) -> pd.DataFrame:
    """One row a point, the best first: what was tried, how it ended, its run, its metrics."""
    rows = [
        {
            "status": result.status,
            **dict(result.point.swept),
            **{metric: result.metrics.get(metric) for metric in sweep.config.objective.metrics},
            **result.metrics,
            "run_id": result.run_id,
            "key": result.key,
            "message": result.message,
        }
        for result in sweep.results
    ]
    table = pd.DataFrame(rows)
    objectives, directions = sweep.config.objective.metrics, sweep.config.objective.directions
    if len(objectives) > 1:
        table.insert(1, "pareto", pareto_front(table[objectives], directions))
    ascending = directions[0] == "minimize"
    return table.sort_values(objectives[0], ascending=ascending, na_position="last", kind="stable", ignore_index=True)


def pareto_front(objectives: pd.DataFrame, directions: list[str]) -> list[bool]:
    """Whether no other row is at least as good in everything and better in something."""
    signs = [-1.0 if direction == "maximize" else 1.0 for direction in directions]
    costs = objectives.astype(float).to_numpy() * signs
    complete = objectives.notna().all(axis=1).to_numpy()
    return [
        bool(complete[row])
        and not ((costs[complete] <= costs[row]).all(axis=1) & (costs[complete] < costs[row]).any(axis=1)).any()
        for row in range(len(costs))
    ]


def command(result: Result) -> str:
    """Trains this point again, alone."""
    return shlex.join(["python", "-m", "boston_exp.run", *result.point.overrides])


def _store_model(sweep: Sweep, best: Result) -> None:
    """Fit the best point once more, which gives the same bits, and store its model on the parent.

    That costs one fit; keeping the model of every point would cost 0.15 s and a megabyte each.
    """
    from boston_exp import garbage
    from boston_exp import record as records
    from boston_exp.experiment import data, evaluation, models

    cfg, config, typed = sweep.parsed(best.point)
    dataset, estimator = data.load(config), models.build(config)
    rows = data.split(dataset, config.data.test_size, config.seed)
    config = replace(config, figures=replace(config.figures, draw=False))
    once = replace(config.evaluation, n_splits=0, n_resamples=0)
    garbage.collect()
    evaluated = evaluation.evaluate(estimator, rows, once, config.seed, dataset.unit)
    with records.outcome(cfg, typed, config, dataset, rows, evaluated, best.point.name, True) as fitted:
        sweep.parent.log_model(fitted, str(best.run_id))


def show(sweep: Sweep, table: pd.DataFrame) -> None:
    """The last screen: counts, the top points, the honest score of the best, and the command that trains it again."""
    best = sweep.best()
    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)
    counts = ", ".join(f"{sweep.count(status)} {name}" for name, status in COUNTED.items() if sweep.count(status))
    left = sweep.total - len(sweep.results)
    console.print(
        f"[bold]{sweep.kind} of {sweep.total} points[/bold]: {counts}" + (f", {left} not tried" if left else "")
    )
    objectives = sweep.config.objective.metrics
    shown = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    swept = list(sweep.space)
    for heading in [*objectives, *swept, "run id"]:
        shown.add_column(
            heading.removeprefix("model."), justify="left" if heading == "run id" else "right", no_wrap=True
        )
    top = table[table[objectives[0]].notna()]
    if len(objectives) > 1:
        top = top[top["pareto"]]
        console.print(f"Pareto front of {', '.join(objectives)}: {len(top)} points")
    for _, row in top.head(TOP).iterrows():
        shown.add_row(
            *(f"{row[name]:.4f}" for name in objectives), *(str(row[name]) for name in swept), str(row["run_id"] or "")
        )
    if len(top):
        console.print(shown)
    if best:
        held_out = ", ".join(f"{name} {best.metrics[name]:.4f}" for name in METRICS)
        console.print(f"best, on the held-out rows: {held_out}")
    console.print(f"recorded in {sweep.parent.where}", markup=False)
    if sweep.parent.run_id:
        console.print(f"run id      {sweep.parent.run_id}")
    if best:
        console.print(f"next        {command(best)}", markup=False)
