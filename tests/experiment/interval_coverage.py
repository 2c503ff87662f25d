"""Do prediction intervals cover what they say? Real models, chosen by a sweep, on many splits of three tables.

python -m tests.experiment.interval_coverage            200 splits a table and model (make proof), an hour of CPU
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from crepes import ConformalRegressor
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import load_diabetes
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, train_test_split
from threadpoolctl import threadpool_limits

from boston_exp.experiment.conformal import by_prediction
from tests.conftest import ROOT

CONFIDENCE, FOLDS = 0.9, 5
# What a sweep would choose from, by its folds.
MODELS: dict[str, list[BaseEstimator]] = {
    "forest": [RandomForestRegressor(50, max_depth=d, min_samples_leaf=m) for d in (8, None) for m in (1, 3)],
    "ridge": [Ridge(alpha) for alpha in (0.1, 1.0, 10.0, 100.0)],
    "hist_gradient_boosting": [
        HistGradientBoostingRegressor(max_iter=n, learning_rate=r) for n in (50, 100) for r in (0.05, 0.1)
    ],
}
Table = tuple[np.ndarray, np.ndarray]


def boston() -> Table:
    frame = pd.read_csv(ROOT / "data" / "raw" / "housing.csv", sep=r"\s+", header=None)
    return frame.iloc[:, :-1].to_numpy(float), frame.iloc[:, -1].to_numpy(float)


def diabetes() -> Table:
    bunch = load_diabetes(scaled=True)
    return bunch.data, bunch.target


def heteroscedastic(seed: int = 0) -> Table:
    """500 rows whose noise grows with the target."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(size=(500, 6))
    mean = 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2 + 10 * X[:, 3]
    return X, mean + rng.normal(size=500) * (0.3 + 0.2 * mean)


TABLES: dict[str, Callable[[], Table]] = {"boston": boston, "diabetes": diabetes, "heteroscedastic": heteroscedastic}


@dataclass(frozen=True)
class Found:
    """Of one split: whether each held-out row is covered, its prediction, mean widths of ours and of a true split."""

    covered: np.ndarray
    predicted: np.ndarray
    width: float
    split_width: float


def one(table: str, model: str, seed: int) -> Found:
    """Choose by folds, fit on all training rows, predict the held-out ones with intervals; and the same with a true
    calibration part of the training rows, of a fifth."""
    with threadpool_limits(1):
        X, y = TABLES[table]()
        train, test = train_test_split(np.arange(len(y)), test_size=0.2, random_state=seed)
        best = min(
            ((*_out_of_fold(candidate, X[train], y[train], seed), candidate) for candidate in MODELS[model]),
            key=lambda found: found[0],
        )
        _, out_of_fold, chosen = best
        predicted = _fitted(chosen, X[train], y[train], seed).predict(X[test])
        ends = by_prediction(y[train] - out_of_fold, out_of_fold).interval(predicted, CONFIDENCE)
        covered = (ends[:, 0] <= y[test]) & (y[test] <= ends[:, 1])
        inside, apart = train_test_split(train, test_size=0.2, random_state=seed)
        proper = _fitted(chosen, X[inside], y[inside], seed)
        oracle = ConformalRegressor().fit(y[apart] - proper.predict(X[apart]))
        theirs = oracle.predict_int(proper.predict(X[test]), confidence=CONFIDENCE)
        return Found(covered, predicted, float(np.ptp(ends, axis=1).mean()), float(np.ptp(theirs, axis=1).mean()))


def _out_of_fold(model: BaseEstimator, X: np.ndarray, y: np.ndarray, seed: int) -> tuple[float, np.ndarray]:
    predicted = np.empty(len(y))
    scores = []
    for inside, outside in KFold(FOLDS, shuffle=True, random_state=seed).split(X):
        predicted[outside] = _fitted(model, X[inside], y[inside], seed).predict(X[outside])
        scores.append(np.sqrt(np.mean((y[outside] - predicted[outside]) ** 2)))
    return float(np.mean(scores)), predicted


def _fitted(model: BaseEstimator, X: np.ndarray, y: np.ndarray, seed: int) -> BaseEstimator:
    made = clone(model)
    if "random_state" in made.get_params():
        made.set_params(random_state=seed)
    return made.fit(X, y)


def many(table: str, model: str, splits: int, first: int = 0) -> list[Found]:
    return Parallel(n_jobs=2)(delayed(one)(table, model, seed) for seed in range(first, first + splits))


def row(table: str, model: str, found: list[Found]) -> str:
    """One line of the table: coverage, of the top third, by tenths of the prediction, widths."""
    coverage = float(np.mean([each.covered.mean() for each in found]))
    thirds, tenths = _by_rank(found, 3), _by_rank(found, 10)
    width = float(np.mean([each.width for each in found]))
    ratio = width / float(np.mean([each.split_width for each in found]))
    shown = " ".join(f"{100 * share:.0f}" for share in tenths)
    return f"| {table} | {model} | {100 * coverage:.1f} % | {100 * thirds[-1]:.1f} % | {shown} | {ratio:.2f} |"


def _by_rank(found: list[Found], parts: int) -> list[float]:
    """Mean coverage of the rows in each part, by the rank of their prediction in their split."""
    shares = []
    for part in range(parts):
        shares.append(
            float(
                np.mean(
                    [each.covered[np.array_split(np.argsort(each.predicted), parts)[part]].mean() for each in found]
                )
            )
        )
    return shares


def main(splits: int = 200) -> None:
    """Print docs/proofs/intervals.md."""
    print("# Intervals of predictions: do they cover what they say?\n")
    print("`make proof` writes this file: tests/experiment/interval_coverage.py says how.\n")
    print(
        f"{splits} splits of each table (a fifth held out), 90 % intervals by thirds of the prediction from residuals"
    )
    print(
        "over five folds, the model chosen from four by its folds. Wanted: coverage of 89.3 to 92 %, at least 88 % in"
    )
    print("the top third of predictions on boston, width at most 1.1 x that of a true calibration part (a fifth of the")
    print("training rows, crepes). Last, coverage by tenths of the prediction, the lowest first.\n")
    print("| table | model | coverage | top third | by tenths, % | width |")
    print("| --- | --- | --- | --- | --- | --- |")
    for table in TABLES:
        for model in MODELS:
            start = time.perf_counter()
            print(row(table, model, many(table, model, splits)), flush=True)
            print(f"{table} {model}: {time.perf_counter() - start:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
