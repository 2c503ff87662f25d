"""Tables for the proof of search=automl: eight that others have measured, eight that are generated."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import sklearn.datasets
import statsmodels.datasets

from tests.conftest import ROOT

ROWS = 240  # at most, drawn at random: a fit is cheap, and choosing a model is not easy
Rng = np.random.Generator


def boston() -> pd.DataFrame:
    """Median value of homes by the other thirteen columns."""
    table = pd.read_csv(ROOT / "data" / "raw" / "housing.csv", sep=r"\s+", header=None)
    return table.rename(columns=lambda place: f"x{place}").rename(columns={"x13": "y"})


def diabetes() -> pd.DataFrame:
    return sklearn.datasets.load_diabetes(as_frame=True).frame.rename(columns={"target": "y"})


def wine() -> pd.DataFrame:
    """Alcohol by the other twelve measurements."""
    table = sklearn.datasets.load_wine(as_frame=True).frame
    return table.drop(columns="target").rename(columns={"alcohol": "y"})


def breast_cancer() -> pd.DataFrame:
    """Mean fractal dimension of a tumour's outline by the means of the other measurements."""
    table = sklearn.datasets.load_breast_cancer(as_frame=True).frame
    return table[[name for name in table if name.startswith("mean ")]].rename(columns={"mean fractal dimension": "y"})


def schools() -> pd.DataFrame:
    """Share of the pupils of a Californian district above the median in mathematics."""
    table = statsmodels.datasets.star98.load_pandas().data
    y = table["NABOVE"] / (table["NABOVE"] + table["NBELOW"])
    return table.drop(columns=["NABOVE", "NBELOW"]).assign(y=y)


def investment() -> pd.DataFrame:
    """Investment of eleven firms, by name and year (Grunfeld)."""
    return statsmodels.datasets.grunfeld.load_pandas().data.rename(columns={"invest": "y"})


def voters() -> pd.DataFrame:
    """Income class of voters by what they think and where they live (ANES 1996)."""
    return statsmodels.datasets.anes96.load_pandas().data.rename(columns={"income": "y"})


def trips() -> pd.DataFrame:
    """Terminal waiting time by mode of travel, price and household (Greene and Hensher)."""
    table = statsmodels.datasets.modechoice.load_pandas().data.drop(columns="individual")
    names = {1: "air", 2: "train", 3: "bus", 4: "car"}
    return table.assign(mode=table["mode"].map(names)).rename(columns={"ttme": "y"})


def friedman1(rng: Rng) -> pd.DataFrame:
    return _framed(*sklearn.datasets.make_friedman1(ROWS, noise=1.0, random_state=int(rng.integers(2**31))))


def friedman2(rng: Rng) -> pd.DataFrame:
    return _framed(*sklearn.datasets.make_friedman2(ROWS, noise=120.0, random_state=int(rng.integers(2**31))))


def friedman3(rng: Rng) -> pd.DataFrame:
    return _framed(*sklearn.datasets.make_friedman3(ROWS, noise=0.1, random_state=int(rng.integers(2**31))))


def sparse(rng: Rng) -> pd.DataFrame:
    made = sklearn.datasets.make_regression(ROWS, 40, n_informative=5, noise=40, random_state=int(rng.integers(2**31)))
    return _framed(*made)


def uncorrelated(rng: Rng) -> pd.DataFrame:
    return _framed(*sklearn.datasets.make_sparse_uncorrelated(ROWS, 12, random_state=int(rng.integers(2**31))))


def uneven(rng: Rng) -> pd.DataFrame:
    """Smooth, with noise that grows with the target, and a few gaps."""
    X = rng.normal(size=(ROWS, 6))
    y = np.exp(0.5 * X[:, 0] + 0.3 * np.sin(2 * X[:, 1]) + 0.2 * X[:, 2] * X[:, 3])
    return _framed(np.where(rng.random(X.shape) < 0.03, np.nan, X), y * np.exp(0.2 * rng.normal(size=ROWS)))


def categorical(rng: Rng) -> pd.DataFrame:
    """Two texts of 4 and 8 values, whose effects depend on a number, beside three that do not matter."""
    kind, place, X = rng.integers(0, 4, ROWS), rng.integers(0, 8, ROWS), rng.uniform(-1, 1, (ROWS, 4))
    slopes, levels = rng.normal(0, 2, 4), rng.normal(0, 1, 8)
    y = slopes[kind] * X[:, 0] + levels[place] + 0.5 * rng.normal(size=ROWS)
    return _framed(X, y).assign(kind=[f"kind {one}" for one in kind], place=[f"place {one}" for one in place])


def steps(rng: Rng) -> pd.DataFrame:
    """What a tree finds and a line does not: thresholds on three of ten columns."""
    X = rng.uniform(size=(ROWS, 10))
    y = 3.0 * (X[:, 0] > 0.5) + 2.0 * (X[:, 1] > 0.3) * (X[:, 2] > 0.6) + 0.7 * rng.normal(size=ROWS)
    return _framed(X, y)


REAL: tuple[Callable[[], pd.DataFrame], ...] = (
    boston, diabetes, wine, breast_cancer, schools, investment, voters, trips,
)  # fmt: skip
GENERATED: tuple[Callable[[Rng], pd.DataFrame], ...] = (
    friedman1, friedman2, friedman3, sparse, uncorrelated, uneven, categorical, steps,
)  # fmt: skip
NAMES = tuple(each.__name__ for each in (*REAL, *GENERATED))


def table(name: str) -> pd.DataFrame:
    """At most ROWS rows, the target last and called y."""
    rng = np.random.default_rng(NAMES.index(name))
    found = next((each() for each in REAL if each.__name__ == name), None)
    if found is None:
        found = next(each(rng) for each in GENERATED if each.__name__ == name)
    found = found.sample(min(ROWS, len(found)), random_state=NAMES.index(name), ignore_index=True)
    return found[[*(column for column in found if column != "y"), "y"]]


def _framed(X: np.ndarray, y: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(X, columns=[f"x{place}" for place in range(X.shape[1])]).assign(y=y)
