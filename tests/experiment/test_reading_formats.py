"""Parquet, Feather, workbooks and packed files: the same table, its types made plain."""

from __future__ import annotations

import bz2
import datetime
import gzip
import io
import lzma
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from boston_exp.config.schema import Data
from boston_exp.experiment.reading.table import read
from tests.experiment.test_reading import reading
from tests.experiment.test_reading_refused import refused


@pytest.mark.parametrize("ending", ["csv.gz", "csv.bz2", "csv.xz", "zip", "tsv", "parquet", "feather", "xlsx"])
def test_every_format_gives_the_same_table(tmp_path: Path, ending: str) -> None:
    frame = pd.DataFrame({"code": ["01069", "23"], "when": pd.to_datetime(["2020-01-02", "2021-03-04"]), "y": [1, 2]})
    text, packed = frame.to_csv(index=False).encode(), io.BytesIO()
    if ending == "zip":
        with zipfile.ZipFile(packed, "w") as archive:
            for hidden in ("__MACOSX/x", "._t.csv", "a/.DS_Store"):
                archive.writestr(hidden, "")
            archive.writestr("t.csv", text)
    made = {"csv.gz": gzip.compress, "csv.bz2": bz2.compress, "csv.xz": lzma.compress}
    write = {
        "parquet": frame.to_parquet,
        "feather": frame.to_feather,
        "xlsx": lambda to: frame.to_excel(to, index=False),
    }
    content = made[ending](text) if ending in made else packed.getvalue() or text.replace(b",", b"\t")
    if ending in write:
        write[ending](packed)
        content = packed.getvalue()
    found = reading(tmp_path, content, name=f"t.{ending}").frame
    pd.testing.assert_frame_equal(found, frame, check_dtype=False, check_column_type=False)
    assert found["when"].dtype.kind == "M"


def test_parquet_and_excel_have_types_that_are_made_plain(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "whole": pd.array([1, None], dtype="Int64"), "flag": pd.array([True, None], dtype="boolean"),
            "day": [datetime.date(2020, 1, 2), None], "took": pd.to_timedelta([90, None], unit="s"),
            "kind": pd.Categorical(["a", "b"]), "price": ["1.234,5", "2"], "y": [1, 2],
        }
    )  # fmt: skip
    frame.to_parquet(tmp_path / "t.parquet")
    table = read(Data(path=str(tmp_path / "t.parquet"), target="y")).frame
    assert [dtype.kind for dtype in table.dtypes] == ["f", "O", "M", "f", "O", "f", "i"]
    assert table.loc[0].tolist() == [1.0, True, pd.Timestamp(2020, 1, 2), 90.0, "a", 1234.5, 1]
    with pd.ExcelWriter(tmp_path / "t.xlsx") as book:
        pd.DataFrame({"a": [1.5, "k.A.", 2], "y": [1, 2, 3]}).to_excel(book, sheet_name="first", index=False)
        pd.DataFrame({"b": [1, 2]}).to_excel(book, sheet_name="other", index=False)
    made = read(Data(path=str(tmp_path / "t.xlsx"), target="y"))
    assert made.frame["a"].tolist() == pytest.approx([1.5, np.nan, 2], nan_ok=True)
    assert made.found.says == "sheet first (data.sheet=… for other)"
    assert list(read(Data(path=str(tmp_path / "t.xlsx"), target="y", sheet="2")).frame) == ["b"]


def test_a_workbook_may_have_titles_and_its_table_on_another_sheet(tmp_path: Path) -> None:
    rows = [
        ["Sales", None, None],
        ["made", 2020, None],
        [None] * 3,
        ["town", "a", "y"],
        ["Ulm", 1.5, 2],
        ["Bonn", 2, "?x"],
    ]
    with pd.ExcelWriter(tmp_path / "t.xlsx") as book:
        pd.DataFrame([["Read me"], ["Secret"]]).to_excel(book, sheet_name="notes", index=False, header=False)
        pd.DataFrame(rows).to_excel(book, sheet_name="all data", index=False, header=False)
    content = (tmp_path / "t.xlsx").read_bytes()
    says, mend = refused(tmp_path, content, name="t.xlsx")
    assert "data.target=y is not a column" in says
    assert "The sheet all data has it." in says
    assert mend.endswith('data.sheet="all data"\'')
    says, _ = refused(tmp_path, content, name="t.xlsx", sheet="all data")
    assert "'?x' (line 6)" in says  # as Excel counts them
    made = reading(tmp_path, content, "a", name="t.xlsx", sheet="all data")
    assert made.frame["a"].tolist() == [1.5, 2]
    assert made.found.says == "3 lines above the header"


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_clock_of_a_time_zone_is_kept(tmp_path: Path, ending: str) -> None:
    """Hours and days of a week are what a model learns from; text may have several offsets, as in summer and winter."""
    text = ["2023-03-01T08:00:00+01:00", "2023-07-01T08:00:00+02:00"]
    frame = pd.DataFrame({"when": text, "y": [1, 2]})
    if ending == "parquet":
        frame["when"] = pd.to_datetime(frame["when"], utc=True).dt.tz_convert("Europe/Berlin")
    content = io.BytesIO()
    frame.to_parquet(content) if ending == "parquet" else frame.to_csv(content, index=False)
    made = reading(tmp_path, content.getvalue(), name=f"t.{ending}").frame["when"]
    assert made.tolist() == [pd.Timestamp(2023, 3, 1, 8), pd.Timestamp(2023, 7, 1, 8)]


@pytest.mark.parametrize(
    ("content", "says", "mend"),
    [
        (b"a,y\n1,2\n", "it is no .xlsx file, or it is damaged", "cp "),
        (b"PK\x03\x04" + b"\0" * 90, "it is no .xlsx file, or it is damaged", "python -m boston_exp.run"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 900, "it is encrypted", "python -m boston_exp.run"),
    ],
)
def test_a_workbook_that_cannot_be_opened_is_refused(tmp_path: Path, content: bytes, says: str, mend: str) -> None:
    told, then = refused(tmp_path, content, name="t.xlsx")
    assert says in told
    assert then.startswith(mend)
