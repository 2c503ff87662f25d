"""What a column is taken for, and what a preprocess makes of that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from boston_exp.experiment.roles import of_preprocess, resolved, role_of, roles, typed
from tests.conftest import Command

N = 200
rng = np.random.default_rng(0)
COLUMNS = {
    "Objekt-ID": ([f"H{number:05d}" for number in rng.permutation(N)], "identifier"),
    "customer_no": (rng.permutation(10 * N)[:N], "identifier"),
    "Unnamed: 0": (np.arange(N), "identifier"),
    "row": (np.arange(5, N + 5), "identifier"),
    "customer id": (rng.integers(1000, 1060, N), "identifier"),  # of groups of rows
    "population": (rng.permutation(10 * N)[:N], "number"),  # whole and each its own, and nothing says it names a row
    "rooms": (rng.integers(1, 9, N), "number"),
    "size": (rng.normal(size=N), "number"),
    "cellar": (rng.choice([True, False], N), "number"),
    "cellar with gaps": (rng.choice([True, False, None], N), "number"),
    "town": (rng.choice(["Ulm", "Bonn", None], N), "category"),
    "street": (rng.choice([f"street {number}" for number in range(60)], N), "category"),
    "sold": (pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, N), unit="D"), "date"),
    "note": ([f"a fine house near the lake {number}" for number in range(N)], "text"),
    "country": (["DE"] * N, "constant"),
    "nothing": ([None] * N, "constant"),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_is_taken_for_what_it_is(name: str) -> None:
    values, expected = COLUMNS[name]
    role = role_of(pd.Series(values, name=name))
    assert role.name == expected
    assert role.reason


def test_a_category_of_more_than_thirty_values_is_named_apart() -> None:
    assert role_of(pd.Series(COLUMNS["town"][0])).selector == "category"
    assert role_of(pd.Series(COLUMNS["street"][0])).selector == "high_cardinality"


def test_a_few_rows_are_not_identifiers_by_chance() -> None:
    assert role_of(pd.Series([3, 1, 2], name="nr")).name == "number"
    assert role_of(pd.Series(["a", "b", "c"])).name == "category"


def test_what_is_typed_wins_and_what_is_wrong_with_it_is_said() -> None:
    table = pd.DataFrame({name: values for name, (values, _) in COLUMNS.items()})
    given, faults = typed(["a:b:number", "rooms:categry", "rooms:category", "Objekt-ID:id"], [*table.columns, "a:b"])
    assert given == {"a:b": "number", "rooms": "category", "Objekt-ID": "identifier"}
    (fault,) = faults
    assert fault.says.startswith("data.roles: 'rooms' is given the role 'categry'. Did you mean 'category'?")
    found = roles(table, list(table.columns), {"rooms": "category"}, {})
    assert found["rooms"].name == "category"
    assert found["size"].name == "number"


def test_a_preprocess_gets_names_in_place_of_roles_and_loses_what_no_column_needs() -> None:
    node = {
        "transformers": [["n", {"_target_": "x"}, "role:number"], ["d", {"_target_": "y"}, "role:date"]],
        "remainder": "drop",
    }
    found = roles(pd.DataFrame({"a": [1.0, 2.0], "b": [2.0, 1.0]}), ["a", "b"], {}, {})
    assert of_preprocess(node) == {"number", "date"}
    made = resolved(node, found)
    assert made == {"transformers": [["n", {"_target_": "x"}, ["a", "b"]]], "remainder": "drop"}


@pytest.fixture
def houses(tmp_path: Path) -> Path:
    table = pd.DataFrame({name: values for name, (values, _) in COLUMNS.items()})
    table["price"] = 1000 + 100 * table["size"] + 10 * table["rooms"]
    table.to_parquet(tmp_path / "houses.parquet")
    return tmp_path / "houses.parquet"


def test_explain_shows_every_column_and_trains_nothing(command: Command, houses: Path, store: Path) -> None:
    asked = ("data=csv", f"data.path={houses}", "data.target=price", "preprocess=tabular")
    before = store.stat().st_mtime_ns
    result = command(*asked, "explain=true")
    assert result.code == 0
    lines = {line[:16].strip(): line for line in result.out.splitlines()}
    assert "left out" in lines["Objekt-ID"]
    assert "SimpleImputer median + StandardScaler" in lines["rooms"]
    assert "TargetEncoder" in lines["street"]
    assert "DatetimeEncoder" in lines["sold"]
    assert "160 rows to train on, 40 held out" in result.out
    assert "explain=true" not in result.out.splitlines()[-1]
    assert store.stat().st_mtime_ns == before
    refused = command("-m", *asked, "explain=true", "seed=1,2")
    assert refused.code == 2
    assert "explain=true trains nothing" in refused.err


def test_the_summary_says_what_was_left_out_and_what_became_of_the_rest(command: Command, houses: Path) -> None:
    asked = ("data=csv", f"data.path={houses}", "data.target=price", "figures=none", "model=ridge")
    result = command(*asked, "preprocess=tabular")
    assert result.code == 0, result.err
    assert "features 8 -> 14 columns" in result.out
    identifiers = "Objekt-ID, customer_no, Unnamed: 0, row, customer id"
    assert f"identifier {identifiers}; text note; constant country, nothing" in result.out
    roles_file = houses.parent / "roles.yaml"
    roles_file.write_text("rooms: category\nnote: id\nstreet: text\n")
    other = command(*asked, "preprocess=tabular", f"data.roles={roles_file}")
    assert "features 7 -> 20 columns" in other.out
    one = command(*asked, "preprocess=tabular", 'data.roles=["Objekt-ID:category"]')
    assert "features 9 -> 15 columns" in one.out
    wrong = command(*asked, "preprocess=tabular", 'data.roles=["Objekt-ID:number"]')
    assert wrong.code == 2
    assert "Objekt-ID is no number, for example 'H0" in wrong.err


def test_the_same_run_gives_the_same_bits(command: Command, houses: Path) -> None:
    """TargetEncoder draws folds of its own."""
    asked = ("data=csv", f"data.path={houses}", "data.target=price", "figures=none", "model=ridge")
    one, other = (command(*asked, "preprocess=tabular", "skip_finished=false").out.splitlines() for _ in range(2))
    assert one[2:6] == other[2:6]


def test_dates_and_many_values_reach_the_stored_model(command: Command, houses: Path, store: Path) -> None:
    """pyfunc takes the table as pandas reads it, dates as text as well: what a JSON request has."""
    import mlflow

    asked = ("data=csv", f"data.path={houses}", "data.target=price", "figures=none", "model=ridge")
    run_id = command(*asked, "preprocess=tabular", "quiet=true").out.strip()
    mlflow.set_tracking_uri(f"sqlite:///{store}")
    model = mlflow.pyfunc.load_model(f"runs:/{run_id}/model")
    table = pd.read_parquet(houses)
    predicted = model.predict(table)
    as_text = table.assign(sold=table["sold"].astype(str))
    assert np.array_equal(predicted, model.predict(as_text))
