"""The one screen after a run: what was trained on what, how good it is, where it is recorded, what to type next."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from boston_exp.config import METRICS
from boston_exp.experiment.data import Dataset, Split
from boston_exp.tracking.protocol import Finished, Recording

HEADINGS = {"r2_score": "R²", "rmse": "RMSE", "mae": "MAE", "mape": "MAPE"}


def show(name: str, dataset: Dataset, rows: Split, metrics: dict[str, float], recording: Recording) -> None:
    """Print to stdout; intervals and folds only where the evaluation made them."""
    console = Console(highlight=False)
    changed = " [yellow](changed: not the file that its .dvc records)[/yellow]" if dataset.changed else ""
    console.print(
        f"[bold]{escape(name)}[/bold] on {escape(dataset.name)}{changed}: {len(rows.X_train)} rows to train on, "
        f"{len(rows.X_test)} held out, {dataset.X.shape[1]} features, fit in {metrics['fit_seconds']:.2f} s",
        soft_wrap=True,
    )
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    table.add_column("held out", justify="right")
    if "rmse_ci_low" in metrics:
        table.add_column("95 % interval", justify="right")
    if "cv_rmse" in metrics:
        table.add_column("folds: mean ± std", justify="right")
    table.add_column("training", justify="right")
    table.add_column("")
    for metric in METRICS:
        cells = [HEADINGS[metric], f"{_number(metrics[metric])}"]
        if "rmse_ci_low" in metrics:
            cells.append(f"{metrics[f'{metric}_ci_low']:.4f} to {metrics[f'{metric}_ci_high']:.4f}")
        if "cv_rmse" in metrics:
            cells.append(f"{metrics[f'cv_{metric}']:.4f} ± {metrics[f'cv_{metric}_std']:.4f}")
        cells += [
            f"{metrics[f'train_{metric}']:.4f}",
            {"r2_score": "", "mape": "%"}.get(metric, dataset.unit),
        ]
        table.add_row(*cells)
    console.print(table)
    console.print(f"recorded in {recording.where}", soft_wrap=True, markup=False)
    if recording.run_id:
        console.print(f"run id      {recording.run_id}", soft_wrap=True)
    if recording.next_command:
        console.print(f"next        {recording.next_command}", soft_wrap=True, markup=False)


def show_reused(name: str, done: Finished) -> None:
    """With skip_finished=true: this very experiment is recorded already."""
    console = Console(highlight=False)
    scores = ", ".join(f"{HEADINGS[metric]} {done.metrics[metric]:.4f}" for metric in METRICS)
    console.print(f"[bold]{escape(name)}[/bold] is recorded already, nothing was trained: {scores}", soft_wrap=True)
    console.print(f"run id      {done.run_id}", soft_wrap=True)


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 1e6 else f"{value:.4g}"
