"""Points of a sweep share the table that was read, and can do it no harm."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from boston_exp.config.schema import Config, Data
from boston_exp.experiment import dataset as datasets
from boston_exp.experiment.split import split_rows


def table(path: Path) -> Config:
    config = Config()
    config.data = Data(name="own", path=str(path), target="y")
    return config


def test_a_table_is_read_once_until_it_or_how_it_is_read_changes(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("a,b,y\n" + "".join(f"{i},{i * i},{i + 1}\n" for i in range(10)))
    config = table(path)
    first = datasets.load(config)
    assert datasets.load(config) is first
    config.data.drop = ["b"]
    assert list(datasets.load(config).X.columns) == ["a"]
    path.write_text(path.read_text() + "11,121,12\n")
    assert len(datasets.load(config).X) == 11


def test_what_an_estimator_does_to_its_rows_does_not_reach_the_table(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("a,y\n" + "".join(f"{i},{i + 1}\n" for i in range(10)))
    config = table(path)
    dataset = datasets.load(config)
    rows = split_rows(dataset, config)
    before = dataset.X.copy(), dataset.y.copy(), dataset.table.copy()
    for part in (rows.X_train, rows.X_test):
        part.iloc[:, :] = np.nan
    for target in (rows.y_train, rows.y_test):
        target.iloc[:] = np.nan
    assert before[0].equals(dataset.X)
    assert before[1].equals(dataset.y)
    assert before[2].equals(dataset.table)
