"""What may be wrong with a run, told in numbers after its scores: docs/checks.md lists the codes and their thresholds.

A check is a function of a Context that gives a Finding where it fires, else None. Each holds its own null: on tables
where nothing is wrong it fires in at most 10 of 200 draws, all of them together in at most 20 (docs/proofs/checks.md).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from boston_exp.experiment.checks.finding import Finding

if TYPE_CHECKING:  # imports pandas, which whoever takes a Finding alone does without
    from boston_exp.experiment.checks.context import Context

log = logging.getLogger(__name__)


def run(context: Context) -> list[Finding]:
    """Every check of one run, those that fire, in the order of their codes.

    A check is advice: one that cannot be made is logged, and the fit is not lost by it. Those of scores take every row
    for as much as any other, so `data.weight` leaves them out.
    """
    import numpy as np

    from boston_exp.experiment.checks import baselines, dependence, errors, leaks

    found: list[Finding] = []
    of_scores = () if context.dataset.weights is not None else (*baselines.CHECKS, *errors.CHECKS)
    for check in (*of_scores, *leaks.CHECKS, *dependence.CHECKS):
        try:
            with np.errstate(all="ignore"):
                fired = check(context)
        except Exception as error:
            log.warning("the check %s could not be made: %s", check.__name__, error)
            continue
        if fired:
            found.append(fired)
    return sorted(found, key=lambda finding: finding.code)
