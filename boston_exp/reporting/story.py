"""A run as a short story in Markdown, which MLflow shows as its description: what was trained on what, how good it is,
what stands out, what to type next."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import numpy as np
import pandas as pd

from boston_exp.experiment.dataset import Dataset
from boston_exp.experiment.evaluation import Evaluated
from boston_exp.experiment.metrics import METRICS
from boston_exp.experiment.models import final_step
from boston_exp.experiment.split import Split
from boston_exp.reporting import numbers
from boston_exp.reporting.labels import importance_label
from boston_exp.reporting.markdown import escaped

WORST = 3  # rows that are named
FEW_ROWS = 10  # a group with fewer held-out rows is not called the worst
OVERFITTED = 1.5  # times the training RMSE
LONGEST = 40  # characters of a name


def run_story(
    title: str, dataset: Dataset, rows: Split, evaluated: Evaluated, groups: pd.DataFrame | None, next_command: str
) -> str:
    """`groups` are the errors by groups of rows, as slices.csv has them."""
    said = [f"- {escaped(sentence)}" for sentence in stands_out(dataset, rows, evaluated, groups)]
    return "\n".join(
        [
            f"**{escaped(title)}**: {escaped(about(dataset, rows, evaluated))}",
            "",
            *_scores(dataset, evaluated),
            "",
            "What stands out:",
            "",
            *said,
            "",
            f"Next: `{next_command}`",
        ]
    )


def about(dataset: Dataset, rows: Split, evaluated: Evaluated) -> str:
    """What was trained on what, in one sentence."""
    changed = ", changed since its .dvc was written" if dataset.changed else ""
    return (
        f"{type(final_step(evaluated.estimator)).__name__} on {dataset.name} ({dataset.X.shape[1]} features{changed}), "
        f"{len(rows.X_train):,} rows to train on, {len(rows.X_test):,} held out."
    )


def _scores(dataset: Dataset, evaluated: Evaluated) -> Iterator[str]:
    has_folds = evaluated.folds is not None
    headings = [" ", "held out (95 % interval)", *(["folds ± spread"] if has_folds else []), "training"]
    yield f"| {' | '.join(headings)} |"
    yield "|---" * len(headings) + "|"
    for row in score_rows(dataset, evaluated):
        cells = [escaped(row["label"]), row["held_out"], *([row["folds"]] if has_folds else []), row["training"]]
        yield f"| {' | '.join(cells)} |"


def score_rows(dataset: Dataset, evaluated: Evaluated) -> list[dict[str, str]]:
    """For each metric its label with its unit, held_out, folds (empty where there are none), training."""
    metrics = evaluated.metrics
    return [
        {
            "label": ", ".join(filter(None, [metric.label, metric.unit_of(dataset.unit)])),
            "held_out": numbers.held_out(metrics, metric.name),
            "folds": numbers.over_folds(metrics, metric.name) if evaluated.folds else "",
            "training": numbers.score(metrics[f"train_{metric.name}"]),
        }
        for metric in METRICS
    ]


def stands_out(dataset: Dataset, rows: Split, evaluated: Evaluated, groups: pd.DataFrame | None) -> Iterator[str]:
    """Sentences: the rows that are furthest off, the fit of the training rows, the worst group, what it rests on."""
    metrics = evaluated.metrics
    worst = evaluated.predictions.reindex(evaluated.predictions["residual"].abs().sort_values(ascending=False).index)
    squares = worst["residual"].to_numpy() ** 2
    if squares.sum() > 0 and len(worst) > WORST:
        cells = worst[["row", "actual", "predicted"]].head(WORST).to_numpy()
        named = ", ".join(
            f"row {row:.0f} (actual {numbers.score(actual)}, predicted {numbers.score(predicted)})"
            for row, actual, predicted in cells
        )
        share = squares[:WORST].sum() / squares.sum()
        yield f"The {WORST} rows that are furthest off make {100 * share:.0f} % of the squared error: {named}."
    if metrics["train_rmse"] > 0 and metrics["rmse"] > OVERFITTED * metrics["train_rmse"]:
        times = metrics["rmse"] / metrics["train_rmse"]
        yield f"It fits its training rows {times:.1f} times as well as the held-out ones (by RMSE)."
    large = groups[groups["rows"] >= FEW_ROWS] if groups is not None else pd.DataFrame()
    if len(large) and large["rmse"].max() > metrics["rmse"]:
        group = large.sort_values("rmse").iloc[-1]
        yield (
            f"Its RMSE is worst where {_short(group['column'])} is {_short(group['group'])}: "
            f"{numbers.score(group['rmse'])} over {group['rows']} rows, {numbers.score(metrics['rmse'])} over all."
        )
    table = evaluated.importance[evaluated.importance["importance"] > 0].head(WORST)
    label = importance_label(evaluated.estimator, dataset.unit)
    if len(table) and np.isfinite(table["importance"]).all():
        pairs = zip(table["feature"], table["importance"].to_numpy(float), strict=True)
        named = ", ".join(f"{_short(feature)} {numbers.score(value)}" for feature, value in pairs)
        yield f"It rests most on {named} ({label})."


def _short(name: object) -> str:
    return textwrap.shorten(str(name), LONGEST, placeholder=" …") or str(name)[:LONGEST]
