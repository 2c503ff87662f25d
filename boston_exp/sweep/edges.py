"""Whether the ranges of a sweep were too narrow, by the losses that its points have recorded."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import numpy as np

from boston_exp.errors import ExpectedFailure
from boston_exp.experiment.checks.edges import at_the_edge
from boston_exp.experiment.checks.finding import Finding
from boston_exp.experiment.metrics import named
from boston_exp.lifecycle import evidence
from boston_exp.lifecycle.ranking.contention import overlap_factor
from boston_exp.sweep.plan import SUCCEEDED, Report
from boston_exp.tracking.recorded import History


def found(report: Report, n_splits: int, history: Callable[[], History]) -> list[Finding]:
    """Of a sweep with one aim; `history` is opened where a best value is at the edge of its range."""
    first = report.aim.metrics[0]
    metric, by_folds = named(first), first.startswith("cv_")
    done = [result for result in report.results if result.status in SUCCEEDED and first in result.metrics]
    best = report.best
    if best is None or metric is None or len(report.aim.metrics) > 1:
        return []

    def losses(place: int) -> np.ndarray | None:
        name, by_row = (
            (evidence.OUT_OF_FOLD, evidence.out_of_fold_losses)
            if by_folds
            else (evidence.HELD_OUT, evidence.held_out_losses)
        )
        run_id = done[place].run_id
        with suppress(ExpectedFailure):  # a tracker that cannot be read back, a point in the store of another machine
            table = evidence.tables(history(), [run_id], name)[run_id] if run_id else None
            independent = table is not None and table["row"].is_unique and not evidence.design(table)
            if table is not None and independent:
                return by_row(table, metric)
        return None

    points = [dict(result.point.swept) for result in done]
    factor = overlap_factor(n_splits) if by_folds else 1.0
    return at_the_edge(points, done.index(best), losses, factor, report.logarithmic)
