"""The figures of a comparison: error against error, and the difference over the target and over groups of rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from boston_exp.lifecycle.comparing.pairs import Comparison
from boston_exp.lifecycle.evidence import held_out_losses
from boston_exp.reporting.figures import BLUE, GREY, RED, tidy

TENTHS = 10


def errors(of_a: pd.DataFrame, of_b: pd.DataFrame, a: str, b: str, found: Comparison) -> Figure:
    """Absolute error of B over that of A, a point for each held-out row."""
    figure = Figure(figsize=(5.5, 5.2), layout="constrained")
    axes = figure.subplots()
    x, y = (np.abs(each["actual"] - each["predicted"]) for each in (of_a, of_b))
    largest = float(max(x.max(), y.max())) * 1.03
    axes.plot([0, largest], [0, largest], color=GREY, lw=1)
    axes.scatter(x, y, s=18, color=BLUE, alpha=0.6, lw=0)
    axes.set(xlim=(0, largest), ylim=(0, largest), aspect="equal")
    axes.set(xlabel=_with_unit(f"absolute error of {a}", found), ylabel=_with_unit(f"absolute error of {b}", found))
    tidy(axes)
    return figure


def deciles(of_a: pd.DataFrame, of_b: pd.DataFrame, a: str, b: str, found: Comparison) -> Figure:
    """Mean difference of losses, A - B, of each tenth of the rows by their target."""
    difference = held_out_losses(of_a, found.metric) - held_out_losses(of_b, found.metric)
    actual = of_a["actual"].to_numpy(float)
    tenths = [part for part in np.array_split(np.argsort(actual, kind="stable"), TENTHS) if len(part)]
    means = [difference[part].mean() for part in tenths]
    reach = [
        stats.t.ppf(0.975, len(part) - 1) * difference[part].std(ddof=1) / np.sqrt(len(part)) if len(part) > 1 else 0
        for part in tenths
    ]
    figure = Figure(figsize=(7, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.axhline(0, color=GREY, lw=1)
    axes.errorbar(range(len(tenths)), means, yerr=reach, fmt="o", color=BLUE, capsize=3)
    labels = [f"{actual[part].min():.3g}\nto {actual[part].max():.3g}" for part in tenths]
    axes.set_xticks(range(len(tenths)), labels, fontsize=8)
    axes.set(xlabel="target", ylabel=f"loss of {a}\n- loss of {b}")
    tidy(axes)
    return figure


def groups(table: pd.DataFrame, column: str, a: str, b: str, found: Comparison) -> Figure:
    """The metric of both runs for each group of a column, with how many rows it has."""
    name = found.metric.name
    figure = Figure(figsize=(7, 1.4 + 0.4 * len(table)), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(table))[::-1]
    axes.scatter(table[f"{name}_a"], places, s=40, color=BLUE, label=a)
    axes.scatter(table[f"{name}_b"], places, s=40, color=RED, marker="D", label=b)
    axes.set_yticks(places, [f"{row.group} ({row.rows_a} rows)" for row in table.itertuples()])
    axes.set(xlabel=f"{found.metric.label}{f' ({found.unit})' if found.unit else ''}", ylabel=column)
    axes.legend(frameon=False, fontsize=8)
    tidy(axes)
    return figure


def _with_unit(text: str, found: Comparison) -> str:
    unit = found.runs[0].param("data.target_unit")
    return f"{text} ({unit})" if unit else text
