"""Anybody's table: what is found in a file, what its text becomes, and what is refused with the corrected command."""

from __future__ import annotations

import bz2
import datetime
import gzip
import io
import lzma
import random
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from boston_exp import process
from boston_exp.config import invocation
from boston_exp.config.invocation import Invocation
from boston_exp.config.schema import Config, Data
from boston_exp.errors import InvalidData
from boston_exp.experiment.reading import files
from boston_exp.experiment.reading.table import Read, read
from boston_exp.experiment.table_checks import table_faults


def german(number: float, places: int = 0) -> str:
    return f"{number:,.{places}f}".translate(str.maketrans(",.", ".,"))


def sales(rows: int = 60) -> tuple[str, list[float]]:
    """A list of house sales as a German agent has it, and its prices."""
    draw = random.Random(1)  # noqa: S311 (no secret)
    lines, prices = ["Objekt-ID;PLZ;Ort;Verkauft;Wohnfläche;Garten;Anteil;Preis"], []
    for number in range(rows):
        prices.append(float(draw.randrange(90_000, 3_000_000)))
        lines.append(
            f"A-{number};{draw.randrange(1000, 99999):05d};{draw.choice(['Köln', 'Ulm', 'Bad Orb'])};"
            f"{draw.randint(1, 28):02d}.{draw.randint(1, 12):02d}.{draw.randint(2001, 2023)};"
            f"{german(draw.uniform(30, 3000), 1)};{draw.choice(['ja', 'nein'])};{german(draw.uniform(0, 99), 1)} %;"
            f"{german(prices[-1])} €"
        )
    return "\n".join(lines) + "\n", prices


def reading(folder: Path, content: str | bytes, target: str = "y", name: str = "t.csv", **settings: Any) -> Read:
    """Whatever warns fails."""
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    process.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read(Data(path=str(file), target=target, **settings))


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


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8", "utf-8-sig", "utf-16"])
def test_a_german_list_of_sales_is_read_without_a_setting(tmp_path: Path, encoding: str) -> None:
    text, prices = sales()
    made = reading(tmp_path, text.encode(encoding), "Preis")
    table = made.frame
    assert table["Preis"].tolist() == prices
    assert str(table["Verkauft"].dtype).startswith("datetime64")
    assert table["Garten"].dtype == bool
    assert table["Wohnfläche"].between(30, 3000).all()
    assert table["Anteil"].between(0, 99).all()
    assert table["PLZ"].str.fullmatch(r"\d{5}").all()
    expected = f'separator ";", decimal comma, encoding {encoding}, thousands ".", dates %d.%m.%Y (Verkauft)'
    assert made.found.says == expected.replace("encoding utf-8, ", "")
    assert made.found.recorded()["dates"] == {"Verkauft": "%d.%m.%Y"}


def test_a_plain_file_is_read_as_pandas_reads_it_and_nothing_is_said(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=500), "n": rng.integers(0, 9, 500), "t": rng.choice(["a", "b"], 500)})
    frame.loc[3, "x"] = np.nan
    frame = frame.assign(y=rng.normal(size=500))
    made = reading(tmp_path, frame.to_csv(index=False))
    pd.testing.assert_frame_equal(made.frame, pd.read_csv(tmp_path / "t.csv"), check_column_type=False)
    assert made.found.says == ""


BODY = {
    "comma": ("a,y\n" + "1.5,2\n" * 9, ""),
    "semicolon": ("a;y\n" + "1,5;2\n" * 9, 'separator ";", decimal comma'),
    "tab": ("a b\ty\n" + "1.5\t2\n" * 9, "separator tab"),
    "pipe": ("a|y\n" + "1.5|2\n" * 9, 'separator "|"'),
    "aligned": ("   a   y\n" + " 1.5   2\n" * 9, "separator whitespace"),
    "quoted": ('t,a,y\n' + '"Ulm; a, b\nc",1.5,2\n' * 9, ""),
    "title": ("Sales, all\n\nt;a;y\n" + "Ulm;1,5;2\n" * 9, 'separator ";", decimal comma, 2 lines above the header'),
    "padded title": (
        "Sales;;\nMade 2020;;\n;;\nt;a;y\n" + "Ulm;1,5;2\n" * 9,
        'separator ";", decimal comma, 3 lines above the header',
    ),
    "control characters": ("Sales\x0b of\x85 2020\nt;a;y\n" + "Ulm;1,5;2\n" * 9,
                           'separator ";", decimal comma, 1 line above the header'),
    "excel's line": ("sep=;\na;y\n" + "1,5;2\n" * 9, 'separator ";", decimal comma, 1 line above the header'),
}  # fmt: skip


