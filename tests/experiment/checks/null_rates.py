"""How often do the checks fire where nothing is wrong? Generated tables on which the null of each check holds.

python -m tests.experiment.checks.null_rates            200 draws of each kind of table (make proof), some minutes
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import make_friedman1
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from boston_exp.experiment import checks
from tests.experiment.checks.tables import context_of, linear

CODES = ("BX101", "BX102", "BX201", "BX202", "BX203", "BX204", "BX301", "BX302", "BX303")
EACH, TOGETHER = 0.05, 0.1


def one_hot(model: BaseEstimator) -> BaseEstimator:
    encoded = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_include=object)), remainder="passthrough"
    )
    return make_pipeline(encoded, model)


@dataclass(frozen=True)
class Kind:
    """A kind of table and the model on it; `not_null` are codes whose null does not hold there."""

    says: str
    table: Callable[[int], pd.DataFrame]
    model: BaseEstimator = field(default_factory=LinearRegression)
    folds: int = 0
    roles: Mapping[str, str] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    not_null: tuple[str, ...] = ()


def usual(seed: int) -> pd.DataFrame:
    return linear(500, seed)


def friedman(seed: int) -> pd.DataFrame:
    X, y = make_friedman1(500, noise=1.0, random_state=seed)
    return pd.DataFrame(X, columns=[f"x{place}" for place in range(X.shape[1])]).assign(y=y)


def heavy(seed: int) -> pd.DataFrame:
    """Noise of Student's t with five degrees of freedom, of variance 1."""
    rng = np.random.default_rng(seed)
    table = linear(500, seed, 0.0)
    return table.assign(y=table["y"] + rng.standard_t(5, len(table)) * np.sqrt(3 / 5))


def categories(seed: int) -> pd.DataFrame:
    """A category of four values with an effect, one of 25 without, gaps in a number."""
    rng = np.random.default_rng(seed)
    table = linear(500, seed)
    kind, place = rng.integers(4, size=500), rng.integers(25, size=500)
    table["x0"] = table["x0"].where(rng.uniform(size=500) > 0.1, 0.0)
    return table.assign(kind=[f"kind {k}" for k in kind], place=[f"place {p}" for p in place], y=table["y"] + kind)


def dates(seed: int) -> pd.DataFrame:
    """Days on which nothing depends."""
    rng = np.random.default_rng(seed)
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(900, size=500), unit="D")
    return linear(500, seed).assign(day=days.strftime("%Y-%m-%d"))


def groups(seed: int) -> pd.DataFrame:
    """A hundred customers of five rows each, who make no difference."""
    rng = np.random.default_rng(seed)
    return linear(500, seed).assign(customer=[f"C{number:03d}" for number in rng.permutation(np.arange(500) // 5)])


def integers(seed: int) -> pd.DataFrame:
    """Three questions of yes or no, and a mark of one to five: rows repeat by chance."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.integers(2, size=(500, 3)), columns=list("abc"))
    return X.assign(y=np.clip(np.round(1 + X.sum(axis=1) + rng.normal(size=500)), 1, 5))


KINDS = (
    Kind("linear, normal errors", usual),
    Kind("linear, normal errors, folds", usual, folds=5),
    Kind("linear, 100 rows", lambda seed: linear(100, seed), Ridge(), folds=5),
    Kind("linear, 5,000 rows", lambda seed: linear(5_000, seed)),
    Kind("linear, R² 0.2", lambda seed: linear(500, seed, noise=4.5), Ridge(), folds=5),
    Kind("errors of Student's t(5)", heavy, folds=5),
    Kind(
        "Friedman 1, forest",
        friedman,
        RandomForestRegressor(50, random_state=0),
        folds=5,
        not_null=("BX102",),  # boosting is truly better there
    ),
    Kind("linear, extra trees", usual, ExtraTreesRegressor(50, random_state=0), folds=5),
    Kind("categories", categories, one_hot(LinearRegression()), 5, {"kind": "category", "place": "category"}),
    Kind("dates without drift", dates, roles={"day": "date"}, drop=("day",), folds=5),
    Kind("groups without effect", groups, roles={"customer": "category"}, drop=("customer",), folds=5),
    Kind("few distinct integers", integers, not_null=("BX302",)),  # marks end at one, so small ones vary less
)


def fired(kind: Kind, draws: int, first: int = 0) -> tuple[Counter[str], int]:
    """How many draws each check fires in, of those whose null holds, and in how many any of them does."""
    each, together = Counter[str](), 0
    for seed in range(first, first + draws):
        table = kind.table(seed)
        found = checks.run(context_of(table, kind.model, kind.roles, kind.folds, seed, kind.drop))
        codes = {finding.code for finding in found} - set(kind.not_null)
        each.update(codes)
        together += bool(codes)
    return each, together


def row(kind: Kind, draws: int) -> str:
    each, together = fired(kind, draws)
    cells = [" " if code in kind.not_null else str(each[code]) for code in CODES]
    return f"| {kind.says} | {' | '.join(cells)} | {together} |"


def main(draws: int = 200) -> None:
    """Print docs/proofs/checks.md."""
    print("# Checks: how often do they fire where nothing is wrong?\n")
    print("`make proof` writes this file: tests/experiment/checks/null_rates.py says how.\n")
    print(
        f"Draws of {draws} in which each check of docs/checks.md fires, on generated tables of 500 rows (unless said)"
    )
    print(f"where its null holds. Wanted: at most {EACH * draws:.0f} each, {TOGETHER * draws:.0f} together.")
    print("An empty cell: there the null does not hold.\n")
    print(f"| table | {' | '.join(CODES)} | any |")
    print("| --- |" + " --- |" * (len(CODES) + 1))
    for kind in KINDS:
        print(row(kind, draws), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
