"""The figures of a sweep: objective by parameter, its history, and which parameters mattered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from boston_exp.reporting.figures import BLUE, GREY, RED, tidy
from boston_exp.sweep.plan import Report


def draw(folder: Path, report: Report, table: pd.DataFrame, dpi: int) -> None:
    """Write objective_by_parameter.png, history.png and, where Optuna searched, parameter_importance.png."""
    folder.mkdir(parents=True, exist_ok=True)
    if report.swept:
        _by_parameter(report, table).savefig(folder / "objective_by_parameter.png", dpi=dpi)
    _history(report).savefig(folder / "history.png", dpi=dpi)
    if report.importances:
        _importances(report).savefig(folder / "parameter_importance.png", dpi=dpi)


def _by_parameter(report: Report, table: pd.DataFrame) -> Figure:
    metric, names = report.aim.metrics[0], list(report.swept)
    done = table[table[metric].notna()]
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(3.6 * columns, 3.0 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).flat
    for axes, name in zip(panels, names, strict=False):
        values = pd.to_numeric(done[name], errors="coerce")
        if values.isna().any():  # words, null: one place each, in the order in which they were given
            places = {value: place for place, value in enumerate(dict.fromkeys(done[name]))}
            values = done[name].map(places)
            axes.set_xticks(list(places.values()), [str(value) for value in places])
        elif values.min() > 0 and values.max() / values.min() > 50:
            axes.set_xscale("log")
        axes.scatter(values, done[metric], s=18, color=BLUE, alpha=0.7, lw=0)
        axes.scatter(values.iloc[:1], done[metric].iloc[:1], s=60, color=RED, marker="*", lw=0, label="best")
        axes.set(xlabel=name)
        tidy(axes)
    for axes in list(figure.axes)[len(names) :]:
        axes.remove()
    for axes in figure.axes[::columns]:
        axes.set_ylabel(metric)
    figure.axes[0].legend(frameon=False, fontsize=8)
    return figure


def _history(report: Report) -> Figure:
    metric = report.aim.metrics[0]
    values = np.array([result.metrics.get(metric, np.nan) for result in report.results])
    best_of = np.fmax.accumulate if report.aim.directions[0] == "maximize" else np.fmin.accumulate
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    numbers = np.arange(1, len(values) + 1)
    axes.scatter(numbers, values, s=18, color=GREY, lw=0, label="point")
    axes.step(numbers, best_of(values), where="post", color=BLUE, label="best so far")
    axes.set(xlabel="points, in the order in which they ended", ylabel=metric)
    axes.legend(frameon=False, fontsize=8)
    tidy(axes)
    return figure


def _importances(report: Report) -> Figure:
    names, shares = zip(*sorted(report.importances.items(), key=lambda item: item[1]), strict=True)
    figure = Figure(figsize=(7, 1.2 + 0.35 * len(names)), layout="constrained")
    axes = figure.subplots()
    axes.barh(names, shares, color=BLUE, height=0.7)
    axes.set(xlabel=f"share of the variance of {report.aim.metrics[0]} that the parameter explains (fANOVA)")
    tidy(axes)
    return figure
