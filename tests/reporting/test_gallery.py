"""Every figure on six kinds of table: nothing is cut, nothing lies on something else, by matplotlib's own extents.

`PICTURES=folder pytest tests/reporting/test_gallery.py` writes the pictures, to be looked at.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from sklearn.base import BaseEstimator
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge

from boston_exp.experiment.dataset import Dataset
from boston_exp.experiment.evaluation import Evaluated, evaluate
from boston_exp.experiment.split import Split
from boston_exp.reporting import figures
from boston_exp.reporting.labels import importance_label
from boston_exp.sweep import figures as sweep_figures
from boston_exp.sweep.outcome import results
from boston_exp.sweep.plan import Aim, Point, Report, Result
from tests.reporting.extents import troubles


@dataclass(frozen=True)
class Kind:
    """A kind of table: its columns, what its target is, and how large that is."""

    columns: int
    label: str = "price"
    unit: str = "USD"
    scale: float = 1.0
    names: str = "x{}"
    rows: int = 120


LONG = "a column whose name says everything that anybody has ever wanted to know of it, number {}"
KINDS = {
    "plain": Kind(13, "median home value", "thousand USD", 20.0, "COLUMN{}"),
    "long_names": Kind(30, "the value of all that was sold in the first quarter of the year, before tax" * 2, "x" * 40,
                       1.0, LONG),
    "huge": Kind(8, "turnover", "EUR", 3e9, "of_{}"),
    "tiny": Kind(8, "dose", "g", 2e-7, "dose_{}"),
    "one_column": Kind(1, "y", "", 100.0),
    "wide": Kind(2000, "y", "mm", 0.5, "gene_{}", 60),
}  # fmt: skip
NAMES = {"plain": "random_forest max_depth=15", "long_names": "max_depth=15 n_estimators=200 " * 4}


def made(kind: Kind, model: BaseEstimator) -> tuple[Dataset, Split, Evaluated]:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        rng.normal(size=(kind.rows, kind.columns)), columns=[kind.names.format(each) for each in range(kind.columns)]
    )
    y = pd.Series(kind.scale * (3 + X.iloc[:, 0] + 0.3 * rng.normal(size=kind.rows)), name="y")
    table = X.assign(y=y)
    label = f"{kind.label} ({kind.unit})" if kind.unit else kind.label
    dataset = Dataset("table", table, X, y, "md5", "source", False, label, kind.unit)
    cut = kind.rows * 4 // 5
    rows = Split(X.iloc[:cut], X.iloc[cut:], y.iloc[:cut], y.iloc[cut:])
    return dataset, rows, evaluate(model, rows, seed=0, n_resamples=100)


def report(metrics: tuple[str, ...] = ("cv_rmse",), scale: float = 1.0, points: int = 40) -> Report:
    rng = np.random.default_rng(1)
    swept = ("model.n_estimators", "model.alpha", "model.max_depth", "model.a_parameter_whose_name_is_long.of_a_step")
    found = []
    for number in range(points):
        values = (str(rng.integers(10, 200)), f"{10 ** rng.uniform(-4, 2)}", str(rng.choice(["5", "10", "null"])),
                  str(rng.choice(["a long word of a choice", "another_long_word", "[1,2]"])))  # fmt: skip
        scores = {metric: scale * (3 + rng.random()) for metric in metrics} | {"cv_rmse_std": scale * 0.3}
        status = "pruned" if number % 7 == 3 else "failed" if number % 19 == 5 else "finished"
        point = Point((), tuple(zip(swept, values, strict=True)))
        found.append(Result(point, str(number), status, f"{number:032x}", scores if status == "finished" else {}))
    shares = {name: 0.1 * number for number, name in enumerate(swept, 1)}
    aim = Aim(metrics, tuple("minimize" for _ in metrics))
    name = "random_forest: optuna over n_estimators, alpha, max_depth, a_parameter_whose_name_is_long.of_a_step"
    several = len(metrics) > 1
    return Report("optuna", points, swept, aim, tuple(found), {} if several else shares, name, "EUR", ("model.alpha",))


def of_runs() -> Iterator[tuple[str, Figure]]:
    for name, kind in KINDS.items():
        for model in (RandomForestRegressor(5, random_state=0), Ridge()):
            if name == "wide" and isinstance(model, Ridge):
                continue
            dataset, rows, evaluated = made(kind, model)
            title = NAMES.get(name, "ridge")
            both = f"{name}_{type(model).__name__}"
            yield f"{both}_predictions", figures.predictions(title, dataset, rows, evaluated)
            yield f"{both}_importance", figures.importance(title, dataset, evaluated)


def of_sweeps() -> Iterator[tuple[str, Figure]]:
    for number, (metrics, scale, points) in enumerate(
        [(("cv_rmse",), 1.0, 40), (("cv_rmse",), 3e8, 300), (("cv_rmse", "fit_seconds"), 2e-6, 30),
         (("cv_rmse", "cv_mae", "fit_seconds"), 100.0, 30), (("rmse",), 1.0, 1)]
    ):  # fmt: skip
        of = report(metrics, scale, points)
        for name, figure in sweep_figures.figures(of, results(of)):
            yield f"sweep{number}_{name}", figure


def test_nothing_is_cut_and_nothing_lies_on_something_else() -> None:
    folder = os.environ.get("PICTURES")
    found = {}
    for name, figure in (*of_runs(), *of_sweeps()):
        found |= {name: wrong} if (wrong := troubles(figure)) else {}
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            figure.savefig(Path(folder) / f"{name}.png", dpi=80)
    assert found == {}


def test_the_check_sees_what_is_cut_and_what_lies_on_something_else() -> None:
    figure = Figure(figsize=(3, 2))
    axes = figure.subplots()
    axes.set_title("a title that is far too long for a figure of three inches, so that both of its ends are cut")
    axes.set_xticks([0.1, 0.15, 0.2], ["a long label", "another label", "a third label"])
    wrong = " ".join(troubles(figure))
    assert "cut: 'a title" in wrong
    assert "'a long label' lies on 'another label'" in wrong


def test_predicted_and_actual_are_on_equal_axes_and_the_diagonal_is_over_all_of_them() -> None:
    dataset, rows, evaluated = made(KINDS["huge"], Ridge())
    figure = figures.predictions("ridge", dataset, rows, evaluated)
    left = figure.axes[0]
    assert left.get_xlim() == left.get_ylim()
    assert left.get_aspect() == 1
    diagonal = next(line for line in left.lines if line.get_label() == "perfect")
    assert tuple(diagonal.get_xdata()) == left.get_xlim() == tuple(diagonal.get_ydata())
    assert left.get_xlim()[0] < min(rows.y_train.min(), rows.y_test.min())


def test_how_many_columns_are_left_out_is_said() -> None:
    dataset, _, evaluated = made(KINDS["wide"], RandomForestRegressor(5, random_state=0))
    assert "top 20 of 2,000 features" in figures.importance("forest", dataset, evaluated).get_suptitle()


@pytest.mark.parametrize(
    ("model", "label"),
    [
        (RandomForestRegressor(), "share of the variance reduced by splits on the feature"),
        (RandomForestRegressor(criterion="absolute_error"), "share of the absolute error reduced by"),
        (GradientBoostingRegressor(), "share of the variance reduced by"),
        (Ridge(), "increase of the held-out RMSE (EUR) when the feature is shuffled"),
    ],
)
def test_an_importance_says_what_its_numbers_are(model: BaseEstimator, label: str) -> None:
    X = np.arange(20.0).reshape(10, 2)
    assert importance_label(model.fit(X, X[:, 0]), "EUR").startswith(label)


def test_an_importance_of_lightgbm_says_splits_or_gain() -> None:
    lightgbm = pytest.importorskip("lightgbm")
    X = np.random.default_rng(0).normal(size=(60, 2))
    for kind, label in (("split", "number of splits on the feature"), ("gain", "total gain of the splits")):
        model = lightgbm.LGBMRegressor(n_estimators=3, importance_type=kind, verbose=-1).fit(X, X[:, 0])
        assert importance_label(model, "").startswith(label)


def test_what_was_searched_in_log_is_drawn_in_log_and_a_sweep_tells_pruned_points() -> None:
    of = report()
    drawn = dict(sweep_figures.figures(of, results(of)))
    scales = {axes.get_xlabel(): axes.get_xscale() for axes in drawn["objective_by_parameter"].axes}
    assert scales["alpha"] == "log"
    assert scales["n_estimators"] == "linear"
    texts = [text.get_text() for legend in drawn["history"].legends for text in legend.get_texts()]
    assert "pruned (6)" in texts
    assert drawn["history"].axes[0].get_ylabel() == "RMSE over folds (EUR)"
    assert "(fANOVA, 33 trials)" in drawn["parameter_importance"].get_supxlabel().replace("\n", " ")
