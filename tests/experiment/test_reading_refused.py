"""What cannot be read is refused by one message, with the corrected command."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from boston_exp import process
from boston_exp.config import invocation
from boston_exp.config.invocation import Invocation
from boston_exp.config.schema import Config, Data
from boston_exp.errors import InvalidData
from boston_exp.experiment.reading import files
from boston_exp.experiment.reading.table import read
from boston_exp.experiment.table_checks import table_faults
from tests.experiment.test_reading import reading


def refused(folder: Path, content: str | bytes, *typed: str, name: str = "t.csv", **settings: Any) -> tuple[str, str]:
    """What is said, and the next command."""
    process.reset()
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    invocation.begin(Invocation.of("run", ["data=csv", f"data.path={name}", *typed]))
    data = Data(**{"path": str(folder / name), "target": "y", **settings})
    try:
        faults = tuple(table_faults(Config(data=data), read(data).frame))
    except InvalidData as refusal:
        faults = refusal.faults
    return faults[0].says, faults[0].mend


NEXT = "python -m boston_exp.run data=csv"
COMMAND = f"{NEXT} data.path=t.csv"


@pytest.mark.parametrize(
    ("content", "typed", "says", "mend"),
    [
        ("a;y\n1;2\n3;4\n", {"sep": ","}, "data.sep=comma splits nothing", f"{COMMAND} data.sep=semicolon"),
        ("a;y\n1,5;2\n3,5;4,5\n", {"sep": ","}, "cannot be read as a table", f"{COMMAND} data.sep=semicolon"),
        ("a,y\n1,2\n3,4,5\n", {}, "line 3", "sed -n 3p"),
        ("a,y\n" + "1,2.5\n" * 9 + '1,"2,5"\n', {}, "for example '2,5' (line 11)", "sed -n 11p"),
        ("d\ty\n" + "1\t1.5\n" * 9 + "1\t1,5\n", {"decimal": "."}, "for example '1,5' (line 11)", "sed -n 11p"),
        ("a;y\n" + "1;2,5\n" * 9, {"decimal": "."}, "not numeric", f"{COMMAND} data.decimal=comma"),
        ("a;y\n" + "1;1.100.490\n" * 9, {"thousands": "none"}, "not numeric", f"{COMMAND} data.decimal=comma"),
        (
            "a;y\n" + "1;2,5\n1;1.25\n" * 9,
            {},
            "numbers with a decimal point, for example '1.25' (line 3, 5, 7, 9, 11, …), and numbers with a decimal "
            "comma, for example '2,5' (line 2, 4, 6, 8, 10, …)",
            "sed -n 2p",
        ),
        (
            "a;y\n" + "1;1.100.490\n" * 9 + "1;?x\n",
            {},
            "9 rows are numbers with a point between thousands.",
            "sed -n 11p",
        ),
        ("a;y\n" + "1;2\n" * 9, {"columns": ["b", "z"]}, "has names: a, y.", f"{COMMAND}   (data.header=true"),
        ("a;y\nv;w\n", {"columns": ["a", "y"]}, "has names: a, y.", f"{COMMAND}   (data.header=true"),
        ("a,y\n1,1.2.2020\n2,2020-01-02\n", {}, "not numeric", f"{COMMAND} data.target=a"),
        ("a,y\n1,1.2.2020\n2,3.4.2021\n", {}, "has dates, not numbers", f"{COMMAND} data.target=a"),
        ("a,y\n1,\n2,3\n4,5\n", {}, "no value in 1 of 3 rows (line 2)", f"{COMMAND} data.missing_target=drop"),
        ("a,y,y\n1,2,3\n", {}, "two columns are named y", COMMAND),
        ("", {}, "has no rows", NEXT),
        ("a,y\n", {}, "has no rows", NEXT),
        ("Köln,y\n1,2\n".encode("cp1252"), {"encoding": "utf-8"}, "can't decode", f"{COMMAND} data.encoding=cp1252"),
        ("a,y\n1,2\n", {"encoding": "utf-9"}, "utf-9", f"{COMMAND} data.encoding=utf-8"),
        (b"\x00\x01\x02\x03\xff" * 90, {}, "bytes that no text has", NEXT),
        (b"PAR1" + b"\x00" * 90, {}, "it is a Parquet file", "cp "),
        ("\ufeff\n<!DOCTYPE html><html>a,b</html>", {}, "it is an HTML page", NEXT),
        ('[{"a": 1, "y": 2}]', {}, "it is JSON", NEXT),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_corrected_command(
    tmp_path: Path, content: str | bytes, typed: dict[str, Any], says: str, mend: str
) -> None:
    told, then = refused(tmp_path, content, *(f"data.{name}={value}" for name, value in typed.items()), **typed)
    assert says in told
    assert then.startswith(mend)
    assert NEXT in then


def test_archives_that_cannot_be_opened_are_refused_by_name(tmp_path: Path) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a.csv", "a,y\n1,2\n")
    locked = bytearray(made.getvalue())
    for place in (locked.find(b"PK\x03\x04") + 6, locked.find(b"PK\x01\x02") + 8):
        locked[place] |= 1  # the flag of an encrypted member
    says, mend = refused(tmp_path, bytes(locked), name="t.zip")
    assert "is encrypted" in says
    assert mend.startswith("unzip ")
    with zipfile.ZipFile(made, "a") as archive:
        archive.writestr("b.csv", "a,y\n1,2\n")
    says, mend = refused(tmp_path, made.getvalue(), name="t.zip")
    assert "has 2 files: a.csv, b.csv" in says
    assert "data.path=" in mend
    says, _ = refused(tmp_path, gzip.compress(b"a,y\n1,2\n" * 99)[:-20], name="t.csv.gz")
    assert "cannot be read as a table" in says


def test_nested_columns_of_parquet_are_named_and_can_be_left_out(tmp_path: Path) -> None:
    made = io.BytesIO()
    pd.DataFrame({"a": [1, 2], "tags": [["x"], ["y", "z"]], "y": [1, 2]}).to_parquet(made)
    says, mend = refused(tmp_path, made.getvalue(), name="t.parquet")
    assert "lists, structures or bytes, which no model takes: tags" in says
    assert "data.drop=[tags]" in mend.replace("'", "")
    assert len(reading(tmp_path, made.getvalue(), name="t.parquet", drop=["tags"]).frame) == 2


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("a,y\n1,2\n")
    with pytest.raises(InvalidData, match="changed while it was read"), files.steady(file), file.open("a") as more:
        more.write("3,4\n")


def test_a_format_of_dates_that_fits_no_column_is_refused(tmp_path: Path) -> None:
    typed = "data.date_format=%d.%m.%Y"
    says, mend = refused(tmp_path, "d,y\n2003-01-02,1\n2003-01-03,2\n", typed, date_format="%d.%m.%Y")
    assert says == "data.date_format=%d.%m.%Y fits all values of no column."
    assert mend == COMMAND
    months = reading(tmp_path, "d,y\n2000-01,1\n2000-12,2\n")
    assert months.frame["d"].tolist() == [pd.Timestamp(2000, 1, 1), pd.Timestamp(2000, 12, 1)]
