"""The two figures of a run: how good the predictions are, and what they rest on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from boston_exp.experiment.dataset import Dataset
from boston_exp.experiment.evaluation import Evaluated
from boston_exp.experiment.split import Split

BLUE, GREY, RED = "#2a6f97", "#b0b7bd", "#c1121f"


def draw(folder: Path, title: str, dataset: Dataset, rows: Split, evaluated: Evaluated, dpi: int) -> None:
    """Write predictions.png and feature_importance.png into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    _predictions(title, dataset, rows, evaluated).savefig(folder / "predictions.png", dpi=dpi)
    _importance(title, evaluated).savefig(folder / "feature_importance.png", dpi=dpi)


def _predictions(title: str, dataset: Dataset, rows: Split, evaluated: Evaluated) -> Figure:
    figure = Figure(figsize=(10, 4.8))
    left, right = figure.subplots(1, 2)
    figure.subplots_adjust(0.085, 0.12, 0.98, 0.87, wspace=0.25)  # a layout engine would cost as much as the drawing
    actual, predicted = evaluated.predictions["actual"], evaluated.predictions["predicted"]
    train = evaluated.train_predicted
    ends = np.array([min(actual.min(), predicted.min(), train.min()), max(actual.max(), predicted.max(), train.max())])
    rmse = evaluated.metrics["rmse"]
    left.fill_between(ends, ends - rmse, ends + rmse, color=BLUE, alpha=0.1, lw=0, label="± 1 RMSE")
    left.plot(ends, ends, color=GREY, lw=1, ls="--", label="perfect")
    left.scatter(rows.y_train, train, s=8, color=GREY, alpha=0.5, lw=0, label=f"training rows ({len(train)})")
    left.scatter(actual, predicted, s=18, color=BLUE, alpha=0.8, lw=0, label=f"held-out rows ({len(actual)})")
    left.set(xlabel=f"actual {dataset.label}", ylabel=f"predicted {dataset.label}")
    left.legend(frameon=False, fontsize=8, loc="upper left")
    right.axhline(0, color=GREY, lw=1, ls="--")
    right.scatter(predicted, evaluated.predictions["residual"], s=18, color=BLUE, alpha=0.8, lw=0)
    unit = f" ({dataset.unit})" if dataset.unit else ""
    right.set(xlabel=f"predicted {dataset.label}", ylabel=f"residual, actual − predicted{unit}")
    figure.suptitle(f"{title}\n{_scores(evaluated.metrics, dataset.unit)}", fontsize=11)
    for axes in (left, right):
        tidy(axes)
    return figure


def _importance(title: str, evaluated: Evaluated) -> Figure:
    table = evaluated.importance.head(20).iloc[::-1]
    figure = Figure(figsize=(7, 1.4 + 0.28 * len(table)), layout="constrained")
    axes = figure.subplots()
    error = table["std"] if table["std"].notna().any() else None
    axes.barh(table["feature"], table["importance"], xerr=error, color=BLUE, height=0.7, ecolor=GREY)
    axes.set(xlabel=evaluated.importance_method, title=title)
    axes.title.set_fontsize(11)
    tidy(axes)
    return figure


def _scores(metrics: dict[str, float], unit: str) -> str:
    text = f"held-out RMSE {metrics['rmse']:#.3g} {unit}".rstrip()
    if "rmse_ci_low" in metrics:
        text += f" (95 % interval {metrics['rmse_ci_low']:#.3g} to {metrics['rmse_ci_high']:#.3g})"
    return f"{text}, R² {metrics['r2_score']:.3f}"


def tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
