"""The outcome of a comparison in plain sentences, with numbers and units."""

from __future__ import annotations

import math

from boston_exp.lifecycle.comparing.pairs import Comparison, Pair
from boston_exp.reporting import numbers
from boston_exp.tracking.recorded import RecordedRun


def verdict(found: Comparison, pair: Pair) -> str:
    """One sentence: which is better, by how much and how sure; or how large a difference could have been missed."""
    a, b = names(pair.a, pair.b)
    label, rows = found.metric.label, pair.rows
    better = pair.better
    models = "" if pair.folds else " These two fitted models were compared: other training rows are not in it."
    holm = f" (p {pair.p:.2g} after Holm's correction for {len(found.pairs)} pairs)" if len(found.pairs) > 1 else ""
    if better is not None:
        name, other = (a, b) if better is pair.a else (b, a)
        low, high = sorted((abs(rows.low), abs(rows.high)))
        return (
            f"{name} is better than {other} by {_amount(found, abs(rows.mean))} of {label}, "
            f"95 % interval {number(low)} to {number(high)}, on {rows.rows}{holm}.{models}"
        )
    if not math.isfinite(rows.error):
        return f"Nothing can be said of {a} and {b}: {rows.rows} are one, as far as chance goes.{models}"
    share = 100 * rows.missed / score_of(found, pair.a) if score_of(found, pair.a) else 0
    against = ""
    if pair.folds and rows.p < 0.05 and pair.folds.difference.mean * rows.mean <= 0:
        against = " The held-out rows and the folds contradict each other."
    return (
        f"No difference between {a} and {b} can be shown on {rows.rows}{holm}; one below "
        f"{_amount(found, rows.missed)} of {label} ({share:.0f} %) would probably be missed.{against}{models}"
    )


def about_folds(found: Comparison) -> str | None:
    """What the columns of the folds are worth; None without folds."""
    if not any(pair.folds for pair in found.pairs):
        return None
    said = "Folds are shown, and do not decide: corrected resampled t-test (Nadeau and Bengio 2003), probabilities of"
    said += " Benavoli et al. (2017)."
    if found.chosen:
        chosen = ", ".join(run.run_id[:8] for run in found.chosen)
        said += f" {chosen} came out of a sweep and may have been chosen by these folds: what they say is optimistic."
    return said


def number(value: float) -> str:
    """Two significant digits, the second one also where it is 0."""
    return numbers.rough(value)


def names(a: RecordedRun, b: RecordedRun) -> tuple[str, str]:
    """Their names, with their ids where the names are the same."""
    if a.name != b.name:
        return a.name, b.name
    return f"{a.name} [{a.run_id[:8]}]", f"{b.name} [{b.run_id[:8]}]"


def score_of(found: Comparison, run: RecordedRun) -> float:
    return abs(run.metrics.get(found.metric.name, 0.0))


def _amount(found: Comparison, value: float) -> str:
    return f"{number(value)} {found.unit}".rstrip()
