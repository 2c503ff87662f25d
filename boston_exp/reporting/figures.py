"""The two figures of a run, how good the predictions are and what they rest on, and what all figures share."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import EngFormatter, MaxNLocator, ScalarFormatter

from boston_exp.experiment.dataset import Dataset
from boston_exp.experiment.evaluation import Evaluated
from boston_exp.experiment.split import Split
from boston_exp.reporting import numbers
from boston_exp.reporting.labels import importance_label

BLUE, GREY, RED = "#2a6f97", "#9aa3aa", "#c1121f"  # told apart by colour-blind people, and on white and on black
DENSITY = LinearSegmentedColormap.from_list("density", ["#a9c7db", BLUE, "#0d2f45"])
TOP = 20  # features that are drawn
MANY = 10_000  # points, which an SVG has as one image; of more the density is drawn
LONGEST = 34  # characters of a name beside an axis
LABEL = 9  # points, of the numbers and names beside an axis
LARGE, SMALL = 1e4, 1e-3  # beyond them ticks get a prefix (200 k) or a power of ten


def draw(folder: Path, title: str, dataset: Dataset, rows: Split, evaluated: Evaluated, dpi: int) -> None:
    """Write predictions.png and feature_importance.png into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    save(predictions(title, dataset, rows, evaluated), folder / "predictions.png", dpi)
    save(importance(title, dataset, evaluated), folder / "feature_importance.png", dpi)


def save(figure: Figure, file: Path, dpi: int) -> None:
    """Write a picture; letters that matplotlib's own font has not are boxes in it, without a warning for each."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        figure.savefig(file, dpi=dpi)


def predictions(title: str, dataset: Dataset, rows: Split, evaluated: Evaluated) -> Figure:
    """Predicted over actual, on equal axes, and the residuals over what was predicted."""
    figure = Figure(figsize=(10, 5))
    left, right = figure.subplots(1, 2)
    figure.subplots_adjust(0.09, 0.14, 0.98, 0.85, wspace=0.28)  # a layout engine would cost as much as the drawing
    actual, predicted = evaluated.predictions["actual"], evaluated.predictions["predicted"]
    train = evaluated.train_predicted
    everything = np.concatenate([actual, predicted, train, rows.y_train])
    low, high = float(everything.min()), float(everything.max())
    margin = (high - low or abs(high) or 1.0) * 0.04
    ends = np.array([low - margin, high + margin])
    rmse, many = evaluated.metrics["rmse"], len(everything) > MANY
    drawn = slice(None, None, max(1, len(train) // MANY))  # of many training rows, which are the background, every n-th
    left.fill_between(ends, ends - rmse, ends + rmse, color=BLUE, alpha=0.1, lw=0, label="± 1 RMSE")
    left.plot(ends, ends, color=GREY, lw=1, ls="--", label="perfect")
    left.scatter(
        rows.y_train.to_numpy()[drawn],
        train[drawn],
        s=8,
        color=GREY,
        alpha=0.5,
        lw=0,
        rasterized=many,
        label=f"training rows ({len(train):,})",
    )
    _points(left, actual, predicted, many, f"held-out rows ({len(actual):,})")
    left.set(xlabel=axis_label("actual", dataset.label), ylabel=axis_label("predicted", dataset.label))
    left.set(xlim=ends, ylim=ends, aspect="equal")
    left.legend(frameon=False, fontsize=8, loc="upper left")
    right.axhline(0, color=GREY, lw=1, ls="--")
    _points(right, predicted, evaluated.predictions["residual"], many, "")
    unit = f"({dataset.unit})" if dataset.unit else ""
    right.set(xlabel=axis_label("predicted", dataset.label), ylabel=axis_label("residual: actual − predicted", unit))
    figure.suptitle(f"{shortened(title, 100)}\n{_scores(evaluated.metrics, dataset.unit)}", fontsize=11)
    for axes in (left, right):
        tidy(axes)
    return figure


def _points(axes: Axes, x: pd.Series, y: pd.Series, many: bool, label: str) -> None:
    """Each row as a point; of more than MANY how many lie in each cell, darker where there are more."""
    if len(x) <= MANY:
        axes.scatter(x, y, s=18, color=BLUE, alpha=0.8, lw=0, rasterized=many, label=label)
        return
    axes.hexbin(x, y, gridsize=80, bins="log", mincnt=1, cmap=DENSITY, linewidths=0, rasterized=True)
    axes.scatter([], [], s=18, marker="h", color=BLUE, lw=0, label=f"{label}, darker: more" if label else None)


def importance(title: str, dataset: Dataset, evaluated: Evaluated) -> Figure:
    """The most important features; how many are left out is said."""
    table = evaluated.importance.head(TOP).iloc[::-1]
    names = [shortened(name) for name in table["feature"]]
    more = f"top {TOP} of {len(evaluated.importance):,} features" if len(evaluated.importance) > TOP else ""
    above = "\n".join(filter(None, [shortened(title, 70), more]))
    below = axis_label(importance_label(evaluated.estimator, dataset.unit), "", 76)
    width, height = 7.0, 1.5 + 0.28 * len(table)
    figure = Figure(figsize=(width, height))
    axes = figure.subplots()
    top, bottom = (0.25 + 0.18 * (text.count("\n") + 1) for text in (above, below))
    left = max(map(_inches, names)) + 0.2
    figure.subplots_adjust(left / width, (bottom + 0.15) / height, 0.97, 1 - top / height)
    error = table["std"] if table["std"].notna().any() else None
    places = range(len(table))
    axes.barh(places, table["importance"], xerr=error, color=BLUE, height=0.7, ecolor=GREY)
    axes.set_yticks(places, names)
    figure.suptitle(above, fontsize=11)
    figure.supxlabel(below, fontsize=10)
    tidy(axes)
    return figure


def _inches(text: str) -> float:
    """How wide a label of an axis is; a layout engine would draw the whole figure to find out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        points, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=LABEL), ismath=False)
    return float(points) / 72