@pytest.mark.parametrize("kind", BODY)
def test_separators_titles_and_decimal_marks_are_found(tmp_path: Path, kind: str) -> None:
    text, says = BODY[kind]
    made = reading(tmp_path, text)
    assert made.found.says.removeprefix("") == says
    numbers = made.frame.select_dtypes("number")
    assert numbers.iloc[:, 0].tolist() == [1.5] * 9
    assert made.frame["y"].tolist() == [2] * 9


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("größe;y\n5 €;1\n", "cp1252"), ("miasto;y\nŁódź;3\nWrocław;4\nGdańsk;5\n", "cp1250"),
        ("город;y\nМосква;3\nКазань;4\n", "cp1251"),
        ("都市;y\n東京;3\n大阪;4\n", "shift_jis"), ("a;y\nü;3\n", "latin-1"),
    ],
)  # fmt: skip
def test_encodings_are_found_in_a_few_words(tmp_path: Path, text: str, encoding: str) -> None:
    made = reading(tmp_path, text.encode(encoding))
    names, first = (line.split(";")[0] for line in text.splitlines()[:2])
    assert made.frame.columns[0] == names
    assert str(made.frame.iloc[0, 0]) in (first, "5.0")


def test_one_column_stays_one(tmp_path: Path) -> None:
    assert reading(tmp_path, "name of town\n" + "Bad Orb\nUlm\n" * 20).frame.shape == (40, 1)


def test_a_file_without_header_is_seen_and_years_may_be_names(tmp_path: Path) -> None:
    rows = "".join(f"0.{n}1,Ulm,{n}\n" for n in range(1, 9))
    named = reading(tmp_path, f"?,Ulm,NA\n{rows}", "c", columns=["a", "b", "c"]).frame
    assert named["a"].isna().tolist() == [True] + [False] * 8
    assert list(reading(tmp_path, "x,y\n1,2\n", "b", columns=["a", "b"], header=True).frame["a"]) == [1]
    assert reading(tmp_path, rows, "2").frame.shape == (8, 3)
    months = reading(tmp_path, "town,2019-01,2019-02\n" + "Ulm,1.5,2.5\n" * 8, "2019-02").frame
    assert list(months.columns) == ["town", "2019-01", "2019-02"]
    wide = reading(tmp_path, "town,2019,2020\n" + "Ulm,1.5,2.5\n" * 8, "2020").frame
    assert list(wide.columns) == ["town", "2019", "2020"]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1.100.490", "450.000", "2.944"], [1100490, 450000, 2944]),
        (["1,234.5", "12"], [1234.5, 12]),
        (["1 234,5", "12"], [1234.5, 12]),
        (["1'234.50", "12"], [1234.5, 12]),
        (["12,5 %", "3 %", "k.A."], [12.5, 3, np.nan]),
        (["€ 1.234,50", "€ 3,00"], [1234.5, 3]),
        (["$1,234", "-$12"], [1234, -12]),
        (["1.234 EUR", "12 EUR"], [1234, 12]),
        (["03:00:00", "00:00:10"], [10800, 10]),
        (["2 days 03:00:00", "1 day 00:00:00"], [183600, 86400]),
        (["1:05 PM", "12:30 am"], [47100, 1800]),
        (["08:15", "23:59:30"], [29700, 86370]),
        (["12.3 kg", "7 kg", "nd"], [12.3, 7, np.nan]),
        (["210,650 mi", "1,200 mi"], [210650, 1200]),
        (["65 m²", "1.065,5 m²"], [65, 1065.5]),
        (["80km/h", "-3km/h"], [80, -3]),
        (["(12.30)", "5", "1,000.25"], [-12.3, 5, 1000.25]),
        (["$(1,200)", "$30"], [-1200, 30]),
        (["#DIV/0!", "1.5", "..", ".", "N/D", "unknown"], [np.nan, 1.5, *[np.nan] * 4]),
        (["yes", "no"], [True, False]),
        (["true", "-", "false"], [True, np.nan, False]),
    ],
)
def test_text_becomes_the_numbers_that_it_stands_for(tmp_path: Path, cells: list[str], expected: list[Any]) -> None:
    rows = "".join(f'"{cell}"\t1\n' for cell in cells)
    values = reading(tmp_path, f"a\ty\n{rows}").frame["a"].tolist()
    assert values == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    "cells",
    [
        ["01069", "12345"], ["1,5", "1.5"], ["12 %", "3"], ["1.1.2020", "2020-01-01"], ["A1", "2"],
        ["1.2.10", "2.3.20"], ["5 €", "5 $"], ["192.168.0.1", "1.1.1.1"], ["yes", "perhaps"],
        ["2000-13", "2000-01"], ["25:10", "08:15"], ["13:05 PM", "1:05 PM"], ["1:05 PM", "13:05"], ["5 kg", "5 g"],
        ["3A", "4B"], ["12 pieces", "1 pieces"], ["(a)", "1"], ["(1)", "(2)"], ["(-5)", "1"], ["unknown", "."],
        ["unknown", "A"],
    ],
)  # fmt: skip
def test_what_fits_no_one_pattern_stays_text(tmp_path: Path, cells: list[str]) -> None:
    rows = "".join(f"{cell}\t1\n" for cell in cells)
    assert reading(tmp_path, f"a\ty\n{rows}").frame["a"].tolist() == cells


