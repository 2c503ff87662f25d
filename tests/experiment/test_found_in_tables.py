"""What generated tables found (tests/experiment/any_table.py): each defect by its smallest table."""

from __future__ import annotations

import datetime
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from boston_exp.config.invocation import quoted
from boston_exp.config.schema import Config, Data
from boston_exp.experiment.checks.columns import since_epoch
from boston_exp.experiment.reading.table import read
from boston_exp.experiment.table_checks import table_faults
from tests.conftest import Command
from tests.experiment.generated_tables import NAMES

TRAINED = ("data=csv", "preprocess=tabular", "model=ridge", "tracking=none", "figures=none", "evaluation.n_resamples=0")


def table(rows: int = 60, **columns: object) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"x": rng.normal(size=rows), **columns, "y": rng.normal(size=rows)})


def test_a_name_is_never_an_interpolation(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file from elsewhere could have put a secret of the environment into a message."""
    monkeypatch.setenv("SOME_SECRET", "hush")
    names = {"${oc.env:SOME_SECRET}": list("abcd") * 15, "???": list("ab") * 30}
    table(**names).to_csv(tmp_path / "t.csv", index=False)
    done = command(*TRAINED, "data.path=t.csv", "data.target=y")
    assert done.code == 0, done.err
    assert "hush" not in done.out + done.err


def test_dates_may_be_of_any_age(command: Command, tmp_path: Path) -> None:
    """Nanoseconds reach from 1677 to 2262."""
    days = [datetime.date(year, 1, 2) for year in (1, 1492, 2024, 9999)] * 15
    assert since_epoch(pd.Series(pd.to_datetime(pd.Series(days, dtype=object))))[2] == 19_724
    table(day=days).to_csv(tmp_path / "t.csv", index=False)
    done = command(*TRAINED, "data.path=t.csv", "data.target=y")
    assert (done.code, "could not be made" in done.err) == (0, False), done.err


@pytest.mark.parametrize("groups", [2, 3, 4])
def test_few_groups_are_held_out_of_every_part_of_the_target(command: Command, tmp_path: Path, groups: int) -> None:
    table(g=list("abcd"[:groups]) * (60 // groups)).to_csv(tmp_path / "t.csv", index=False)
    done = command(*TRAINED, "data.path=t.csv", "data.target=y", "data.group=g", "evaluation.stratify=true")
    assert done.code == 0, done.err


def test_numbered_categories_may_have_gaps(tmp_path: Path) -> None:
    kinds = pd.Categorical([1, 2, None]), pd.Categorical([True, False, None])
    pd.DataFrame({"a": kinds[0], "b": kinds[1], "y": [1, 2, 3]}).to_parquet(tmp_path / "t.parquet")
    found = read(Data(path=str(tmp_path / "t.parquet"), target="y")).frame
    assert found["a"].tolist() == pytest.approx([1, 2, np.nan], nan_ok=True)
    assert found["b"].tolist()[:2] == [True, False]


@pytest.mark.parametrize("target", ["2020", "3.5", "2020-01-01", "trail "])
def test_a_target_that_is_named_like_a_value_shows_the_header(tmp_path: Path, target: str) -> None:
    """Columns without names are called 0, 1, 2: none of these."""
    (tmp_path / "t.csv").write_text(f"x,z,{target}\n" + "1,5,2.5\n" * 9)
    assert list(read(Data(path=str(tmp_path / "t.csv"), target=target)).frame) == ["x", "z", target]


def test_a_code_like_12e4567_is_no_infinite_number(tmp_path: Path) -> None:
    pd.DataFrame({"code": ["12e4567", "3e9999", "4e1"], "y": [1, 2, 3]}).to_parquet(tmp_path / "t.parquet")
    found = read(Data(path=str(tmp_path / "t.parquet"), target="y")).frame
    assert found["code"].tolist() == ["12e4567", "3e9999", "4e1"]


def test_a_title_may_stand_above_rows_that_are_numbered(tmp_path: Path) -> None:
    """pandas and R leave the name of such a column empty."""
    (tmp_path / "t.csv").write_text("Report of 3 May\n\n,x,y\n" + "".join(f"{k},a,2.5\n" for k in range(9)))
    assert list(read(Data(path=str(tmp_path / "t.csv"), target="y")).frame)[1:] == ["x", "y"]


def test_whole_numbers_beside_grouped_ones_show_thousands(tmp_path: Path) -> None:
    """As decimals, 328 would have been more than 2.608 of the same column."""
    rows = "".join(f"a;{cell}\n" for cell in ("192.981", "2.608", "328", "9.748", "12.205", "7.001"))
    (tmp_path / "t.csv").write_text("x;y\n" + rows)
    found = read(Data(path=str(tmp_path / "t.csv"), target="y")).frame
    assert found["y"].tolist() == [192_981, 2_608, 328, 9_748, 12_205, 7_001]


def test_a_column_without_a_value_is_no_hindrance(command: Command, tmp_path: Path) -> None:
    """The reference of a check, a histogram gradient boosting, cannot bin it; as a number it is a feature."""
    table(rows=200, empty=[None] * 200).to_csv(tmp_path / "t.csv", index=False)
    done = command(*TRAINED, "data.path=t.csv", "data.target=y", 'data.roles=["empty:category"]')
    assert (done.code, "could not be made" in done.err) == (0, False), done.err


@pytest.mark.parametrize(
    "target", ["self", "${oc.env:HOME}", 'say "x"', "a=b", "new\nline", "{x}", "null", "2020", "🏠"]
)
def test_any_name_may_be_that_of_the_target(command: Command, tmp_path: Path, target: str) -> None:
    """Beside features of every odd name, in a run that is recorded; '' is a name of no target."""
    rng = np.random.default_rng(0)
    names = sorted({*NAMES, target} - {""})
    odd = pd.DataFrame(rng.normal(size=(40, len(names))), columns=names)
    odd.assign(category=list("ab") * 20).to_parquet(tmp_path / "t.parquet")
    done = command(
        "data=csv", "data.path=t.parquet", f"data.target={quoted(target)}", "preprocess=tabular", "model=ridge"
    )
    assert done.code == 0, done.err


def test_times_that_most_rows_share_leave_few_to_fold(command: Command, tmp_path: Path) -> None:
    """Four points in time of which three are before the held-out rows: three folds need four."""
    table(when=[1] * 20 + [2] * 20 + [3] * 10 + [4] * 10).to_csv(tmp_path / "t.csv", index=False)
    folds = ("evaluation=cv", "evaluation.n_splits=3")
    done = command(*TRAINED, "data.path=t.csv", "data.target=y", "data.time=when", *folds)
    assert done.code == 2
    assert "there are 3." in done.err
    assert "evaluation.n_splits=2" in done.err


def test_a_target_of_32_bits_is_compared_without_a_warning(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": np.arange(9.0), "y": np.arange(9, dtype="float32")})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert table_faults(Config(data=Data(path="t.parquet", target="y")), frame) == []


def test_a_first_row_that_happens_to_count_is_a_row(tmp_path: Path) -> None:
    """0 and 1 with a word between them are no names 0, 1, 2, …"""
    (tmp_path / "t.csv").write_text("0,type 44,1\n0,type 35,2\n3,type 16,3\n")
    assert read(Data(path=str(tmp_path / "t.csv"), target="0")).frame["0"].tolist() == [0, 0, 3]


def test_repeated_folds_of_groups_keep_no_check_from_being_made(command: Command, tmp_path: Path) -> None:
    """Each row counts once, and so does its group."""
    table(rows=120, g=list("abcdefghij") * 12).to_csv(tmp_path / "t.csv", index=False)
    done = command(*TRAINED, "data.path=t.csv", "data.target=y", "data.group=g", "evaluation=repeated_cv")
    assert (done.code, "could not be made" in done.err) == (0, False), done.err


@pytest.mark.parametrize("above", ["", "Report of 3 May\n\n"])
def test_words_above_values_show_a_header_whatever_is_beside_them(tmp_path: Path, above: str) -> None:
    """A target may be called 1, which is what a column without a name is called as well."""
    (tmp_path / "t.csv").write_text(f"{above}a,x,1,3.5\n" + "Ulm,5,2.5,b\n" * 9)
    assert list(read(Data(path=str(tmp_path / "t.csv"), target="1")).frame) == ["a", "x", "1", "3.5"]
    (tmp_path / "u.csv").write_text("a,unknown,0.5\n" + "b,5,2.5\n" * 9)
    assert len(read(Data(path=str(tmp_path / "u.csv"), target="2")).frame) == 10


def test_a_first_column_that_is_called_by_braces_is_no_json(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("{},y\n" + "1.5,2\n" * 9)
    assert list(read(Data(path=str(tmp_path / "t.csv"), target="y")).frame) == ["{}", "y"]
