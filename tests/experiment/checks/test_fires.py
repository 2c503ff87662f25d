"""Each check is shown by a table made for it: what it says has the number in it, what it advises is a next command."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.tree import DecisionTreeRegressor

from boston_exp.config import invocation
from boston_exp.config.invocation import Invocation
from boston_exp.experiment import checks
from boston_exp.experiment.checks.context import Context
from boston_exp.experiment.checks.finding import Finding, tags
from boston_exp.experiment.split import Split
from tests.experiment.checks.null_rates import friedman, integers, one_hot
from tests.experiment.checks.tables import context_of, dataset_of, linear, swept


def noise(folds: int = 0) -> Context:
    """A target that no column tells."""
    table = linear(500, noise=1.0)
    return context_of(table.assign(y=np.random.default_rng(1).normal(size=500)), Ridge(), folds=folds)


def curved() -> Context:
    """A straight line through what is no line."""
    return context_of(friedman(0))


def leak() -> Context:
    """A price in another currency, and columns that tell the price as well."""
    table = linear(500)
    return context_of(table.assign(price_eur=table["y"] * 0.9 + 0.01 * np.random.default_rng(1).normal(size=500)))


def repeated() -> Context:
    """A table into which a tenth of its rows was copied once more."""
    table = linear(500)
    return context_of(pd.concat([table, table.head(50)], ignore_index=True))


def patients(**given: object) -> Context:
    """60 patients of eight rows: their numbers are alike, and so is the target, beyond what the numbers say."""
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(60), 8)
    table = pd.DataFrame(rng.normal(size=(60, 3))[who] + 0.2 * rng.normal(size=(480, 3)), columns=list("abc"))
    y = table["a"] + 2 * rng.normal(size=60)[who] + rng.normal(size=480)
    table = table.assign(patient=[f"P{number:02d}" for number in who], y=y).sample(frac=1, random_state=0)
    return context_of(
        table.reset_index(drop=True), RandomForestRegressor(20, random_state=0), drop=("patient",), **given
    )


def drift() -> Context:
    """Prices that rise over three years."""
    table = linear(500)
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(500) * 2, unit="D")
    table = table.assign(sold=days.strftime("%d.%m.%Y"), y=table["y"] + np.arange(500) / 150)
    dated = table.assign(sold=pd.to_datetime(table["sold"], format="%d.%m.%Y"))
    return context_of(dated, drop=("sold",), roles={"sold": "date"})


def parts_differ() -> Context:
    """The last rows follow another line, and are held out."""
    table = linear(500)
    table.loc[400:, "y"] += 3 * table.loc[400:, "x0"]
    dataset = dataset_of(table)
    rows = Split(dataset.X[:400], dataset.X[400:], dataset.y[:400], dataset.y[400:], 5, 0)
    return context_of(table, rows=rows, folds=5)


def growing() -> Context:
    """Noise in proportion to what is expected."""
    rng = np.random.default_rng(0)
    x = rng.uniform(1, 10, size=500)
    return context_of(pd.DataFrame({"x": x, "z": rng.normal(size=500), "y": x * np.exp(0.3 * rng.normal(size=500))}))


def outliers() -> Context:
    """Two rows in a hundred are off by far."""
    table = linear(500)
    off = np.random.default_rng(0).uniform(size=500) < 0.02
    return context_of(table.assign(y=table["y"] + 20 * off))


MADE: dict[str, Callable[[], Context]] = {
    "BX101": noise,
    "BX102": curved,
    "BX201": leak,
    "BX202": repeated,
    "BX203": patients,
    "BX204": drift,
    "BX301": parts_differ,
    "BX302": growing,
    "BX303": outliers,
}


@pytest.fixture(autouse=True)
def _typed() -> None:
    invocation.begin(Invocation.of("run", ["data=csv", "data.path=my.csv", "data.target=y", "model=ridge"]))


def found(context: Context) -> dict[str, Finding]:
    return {finding.code: finding for finding in checks.run(context)}


@pytest.mark.parametrize("code", list(MADE))
def test_a_check_fires_on_the_table_made_for_it(code: str) -> None:
    finding = found(MADE[code]())[code]
    assert np.isfinite(finding.value)
    assert any(letter.isdigit() for letter in finding.says)
    assert finding.mend
    assert tags([finding]) == {f"check.{code}": finding.says}


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("BX102", "model=hist_gradient_boosting"),
        ("BX201", "'data.drop=[price_eur]'"),
        ("BX203", "data.group=patient"),
        ("BX204", "data.time=sold"),
    ],
)
def test_the_next_command_is_what_was_typed_with_the_change(code: str, change: str) -> None:
    mend = found(MADE[code]())[code].mend
    assert mend.startswith("python -m boston_exp.run data=csv data.path=my.csv data.target=y")
    assert change in mend


def test_the_dummy_is_no_better_than_the_mean() -> None:
    assert "BX101" in found(context_of(linear(), DummyRegressor()))


def test_the_reference_is_not_asked_of_itself_nor_in_a_sweep() -> None:
    """A point of a sweep may take no longer; a default boosting is its own reference."""
    assert "BX102" not in found(swept(curved()))
    poor = HistGradientBoostingRegressor(max_iter=2)
    assert "BX102" not in found(context_of(friedman(0), poor))


def test_the_reference_takes_text_and_gaps_and_is_fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fits = []
    fit = HistGradientBoostingRegressor.fit

    def counted(self: HistGradientBoostingRegressor, *given: object) -> HistGradientBoostingRegressor:
        fits.append(self)
        return fit(self, *given)

    monkeypatch.setattr(HistGradientBoostingRegressor, "fit", counted)
    rng = np.random.default_rng(0)
    kinds = rng.integers(6, size=500)
    table = friedman(0).assign(kind=[None if k == 5 else f"kind {k}" for k in kinds])
    table["name"] = [f"name {number}" for number in range(500)]  # more than it takes as categories
    table["y"] += 10 * (kinds == 3)
    table.loc[::7, "x9"] = np.nan
    for neighbours in (100, 200):
        steps = one_hot(KNeighborsRegressor(neighbours))
        context = context_of(table.drop(columns="x9"), steps)
        assert "BX102" in found(context)
    assert len(fits) == 1


def test_a_tree_that_knows_its_training_rows_by_heart_does_not_fire_for_that() -> None:
    """A training score far above the held-out one is normal for forests, boosting and nearest neighbours."""
    for model in (RandomForestRegressor(30, random_state=0), KNeighborsRegressor(1), DecisionTreeRegressor()):
        context = context_of(linear(), model, folds=5)
        assert context.evaluated.metrics["train_rmse"] < 0.7 * context.evaluated.metrics["rmse"]
        assert "BX301" not in found(context)


def test_the_only_column_is_no_leak() -> None:
    x = np.random.default_rng(0).normal(size=200)
    assert "BX201" not in found(context_of(pd.DataFrame({"x": x, "y": 3 * x})))


@pytest.mark.parametrize("shape", ["square", "category", "gaps", "date"])
def test_a_leak_need_be_neither_straight_nor_a_number(shape: str) -> None:
    rng = np.random.default_rng(0)
    table = linear(500)
    x = rng.uniform(-2, 2, size=500)
    table = table.assign(y=x**2, leak=x)
    if shape == "category":
        table = table.assign(y=np.round(3 * x), leak=[f"mark {round(3 * value)}" for value in x])
    if shape == "gaps":
        table = table.assign(y=5 * x, leak=x)
        table.loc[0, "leak"] = np.nan
    if shape == "date":
        days = pd.Timestamp("2020-01-01") + pd.to_timedelta(500 * x, unit="D")
        table = table.assign(y=x, leak=days.strftime("%Y-%m-%d %H:%M"))
    model = one_hot(LinearRegression()) if shape in ("category", "date") else RandomForestRegressor(10)
    roles = {"leak": "date"} if shape == "date" else {}
    assert "'leak'" in found(context_of(table, model, roles))["BX201"].says


def test_rows_that_repeat_by_chance_do_not_fire() -> None:
    """Nearly every row of three questions of yes or no is in both parts."""
    assert "BX202" not in found(context_of(integers(0)))


def test_equal_features_with_another_target_are_no_repeated_rows() -> None:
    table = linear(500)
    again = table.head(50).assign(y=lambda rows: rows["y"] + 0.1)
    assert "BX202" not in found(context_of(pd.concat([table, again], ignore_index=True)))


def test_groups_that_the_split_keeps_together_do_not_fire() -> None:
    assert "BX203" not in found(patients(group="patient"))


def test_a_category_of_a_few_values_is_a_feature_whatever_its_effect() -> None:
    rng = np.random.default_rng(0)
    kind = rng.integers(6, size=500)
    table = linear(500).assign(kind=[f"kind {k}" for k in kind])
    table["y"] += 2.0 * kind
    assert "BX203" not in found(context_of(table, one_hot(LinearRegression()), {"kind": "category"}))


def test_firms_that_are_alike_in_their_numbers_are_groups() -> None:
    """A panel like Grunfeld's: eleven firms of twenty years each."""
    rng = np.random.default_rng(0)
    firm = np.repeat(np.arange(11), 20)
    table = pd.DataFrame(rng.normal(size=(11, 2))[firm] + 0.3 * rng.normal(size=(220, 2)), columns=["value", "capital"])
    table = table.assign(firm=[f"F{number}" for number in firm], y=table["value"] + 2 * rng.normal(size=11)[firm])
    table["y"] += rng.normal(size=220)
    assert "BX203" in found(context_of(table, one_hot(LinearRegression()), {"firm": "category"}))
