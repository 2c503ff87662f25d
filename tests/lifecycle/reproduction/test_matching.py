"""Two sides are compared by their bits."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from boston_exp.experiment.metrics import over_folds
from boston_exp.lifecycle.comparing.differences import Differs
from boston_exp.lifecycle.reproduction.explaining import pools_differing
from boston_exp.lifecycle.reproduction.matching import Match, matches
from boston_exp.lifecycle.reproduction.outcome import largest, same
from boston_exp.tracking.backends.none import NoHistory
from boston_exp.tracking.recorded import RecordedRun

Side = tuple["Files", RecordedRun]


class Files(NoHistory):
    """A history of one run, whose artifacts are in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def artifact(self, run_id: str, path: str, folder: Path) -> Path | None:
        file = self._folder / path
        return file if file.is_file() else None


@pytest.fixture
def side(tmp_path: Path) -> Callable[..., Side]:
    made: list[Path] = []

    def make(
        metrics: dict[str, float], tags: dict[str, str] | None = None, status: str = "FINISHED", **tables: pd.DataFrame
    ) -> Side:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(folder)
        for name, table in tables.items():
            table.to_csv(folder / f"{name}.csv", index=False)
        return Files(folder), RecordedRun("id", "name", status, 0, 0, {}, metrics, tags or {})

    return make


def test_every_double_survives_the_file(side: Callable[..., Side]) -> None:
    """What is written in a table is read back to the last bit, whatever its size."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=20_000) * 10.0 ** rng.integers(-300, 300, 20_000)
    table = pd.DataFrame({"row": range(20_000), "actual": values, "predicted": -values})
    assert same(matches(side({}, predictions=table), side({}, predictions=table)), 0.0)
    one = table.assign(predicted=table["predicted"].where(table["row"] != 7, np.nextafter(-values[7], 0)))
    found = [each for each in matches(side({}, predictions=table), side({}, predictions=one)) if each.differing]
    assert [(each.name, each.differing) for each in found] == [("predicted", 1)]
    assert 0 < found[0].relative < 2.3e-16


@pytest.mark.parametrize(
    ("before", "after", "is_same"),
    [(1.0, 1.0, True), (math.nan, math.nan, True), (1.0, math.nextafter(1.0, 2), False), (0.0, -0.0, False),
     (math.nan, 1.0, False), (math.inf, math.inf, True), (math.inf, -math.inf, False)],
)  # fmt: skip
def test_a_metric_is_the_same_where_its_bits_are(
    side: Callable[..., Side], before: float, after: float, is_same: bool
) -> None:
    """But that one NaN is as good as another. Only what has a size passes a tolerance."""
    found = matches(side({"rmse": before}), side({"rmse": after}))
    assert same(found, 0.0) is is_same
    assert same(found, 1e-9) is (is_same or math.isfinite(largest(found)))


def test_seconds_are_no_result_and_what_one_side_lacks_is_a_difference(side: Callable[..., Side]) -> None:
    found = matches(side({"fit_seconds": 1.0, "rmse": 2.0}), side({"fit_seconds": 9.0, "mae": 2.0}))
    assert found == [
        Match("metric", "mae", 1, 1, missing="original"),
        Match("metric", "rmse", 1, 1, missing="again"),
    ]
    assert not same(found, 1.0)


def test_a_table_of_other_rows_is_a_difference_and_one_that_nobody_has_is_none(side: Callable[..., Side]) -> None:
    table = pd.DataFrame({"row": [1, 2], "actual": [1.0, 2.0], "predicted": [1.0, 2.0], "group": ["a", "b"]})
    assert matches(side({}), side({})) == []
    assert [each.missing for each in matches(side({}, predictions=table), side({}))] == ["again"]
    assert not same(matches(side({}, predictions=table), side({}, predictions=table.head(1))), 0.0)
    renamed = table.assign(group=["a", "c"])
    (found,) = [each for each in matches(side({}, predictions=table), side({}, predictions=renamed)) if each.differing]
    assert (found.name, found.differing, found.relative) == ("group", 1, math.inf)


def test_a_pruned_run_is_compared_by_the_folds_that_it_had(side: Callable[..., Side]) -> None:
    """The repetition goes through all folds; the means over the first ones are those of then."""
    names = ("r2_score", "rmse", "mae", "mape")
    folds = [{name: float(number + len(name)) for name in names} for number in range(5)]
    tags = {"pruned": "true", "pruned.after": "2"}
    scores = {f"pruned_{name}": value for name, value in over_folds(folds[:2]).items()}
    again = side({}, folds=pd.DataFrame(folds))
    assert same(matches(side(scores, tags, "KILLED"), again), 0.0)
    assert len(matches(side(scores, tags, "KILLED"), again)) == 8
    assert not same(matches(side(scores, {**tags, "pruned.after": "3"}, "KILLED"), again), 0.0)


def test_a_tag_does_not_keep_a_finished_run_from_being_compared(side: Callable[..., Side]) -> None:
    """Whoever can write a tag could make every run `the same`."""
    assert [each.name for each in matches(side({"rmse": 1.0}, {"pruned": "true"}), side({"rmse": 2.0}))] == ["rmse"]


def test_a_table_of_the_record_that_cannot_be_read_is_told_as_such(side: Callable[..., Side], tmp_path: Path) -> None:
    """It is there: `not in the record` would send people looking for it."""
    table = pd.DataFrame({"row": [1], "actual": [1.0], "predicted": [1.0]})
    damaged = side({}, predictions=table)
    (tmp_path / "0" / "predictions.csv").write_text('row,actual\n"1,2')
    found = matches(damaged, side({}, predictions=table))
    assert [each.missing for each in found] == ["damaged"]
    assert not same(found, 1.0)


def test_where_nothing_was_compared_nothing_is_the_same() -> None:
    assert not same([], 0.0)


def test_a_library_that_one_process_had_loaded_besides_says_nothing() -> None:
    """LightGBM brings an OpenMP of its own into every later run of its process."""
    openmp, blas = ({"library": kind, "threads": 2, "kernel": None, "version": None} for kind in ("openmp", "blas"))
    told = Differs("machine", "pools", (json.dumps([openmp, blas, openmp]), json.dumps([openmp, blas])))
    assert list(pools_differing(told)) == []
    slower = [openmp | {"threads": 1}, blas, openmp | {"threads": 1}]
    told = Differs("machine", "pools", (json.dumps([openmp, blas]), json.dumps(slower)))
    assert list(pools_differing(told)) == [Differs("machine", "OpenMP threads", ("2", "1"))]
    told = Differs("machine", "pools", (json.dumps([openmp]), json.dumps([openmp, blas])))
    assert "BLAS threads" in [each.name for each in pools_differing(told)]
