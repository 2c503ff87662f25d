"""The one screen after a run: what was trained on what, how good it is, where it is recorded, what to type next."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.markup import escape

from boston_exp.experiment.dataset import Dataset
from boston_exp.experiment.metrics import METRICS
from boston_exp.experiment.split import Split
from boston_exp.reporting.tables import plain_table


def show_run(name: str, dataset: Dataset, rows: Split, metrics: dict[str, float]) -> None:
    """Print what was trained and its scores; intervals and folds only where the evaluation made them."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    changed = " [yellow](changed: not the file that its .dvc records)[/yellow]" if dataset.changed else ""
    console.print(
        f"[bold]{escape(name)}[/bold] on {escape(dataset.name)}{changed}: {len(rows.X_train)} rows to train on, "
        f"{len(rows.X_test)} held out, {dataset.X.shape[1]} features, fit in {metrics['fit_seconds']:.2f} s",
        soft_wrap=True,
    )
    has_intervals, has_folds = "rmse_ci_low" in metrics, "cv_rmse" in metrics
    table = plain_table()
    table.add_column("")
    table.add_column("held out", justify="right")
    if has_intervals:
        table.add_column("95 % interval", justify="right")
    if has_folds:
        table.add_column("folds: mean ± spread", justify="right")
    table.add_column("training", justify="right")
    table.add_column("")
    for metric in METRICS:
        cells = [metric.label, _number(metrics[metric.name])]
        if has_intervals:
            cells.append(f"{metrics[f'{metric.name}_ci_low']:.4f} to {metrics[f'{metric.name}_ci_high']:.4f}")
        if has_folds:
            cells.append(f"{metrics[f'cv_{metric.name}']:.4f} ± {metrics[f'cv_{metric.name}_std']:.4f}")
        table.add_row(*cells, f"{metrics[f'train_{metric.name}']:.4f}", metric.unit_of(dataset.unit))
    console.print(table)


def show_reused(name: str, metrics: dict[str, float]) -> None:
    """With skip_finished=true: this very experiment is recorded already."""
    scores = ", ".join(f"{metric.label} {metrics[metric.name]:.4f}" for metric in METRICS)
    text = f"[bold]{escape(name)}[/bold] is recorded already, nothing was trained: {scores}"
    Console(highlight=False).print(text, soft_wrap=True)


def show_record(where: str, run_id: str | None, next_command: str | None) -> None:
    """Print where the record is, its id and the command that shows it, each where there is one."""
    console = Console(highlight=False)
    for heading, value in (("recorded in ", where), ("run id      ", run_id), ("next        ", next_command)):
        if value:
            console.print(f"{heading}{value}", soft_wrap=True, markup=False)


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 1e6 else f"{value:.4g}"
