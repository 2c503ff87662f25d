"""Are intervals of scores as wide as they should be? Against many resamples, and by how often they cover the truth.

python -m tests.experiment.interval_width            every table (make proof), half an hour of one core
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import numpy as np

from boston_exp.experiment.intervals import intervals
from boston_exp.experiment.metrics import METRICS

RESAMPLES, SEEDS, LEVELS = 10_000, 20, (0.025, 0.975)
Errors = Callable[[np.random.Generator, int], np.ndarray]
# How far a width may be off, in percent: in the mean over seeds, and each.
ERRORS: dict[str, tuple[Errors, float]] = {
    "normal": (lambda rng, n: rng.normal(size=n), 4),
    "t5": (lambda rng, n: rng.standard_t(5, n), 4),
    "lognormal": (lambda rng, n: np.exp(rng.normal(size=n)) - np.exp(0.5), 6),
    "t3": (lambda rng, n: rng.standard_t(3, n), 12),
}
MEAN = 1.0


def table(errors: str, rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """y and predictions, whose errors are of this kind."""
    predicted = rng.normal(50, 10, rows)
    return predicted + ERRORS[errors][0](rng, rows), predicted


def resampled(y: np.ndarray, predicted: np.ndarray, resamples: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Percentile ends of every metric over plain resamples, from sums: an independent way to the same numbers."""
    error, around = y - predicted, y - y.mean()
    parts = np.column_stack([error**2, np.abs(error), 100 * np.abs(error / y), around, around**2])
    means = np.empty((resamples, parts.shape[1]))
    for number in range(resamples):
        drawn = rng.integers(0, len(y), len(y), dtype=np.uint32)
        means[number] = np.bincount(drawn, minlength=len(y)) @ parts / len(y)
    squares, absolute, share, mean, spread = means.T
    scores = {"r2_score": 1 - squares / (spread - mean**2), "rmse": np.sqrt(squares), "mae": absolute, "mape": share}
    return {name: np.quantile(each, LEVELS) for name, each in scores.items()}


def differences(errors: str, rows: int, seeds: int, resamples: int = RESAMPLES) -> dict[str, np.ndarray]:
    """Of each metric (seeds, 3): how far width, low and high end are off, in percent of the resampled width."""
    found: dict[str, list[tuple[float, float, float]]] = {}
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        y, predicted = table(errors, rows, rng)
        ours = intervals(y, predicted, 1000, seed)
        for name, (low, high) in resampled(y, predicted, resamples, rng).items():
            of_low, of_high = ours[f"{name}_ci_low"] - low, ours[f"{name}_ci_high"] - high
            off = (of_high - of_low, of_low, of_high)
            found.setdefault(name, []).append(tuple(100 * each / (high - low) for each in off))
    return {name: np.array(each) for name, each in found.items()}


def clustered(groups: int, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Labels of clusters of unequal size, the largest some four times as large as the smallest."""
    return rng.choice(groups, rows, p=(chances := np.linspace(1, 4, groups)) / chances.sum())


def coverage(kind: str, units: int, trials: int, resamples: int = 1000, rows: int = 400) -> tuple[float, float]:
    """How often intervals of RMSE cover the truth where rows depend on each other: those that know it, and plain ones.

    `kind` is `clusters` (of errors 80 % of the variance is between clusters; `units` of them) or `time` (AR(1) with
    `units` percent from one row to the next).
    """
    covered = np.zeros(2)
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        predicted, noise = rng.normal(50, 10, rows), rng.normal(size=rows)
        if kind == "clusters":
            labels = clustered(units, rows, rng)
            errors = np.sqrt(0.8) * rng.normal(size=units)[labels] + np.sqrt(0.2) * noise
            known: dict[str, np.ndarray] = {"clusters": labels.astype(str)}
        else:
            errors, share = noise.copy(), units / 100
            for row in range(1, rows):
                errors[row] = share * errors[row - 1] + np.sqrt(1 - share**2) * noise[row]
            known = {"order": np.arange(rows)}
        for place, told in enumerate((known, {})):
            ends = intervals(predicted + errors, predicted, resamples, seed, **told)
            covered[place] += ends["rmse_ci_low"] <= 1 <= ends["rmse_ci_high"]
    of_known, plain = covered / trials
    return float(of_known), float(plain)


def rows_of_widths() -> Iterator[str]:
    for rows in (20_000, 200_000):
        for errors, (_, most) in ERRORS.items():
            found = differences(errors, rows, SEEDS)
            for metric in METRICS:
                width, low, high = found[metric.name].T
                cells = [f"{width.mean():+.2f}", f"{np.abs(width).max():.1f}", f"{most:g}"]
                cells += [f"{each.mean():+.2f} ({np.abs(each).max():.1f})" for each in (low, high)]
                yield f"| {rows:,} | {errors} | {metric.label} | {' | '.join(cells)} |"


def main() -> None:
    """Print docs/proofs/interval_width.md."""
    print("# Intervals of scores: are they as wide as they should be?\n")
    print("`make proof` writes this file: tests/experiment/interval_width.py says how.\n")
    print("## Large held-out sets: no resamples, against 10,000 of them\n")
    print(
        f"{SEEDS} tables each. How far width and ends are off, in percent of the resampled width, which itself scatters"
    )
    print(f"by about 1 % (one standard deviation). Wanted: mean of the width at most {MEAN:g} %, each as said.\n")
    print("| rows | errors | metric | width, mean | worst | wanted | low end (worst) | high end (worst) |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in rows_of_widths():
        print(row, flush=True)
    print("\n## Rows that depend on each other: how often a 95 % interval of RMSE covers the truth\n")
    print("400 held-out rows, 1,000 tables each. In clusters 80 % of the variance of errors is between them; in time")
    print(
        "errors are autoregressive. Few clusters, or errors that hardly forget, are more than 400 rows can make up for."
    )
    print("\n| rows | interval that knows it | plain interval |\n| --- | --- | --- |")
    for kind, sizes in (("clusters", (5, 10, 20, 40, 100)), ("time", (0, 30, 50, 70, 90))):
        for size in sizes:
            known, plain = coverage(kind, size, 1000)
            name = f"{size} clusters" if kind == "clusters" else f"time, autocorrelation {size / 100:g}"
            print(f"| {name} | {known:.1%} | {plain:.1%} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
