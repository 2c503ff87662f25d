"""The figures of a sweep: objective by parameter, its history, the Pareto front, and which parameters mattered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, ScalarFormatter

from boston_exp.reporting.figures import BLUE, GREY, RED, axis_label, save, shortened, tidy
from boston_exp.reporting.labels import metric_label
from boston_exp.sweep import family_figures
from boston_exp.sweep.plan import Report
from boston_exp.training.naming import rounded, short

DECADES = 100  # two of them: powers of ten are enough ticks
WIDE = 50  # values that span this factor are on a logarithmic axis
MANY = 12  # panels of families
FEWEST = 3  # points of a panel
ROW = 30  # characters of tick labels that fit side by side
BETTER = {"minimize": "lower is better", "maximize": "higher is better"}


def draw(folder: Path, report: Report, table: pd.DataFrame, dpi: int) -> None:
    """Write a PNG for each of the figures into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in figures(report, table):
        save(figure, folder / f"{name}.png", dpi)


def figures(report: Report, table: pd.DataFrame) -> Iterator[tuple[str, Figure]]:
    """Each figure that this sweep has, with its name. `table` is that of results.csv."""
    if _panels(report, table[table[report.aim.metrics[0]].notna()]):
        yield "objective_by_parameter", by_parameter(report, table)
    if report.compared and report.best:
        yield "families", family_figures.families(report)
    yield "history", history(report)
    if len(report.aim.metrics) > 1:
        yield "pareto", pareto(report, table)
    if report.importances:
        yield "parameter_importance", importances(report)


@dataclass(frozen=True)
class _Panel:
    """One parameter: its label, the column of its values, the rows that have one, the best first."""

    name: str
    column: str
    rows: pd.DataFrame


def _panels(report: Report, done: pd.DataFrame) -> list[_Panel]:
    """One for each parameter. Where families have parameters of their own, MANY of those that had several values, the
    best family first."""
    families = report.families
    if families is None:
        return [_Panel(name, name, done) for name in report.swept]
    own = [
        _Panel(label, column, rows)
        for family in report.compared
        for rows in [done[done[families.group] == family.name]]
        for column, label in families.parameters[family.name].items()
        if len(rows) >= FEWEST and rows[column].nunique() > 1
    ]
    theirs = {families.group, *(name for each in families.parameters.values() for name in each)}
    return [*(_Panel(name, name, done) for name in report.swept if name not in theirs), *own][:MANY]


def by_parameter(report: Report, table: pd.DataFrame) -> Figure:
    """The objective over each parameter; bars are the spread over the folds."""
    metric = report.aim.metrics[0]
    panels = _panels(report, table[table[metric].notna()])
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(max(4.6, 3.6 * columns), 3.3 * rows), layout="constrained")
    places = figure.subplots(rows, columns, squeeze=False, sharey=True).flat
    for axes, panel in zip(places, panels, strict=False):
        name, done = panel.name, panel.rows
        spread = done.get(f"{metric}_std")
        values = _placed(axes, done[panel.column], name in report.logarithmic)
        if spread is not None and spread.notna().any():
            bars = {"fmt": "none", "color": GREY, "lw": 0.6, "alpha": 0.6, "label": "± spread over folds"}
            axes.errorbar(values, done[metric], spread, **bars)
        axes.scatter(values, done[metric], s=18, color=BLUE, alpha=0.7, lw=0, label="point", zorder=2)
        best = {"s": 70, "color": RED, "marker": "*", "lw": 0, "zorder": 3}
        axes.scatter(
            values.iloc[:1], done[metric].iloc[:1], label="best of its family" if report.families else "best", **best
        )
        axes.set_xlabel(shortened(short(name)))
        tidy(axes)
        locator = axes.xaxis.get_major_locator()
        if isinstance(locator, MaxNLocator) and pd.api.types.is_integer_dtype(values):
            locator.set_params(integer=True)
    for axes in list(figure.axes)[len(panels) :]:
        axes.remove()
    for axes in figure.axes[::columns]:
        axes.set_ylabel(axis_label(metric_label(metric, report.unit), "", 34))
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=8, loc="outside upper right", ncols=len(labels))
    return figure


