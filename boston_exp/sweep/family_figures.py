"""The figure of a sweep over several families of models: every point of each, its best, that one's held-out score."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure

from boston_exp.experiment.metrics import named
from boston_exp.reporting.figures import BLUE, GREY, RED, axis_label, shortened, tidy
from boston_exp.reporting.labels import metric_label
from boston_exp.sweep.plan import Report

ROOM = 0.15  # of what the bests span, on the side of the worse points


def families(report: Report) -> Figure:
    """One line a family, the best at the top; points far worse than every best are left of or right of the axis."""
    metric, drawn = report.aim.metrics[0], [family for family in report.compared if family.best]
    figure = Figure(figsize=(7.4, 1.7 + 0.42 * len(drawn)), layout="constrained")
    axes = figure.subplots()
    ends: list[float] = []
    everything = [
        (place, each.metrics[metric])
        for place, family in enumerate(drawn)
        for each in family.points
        if metric in each.metrics and each.status != "pruned"
    ]
    places, scores = np.array(everything, dtype=float).T
    axes.scatter(scores, places, s=16, color=GREY, lw=0, label="trial", zorder=1)
    confirmed = named(metric)
    for place, family in enumerate(drawn):
        assert family.best is not None
        value, spread = family.best.metrics[metric], family.best.metrics.get(f"{metric}_std", math.nan)
        first = "_" if place else ""
        if math.isfinite(spread):
            axes.errorbar(value, place, xerr=spread, fmt="none", color=BLUE, lw=1, label=f"{first}± spread over folds")
            ends += [value - spread, value + spread]
        axes.scatter(value, place, s=42, color=BLUE, lw=0, zorder=3, label=f"{first}best by folds")
        held_out = family.best.metrics.get(confirmed.name, math.nan) if confirmed else math.nan
        if math.isfinite(held_out) and not report.aim.on_held_out_rows:
            axes.scatter(
                held_out, place, s=42, marker="D", fc="none", ec=RED, zorder=4, label=f"{first}its held-out score"
            )
            ends.append(held_out)
        ends.append(value)
    low, high = min(ends), max(ends)
    room = ROOM * (high - low) or 1.0
    axes.set_xlim(low - room, high + room)
    beyond = int(((scores < low - room) | (scores > high + room)).sum())
    if beyond:
        axes.plot([], [], " ", label=f"{beyond} worse than shown")
    labels = [f"{shortened(each.name)} ({len(each.points)}) {'≈' if each.contends else '  '}" for each in drawn]
    axes.set_yticks(range(len(drawn)), labels)
    axes.set_ylim(len(drawn) - 0.5, -0.5)
    axes.set_xlabel(axis_label(metric_label(metric, report.unit), "", 60))
    figure.suptitle(
        shortened(f"{report.families.group if report.families else ''} (trials); ≈ not told from the best", 70),
        fontsize=10,
    )
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=5)
    tidy(axes)
    return figure
