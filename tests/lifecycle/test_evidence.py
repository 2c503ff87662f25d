"""What is read of recorded predictions: weights, groups and times of rows, and rows that have several predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from boston_exp.errors import InvalidConfig
from boston_exp.experiment.metrics import METRICS, Metric, named
from boston_exp.lifecycle import evidence
from boston_exp.lifecycle.comparing import pairs
from boston_exp.lifecycle.comparing.verdicts import verdict
from boston_exp.lifecycle.evidence import (
    FOLDS,
    HELD_OUT,
    OUT_OF_FOLD,
    design,
    fold_scores,
    out_of_fold_losses,
    rows_of,
    table_in,
)
from boston_exp.tracking.recorded import RecordedRun


def table(rows: int = 60, repeats: int = 1, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    actual, parts = rng.normal(20, 5, rows), []
    for repeat in range(repeats):
        fold = rng.permutation(rows) % 5 + 1 + 5 * repeat
        columns = {"row": 3 * np.arange(rows), "repeat": repeat + 1, "fold": fold, "actual": actual}
        parts.append(pd.DataFrame(columns | {"predicted": actual + rng.normal(size=rows)}))
    return pd.concat(parts).sort_values(["row", "fold"], ignore_index=True)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_mean_of_the_losses_of_rows_is_the_mean_over_folds(metric: Metric, repeats: int, weighted: bool) -> None:
    found = table(repeats=repeats)
    if weighted:
        found["weight"] = np.random.default_rng(1).gamma(1, size=60)[found["row"] // 3]
    losses, sign = out_of_fold_losses(found, metric), -1 if metric.direction == "maximize" else 1
    assert losses.shape == (60,)
    assert len(fold_scores(found, metric)) == 5 * repeats
    mean = float(np.average(losses, weights=design(found).get("weights")))
    # folds of repetitions weigh a little differently, by how the weights of rows fall into them
    assert mean == pytest.approx(sign * float(fold_scores(found, metric).mean()))


def test_the_design_is_that_of_different_rows_and_labels_are_text(tmp_path: Path) -> None:
    found = table(repeats=2)
    found["cluster"] = np.where(found["row"] < 60, "01", "NA")
    found["time"] = found["row"] // 6
    found.to_csv(tmp_path / OUT_OF_FOLD, index=False)
    read = table_in(tmp_path, OUT_OF_FOLD)
    assert read is not None
    told = design(read)
    assert set(told) == {"clusters", "order"}
    assert set(told["clusters"]) == {"01", "NA"}
    assert len(told["order"]) == 60
    assert design(table()) == {}
    assert not rows_of(read).equals(rows_of(read.drop(columns="cluster")))


def test_a_table_whose_weights_are_no_numbers_cannot_be_read(tmp_path: Path) -> None:
    table().assign(weight="much").to_csv(tmp_path / OUT_OF_FOLD, index=False)
    assert table_in(tmp_path, OUT_OF_FOLD) is None


def test_the_overlap_is_read_from_the_folds_and_of_older_records_not_known() -> None:
    class Recorded:
        def artifact(self, run_id: str, name: str, folder: Path) -> Path | None:
            folder.mkdir(parents=True, exist_ok=True)
            folds = {"forward": "fold,rows,train_rows\n1,10,10\n2,10,40\n", "old": "fold,rows\n1,10\n"}
            if run_id not in folds:
                return None
            (folder / name).write_text(folds[run_id])
            return folder / name

    found = evidence.overlaps(Recorded(), ["forward", "old", "none"])  # type: ignore[arg-type]
    assert found == {"forward": pytest.approx(0.625), "old": None, "none": None}


class Stored:
    """A history of tables: what `compare` reads of it."""

    def __init__(self, tables: dict[tuple[str, str], pd.DataFrame]) -> None:
        self.tables = tables

    def artifact(self, run_id: str, name: str, folder: Path) -> Path | None:
        folder.mkdir(parents=True, exist_ok=True)
        found = self.tables.get((run_id, name))
        if found is None:
            return None
        found.to_csv(folder / name, index=False)
        return folder / name


def compared(**columns: np.ndarray) -> pairs.Comparison:
    """Two runs on 90 held-out rows that have these columns, too."""
    rng, actual, found = np.random.default_rng(0), np.random.default_rng(1).normal(20, 5, 90), {}
    for run_id, bias in (("a", 0.0), ("b", 0.8)):
        own = np.repeat(rng.normal(bias, 1, 9), 10)
        held_out = {"row": np.arange(90), "actual": actual, "predicted": actual + own + 0.1 * rng.normal(size=90)}
        found[run_id, HELD_OUT] = pd.DataFrame(held_out | columns)
        found[run_id, OUT_OF_FOLD] = table(repeats=2, seed=ord(run_id)).assign(actual=np.tile(20.0, 120))
        found[run_id, OUT_OF_FOLD]["fold"] = np.tile(np.arange(1, 11), 12)
        found[run_id, FOLDS] = pd.DataFrame({"fold": range(1, 11), "rows": 12, "train_rows": 48})
    tags, metrics = {"split.digest": "d", "data.md5": "m"}, {"rmse": 1.0}
    runs = [RecordedRun(each, each, "FINISHED", 0, 1, {}, metrics, tags) for each in ("a", "b")]
    metric = named("rmse")
    assert metric is not None
    return pairs.compare(Stored(found), runs, metric, None)  # type: ignore[arg-type]


def test_compare_follows_what_the_tables_have() -> None:
    """Ninety rows in nine groups are no ninety independent ones; weights move the score."""
    plain = compared().pairs[0]
    grouped = compared(cluster=np.repeat(np.arange(9), 10)).pairs[0]
    in_time = compared(time=np.arange(90)).pairs[0]
    assert grouped.rows.mean == plain.rows.mean
    assert grouped.rows.units == 9
    assert grouped.rows.error > 2 * plain.rows.error
    assert in_time.rows.kind == "blocks of time"
    assert in_time.rows.error > 1.5 * plain.rows.error
    assert grouped.rows.rows == "90 held-out rows in 9 groups"
    found = compared(cluster=np.repeat("a", 90))
    assert "as far as chance goes" in verdict(found, found.pairs[0])
    weights = np.r_[np.ones(10), np.zeros(80)]
    weighted = compared(weight=weights).pairs[0]
    assert weighted.rows.mean != plain.rows.mean
    assert plain.folds is not None
    assert plain.folds.difference.n == 10


def test_runs_with_other_weights_are_not_compared() -> None:
    one = pd.DataFrame({"row": [1, 2], "actual": [1.0, 2.0], "predicted": [1.0, 3.0]})
    found = {("a", HELD_OUT): one, ("b", HELD_OUT): one.assign(weight=[1.0, 2.0])}
    tags, metrics = {"split.digest": "d", "data.md5": "m"}, {"rmse": 1.0}
    runs = [RecordedRun(each, each, "FINISHED", 0, 1, {"data.weight": "w"}, metrics, tags) for each in ("a", "b")]
    metric = named("rmse")
    assert metric is not None
    with pytest.raises(InvalidConfig, match="different weights"):
        pairs.compare(Stored(found), runs, metric, None)  # type: ignore[arg-type]
