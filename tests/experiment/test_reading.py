"""Anybody's table: what is found in a file of text, and what its text becomes."""

from __future__ import annotations

import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from boston_exp import process
from boston_exp.config.schema import Data
from boston_exp.experiment.reading.table import Read, read


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


def test_rows_without_a_target_are_left_out_where_that_is_asked_for(tmp_path: Path) -> None:
    made = reading(tmp_path, "a,y\n1,2\n2,\n3,4\n", missing_target="drop")
    assert made.without_target == 1
    assert made.frame.index.tolist() == [0, 1]
    assert made.frame["a"].tolist() == [1, 3]


def test_the_bundled_case_is_read_as_ever() -> None:
    from boston_exp.config.settings import PROJECT_ROOT
    from tests.config.test_composition import composed

    made = read(composed().data)
    file = PROJECT_ROOT / "data" / "raw" / "housing.csv"
    pd.testing.assert_frame_equal(
        made.frame, pd.read_csv(file, sep=r"\s+", header=None, names=composed().data.columns), check_column_type=False
    )
    assert made.found.says == ""