def _placed(axes: Axes, column: pd.Series, is_logarithmic: bool) -> pd.Series:
    """The values as numbers, and an axis for them: logarithmic where it was searched so, or spans decades; words and
    null have one place each, numbers first."""
    values = pd.to_numeric(column, errors="coerce")
    if not values.isna().any():
        if values.min() > 0 and (is_logarithmic or values.max() / values.min() > WIDE):
            axes.set_xscale("log")
            if values.max() / values.min() > DECADES:
                axes.xaxis.set_major_locator(LogLocator(numticks=5))
            else:  # one power of ten may be in it, or none
                axes.xaxis.set_major_locator(MaxNLocator(4))
                axes.xaxis.set_major_formatter(ScalarFormatter())
                axes.xaxis.set_minor_locator(NullLocator())
        return values
    order = sorted(zip(values.fillna(np.inf), column.astype(str), strict=True))
    places = {text: place for place, text in enumerate(dict.fromkeys(text for _, text in order))}
    labels = [shortened(rounded(text), 18) for text in places]
    every = max(1, len(labels) // 12)
    axes.set_xticks(
        list(places.values())[::every],
        labels[::every],
        rotation=90 if sum(map(len, labels[::every])) + 2 * len(labels) > ROW else 0,
    )
    axes.margins(x=0.15)
    return column.astype(str).map(places)


def history(report: Report) -> Figure:
    """The objective of each point, and the best so far; points without a score are at the edge."""
    metric = report.aim.metrics[0]
    values = np.array([result.metrics.get(metric, np.nan) for result in report.results], dtype=float)
    best_of = np.fmax.accumulate if report.aim.directions[0] == "maximize" else np.fmin.accumulate
    figure = Figure(figsize=(7, 3.8), layout="constrained")
    axes = figure.subplots()
    places = np.arange(1, len(values) + 1)
    axes.scatter(places, values, s=18, color=GREY, lw=0, label="point")
    axes.step(places, best_of(values), where="post", color=BLUE, label="best so far")
    for status, marker in (("pruned", "|"), ("failed", "x")):
        which = [number for number, result in enumerate(report.results, 1) if result.status == status]
        if which:
            label = f"{status} ({len(which)})"
            edge = axes.get_xaxis_transform()
            axes.scatter(which, [0.02] * len(which), s=26, color=RED, marker=marker, lw=1, label=label, transform=edge)
    axes.set(xlabel="points, in the order in which they ended")
    axes.set_ylabel(axis_label(metric_label(metric, report.unit), "", 34))
    figure.suptitle(shortened(report.name, 70), fontsize=11)
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=4)
    tidy(axes)
    axes.set_xlim(0.5, len(values) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    return figure


def pareto(report: Report, table: pd.DataFrame) -> Figure:
    """The first objective over each of the others; the front is what nothing beats in all of them.

    With two, its line is a staircase: between two of its points nothing was found that is better than both.
    """
    aim, (first, *others) = report.aim, report.aim.metrics
    done = table[table[list(aim.metrics)].notna().all(axis=1)].drop_duplicates("key")
    front = done[done["pareto"]]
    figure = Figure(figsize=(max(5.6, 4.2 * len(others)), 4), layout="constrained")
    panels = figure.subplots(1, len(others), squeeze=False, sharey=True).flat
    spread = done.get(f"{first}_std")
    for axes, other, way in zip(panels, others, aim.directions[1:], strict=True):
        if spread is not None and spread.notna().any():
            bars = {"fmt": "none", "color": GREY, "lw": 0.6, "alpha": 0.6, "label": "± spread over folds"}
            axes.errorbar(done[other], done[first], spread, **bars)
        axes.scatter(done[other], done[first], s=18, color=GREY, lw=0, label="point", zorder=2)
        line = front.sort_values(other)
        axes.plot(
            line[other], line[first], "o-" if len(others) == 1 else "o", color=BLUE, ms=5, lw=1, zorder=3,
            drawstyle="steps-pre" if way == "maximize" else "steps-post", label=f"Pareto front ({len(front)})",
        )  # fmt: skip
        axes.set_xlabel(axis_label(f"{metric_label(other, report.unit)}, {BETTER[way]}", "", 44))
        tidy(axes)
    better = BETTER[aim.directions[0]]
    figure.axes[0].set_ylabel(axis_label(f"{metric_label(first, report.unit)}, {better}", "", 34))
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=8, loc="outside upper right", ncols=len(labels))
    return figure


def importances(report: Report) -> Figure:
    """Shares of the objective's variance over the trials."""
    names, shares = zip(*sorted(report.importances.items(), key=lambda item: item[1]), strict=True)
    figure = Figure(figsize=(7, 1.5 + 0.35 * len(names)), layout="constrained")
    axes = figure.subplots()
    axes.barh(range(len(names)), shares, color=BLUE, height=0.7)
    axes.set_yticks(range(len(names)), [shortened(short(name)) for name in names])
    metric, trials = metric_label(report.aim.metrics[0], ""), report.scored
    if report.compared:  # those of the best family
        trials = sum(report.aim.metrics[0] in point.metrics for point in report.compared[0].points)
    label = f"share of the variance of {metric} that the parameter explains (fANOVA, {trials} trials)"
    figure.supxlabel(axis_label(label, "", 76), fontsize=10)
    tidy(axes)
    return figure