def _scores(metrics: Mapping[str, float], unit: str) -> str:
    text = f"held-out RMSE {numbers.with_unit(numbers.score(metrics['rmse']), shortened(unit))}"
    if numbers.has_interval(metrics):
        text += f" (95 % interval {numbers.interval(metrics['rmse_ci_low'], metrics['rmse_ci_high'])})"
    return f"{text}, R² {numbers.score(metrics['r2_score'])}"


def tidy(axes: Axes) -> None:
    """Without a frame, ticks that can be read: few, and large numbers as 200 k."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=LABEL)
    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "linear" and isinstance(axis.get_major_formatter(), ScalarFormatter):
            readable(axis)


def readable(axis: Axis) -> None:
    """Ticks of numbers: at most six, with a prefix or a power of ten where they are large or small."""
    low, high = axis.get_view_interval()
    largest = max(abs(low), abs(high))
    axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    if largest >= LARGE and (high - low) / largest > 1e-3:
        axis.set_major_formatter(EngFormatter())
    else:
        # an exponent is set as a formula, which takes longer than all else of a figure
        formatter = ScalarFormatter(useOffset=largest >= LARGE, useMathText=not 10 * SMALL <= largest < LARGE)
        formatter.set_powerlimits((-3, 5))
        axis.set_major_formatter(formatter)


def axis_label(what: str, of: str, longest: int = 44) -> str:
    """`predicted median home value (thousand USD)`, in two lines where it is long, cut where it is longer."""
    lines = textwrap.wrap(f"{what} {of}".strip(), longest, max_lines=2, placeholder=" …")
    return "\n".join(shortened(line, longest) for line in lines)


def shortened(name: object, longest: int = LONGEST) -> str:
    """A long name without its middle: names of one table often begin alike, or end alike."""
    text = " ".join(str(name).split())
    if len(text) <= longest:
        return text
    half = (longest - 1) // 2
    return f"{text[: longest - 1 - half]}…{text[-half:]}"
