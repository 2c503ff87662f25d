"""A run as one HTML page: what was tried, how good it is and how sure that is, its settings, how to train it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from boston_exp.experiment.dataset import Dataset
from boston_exp.experiment.evaluation import Evaluated
from boston_exp.experiment.split import Split
from boston_exp.reporting import figures, html, numbers
from boston_exp.reporting.story import about, score_rows, stands_out


@dataclass(frozen=True)
class Origin:
    """Where a result comes from: what is needed to get it again."""

    command: str
    commit: str | None
    said: str  # of the run that is recorded, and of changes that the commit does not have
    params: Mapping[str, str]
    machine: Mapping[str, str]  # Python, libraries, operating system


def run_page(
    title: str, origin: Origin, dataset: Dataset, rows: Split, evaluated: Evaluated, groups: pd.DataFrame | None
) -> str:
    """`groups` are the errors by groups of rows, as slices.csv has them."""
    shown = [
        html.Shown(
            "Predictions",
            "Left, predicted over actual: a perfect model is on the line. Right, what is left over: it should have no "
            "pattern.",
            html.svg(figures.predictions("", dataset, rows, evaluated)),
        ),
        html.Shown(
            "What it rests on",
            "Of features that say the same, one may take the importance of both.",
            html.svg(figures.importance("", dataset, evaluated)),
        ),
    ]
    return html.rendered(
        "boston_exp.reporting",
        "run.html.j2",
        title=title,
        about=about(dataset, rows, evaluated),
        scores=score_rows(dataset, evaluated),
        has_folds=evaluated.folds is not None,
        has_intervals=numbers.has_interval(evaluated.metrics),
        n_splits=rows.n_splits,
        said=list(stands_out(dataset, rows, evaluated, groups)),
        groups=_groups(groups, dataset.unit),
        figures=shown,
        origin=origin,
    )


def _groups(groups: pd.DataFrame | None, unit: str) -> list[dict[str, str]]:
    if groups is None:
        return []
    return [
        {
            "column": str(row["column"]),
            "group": str(row["group"]),
            "rows": f"{row['rows']:,}",
            "rmse": numbers.with_unit(numbers.score(row["rmse"]), unit),
        }
        for _, row in groups.iterrows()
    ]
