"""What a model promises where rows depend on each other."""

from __future__ import annotations

import numpy as np
import pandas as pd

from boston_exp.lifecycle.prediction.scoring import Collected, scored
from boston_exp.lifecycle.promise import Promise, promise


def tables(groups: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(0)
    found = []
    for rows in (60, 240):
        predicted = rng.normal(20, 5, rows)
        columns = {"row": range(rows), "fold": 1, "actual": predicted + rng.normal(size=rows), "predicted": predicted}
        found.append(pd.DataFrame(columns).assign(cluster=rng.integers(0, groups, rows).astype(str)))
    return found[0], found[1]


def test_rows_of_groups_are_told_and_not_judged_by_a_test_of_rows() -> None:
    found = promise(*tables(30))
    assert found.dependent
    assert found.calibration
    assert Promise.recorded(found.as_json()) == found
    collected = Collected(actual=[np.zeros(5)], predicted=[np.full(5, 100.0)])
    judged = scored(collected, found, 0.9, {}, "USD")
    assert judged is not None
    assert judged.broken == ()
    assert "not judged" in judged.kept[0]


def test_independent_rows_are_judged_as_before() -> None:
    found = promise(*(table.drop(columns="cluster") for table in tables(30)))
    assert not found.dependent
    assert "dependent" not in found.as_json()
    judged = scored(Collected(actual=[np.zeros(5)], predicted=[np.full(5, 100.0)]), found, 0.9, {}, "USD")
    assert judged is not None
    assert judged.broken


def test_too_few_groups_promise_no_coverage() -> None:
    assert promise(*tables(4)).calibration == ()