def test_an_order_of_day_and_month_that_nothing_shows_is_said(tmp_path: Path) -> None:
    made = reading(tmp_path, "d,y\n01/02/2003,1\n03/04/2003,2\n")
    assert made.found.says == "dates %m/%d/%Y (d; %d/%m/%Y fits as well: data.date_format decides)"
    assert made.frame["d"][0] == pd.Timestamp(2003, 1, 2)
    given = reading(tmp_path, "d,y\n01/02/2003,1\n03/04/2003,2\n", date_format="%d/%m/%Y")
    assert given.frame["d"][0] == pd.Timestamp(2003, 2, 1)
    assert given.found.says == ""
    shown = reading(tmp_path, "d,y\n01/02/2003,1\n31/04/2003,2\n30/04/2003,3\n")
    assert shown.found.says == ""  # the 31st of April is none: text
    assert reading(tmp_path, "d,y\n01/02/2003,1\n30/04/2003,2\n").frame["d"][0] == pd.Timestamp(2003, 2, 1)


def test_a_format_of_dates_that_fits_no_column_is_refused(tmp_path: Path) -> None:
    typed = "data.date_format=%d.%m.%Y"
    says, mend = refused(tmp_path, "d,y\n2003-01-02,1\n2003-01-03,2\n", typed, date_format="%d.%m.%Y")
    assert says == "data.date_format=%d.%m.%Y fits all values of no column."
    assert mend == COMMAND
    months = reading(tmp_path, "d,y\n2000-01,1\n2000-12,2\n")
    assert months.frame["d"].tolist() == [pd.Timestamp(2000, 1, 1), pd.Timestamp(2000, 12, 1)]


def test_types_do_not_depend_on_where_a_file_is_cut_for_guessing(tmp_path: Path) -> None:
    """pandas guesses by pieces, and warns of what does not agree."""
    rows = 300_000
    text = "flag,code,y\n" + "True,1,1\n" * rows + ",x,1\n"
    table = reading(tmp_path, text).frame
    assert table["flag"].tolist()[:1] == [True]
    assert table["flag"].isna().sum() == 1
    assert set(table["code"]) == {"1", "x"}


def test_a_byte_that_is_no_utf_8_may_come_late(tmp_path: Path) -> None:
    made = reading(tmp_path, b"town,y\n" + b"Ulm,1\n" * 100_000 + "Köln,2\n".encode("cp1252"))
    assert made.frame["town"].iloc[-1] == "Köln"
    assert made.found.says == "encoding cp1252"


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


def test_rows_without_a_target_are_left_out_where_that_is_asked_for(tmp_path: Path) -> None:
    made = reading(tmp_path, "a,y\n1,2\n2,\n3,4\n", missing_target="drop")
    assert made.without_target == 1
    assert made.frame.index.tolist() == [0, 1]
    assert made.frame["a"].tolist() == [1, 3]


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


def test_the_bundled_case_is_read_as_ever() -> None:
    from boston_exp.config.settings import PROJECT_ROOT
    from tests.config.test_composition import composed

    made = read(composed().data)
    file = PROJECT_ROOT / "data" / "raw" / "housing.csv"
    pd.testing.assert_frame_equal(
        made.frame, pd.read_csv(file, sep=r"\s+", header=None, names=composed().data.columns), check_column_type=False
    )
    assert made.found.says == ""
