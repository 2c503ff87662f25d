"""Whether a model may take the place of the champion: by the held-out rows, since it was chosen by the folds."""

from __future__ import annotations

from dataclasses import dataclass

from boston_exp.config.invocation import again, for_services
from boston_exp.experiment.metrics import Metric
from boston_exp.lifecycle.comparing import pairs
from boston_exp.lifecycle.comparing.pairs import ROPE, Pair
from boston_exp.lifecycle.comparing.verdicts import number
from boston_exp.reporting.numbers import with_unit
from boston_exp.tracking.recorded import History, RecordedRun

NOT_WORSE, BETTER, NONE = "not_worse", "better", "none"


@dataclass(frozen=True)
class Verdict:
    """The gate's answer as a sentence; `mend` is the next command where it is no. `first`: nobody had the alias."""

    opens: bool
    says: str
    mend: str = ""
    first: bool = False


def without_folds(run: RecordedRun) -> Verdict | None:
    """A run that has no folds was chosen by nothing that the held-out rows could confirm, and has no intervals."""
    if "cv_rmse" in run.metrics and "split.digest" in run.tags:
        return None
    lack = (
        "is a record of version 1: which rows it was scored on is not in it"
        if "split.digest" not in run.tags
        else "has no folds: nothing but the held-out rows has judged it, and it can give no intervals"
    )
    return Verdict(
        False,
        f"{run.run_id} ({run.name}) {lack}.",
        f"{for_services('run', f'base={run.run_id}', 'evaluation=cv')}   (then promote that run; or, with this lack "
        f"stated in its card: {again('gate=none')})",
    )


def compared(
    history: History, candidate: RecordedRun, champion: RecordedRun, metric: Metric, rope: float | None, kind: str
) -> Verdict:
    """The verdict on two runs with the same held-out rows. `rope` is in the metric's unit, None for 1 % of the
    champion's score."""
    width = rope if rope is not None else ROPE * abs(champion.metrics.get(metric.name, 0.0))
    found = pairs.compare(history, [candidate, champion], metric, width)
    return judged(found.pairs[0], kind, metric.label, found.unit, width)


def judged(pair: Pair, kind: str, label: str, unit: str, rope: float) -> Verdict:
    """Of a pair of candidate and champion: `rows` has the difference of losses, below zero where the candidate is
    better."""
    rows = pair.rows
    side, sign = ("better", -1) if rows.mean < 0 else ("worse", 1)
    low, high = sorted((sign * rows.low, sign * rows.high))
    seen = (
        f"{pair.a.name} against {pair.b.name}: {side} by {_amount(abs(rows.mean), unit)} of {label} on "
        f"{rows.rows}, 95 % interval {number(low)} to {number(high)}"
    )
    if rows.high < 0:
        return Verdict(True, f"Shown to be better. {seen}.")
    if kind == NOT_WORSE:
        if rows.low <= rope:
            return Verdict(True, f"Not shown to be worse. {seen}.")
        return Verdict(
            False,
            f"Shown to be worse. {seen}, all of it beyond {number(rope)} that would not matter.",
            f"{again('gate=none')}   (promotes it all the same, and its card says so)",
        )
    return Verdict(
        False,
        f"Not shown to be better. {seen}. On {rows.n} rows a true difference below {_amount(rows.missed, unit)} would "
        "probably be missed.",
        f"{again('gate=not_worse')}   (promotes it, unless it is shown to be worse)",
    )


def _amount(value: float, unit: str) -> str:
    return with_unit(number(value), unit)
