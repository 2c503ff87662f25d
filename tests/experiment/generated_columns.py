"""Columns of generated tables: what they hold, as a typed file has it, and how a person writes it in a file of text."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

Rng = np.random.Generator
WORDS = ("Köln", "Ulm", "Bad Orb", "St. Gallen", "Łódź", "東京", "a/b", "x;y", "semi, comma", 'say "hi"', "1st", "N°5")
SENTENCE = ("sunny", "flat", "near", "the", "river", "with", "a", "balcony", "and", "two", "cellars,", "schön", "ruhig")


@dataclass(frozen=True)
class Style:
    """How a file of text is written."""

    decimal: str = "."
    thousands: str = ""
    gap: str = ""


@dataclass(frozen=True)
class Column:
    """`values` (n,) as Parquet has them, gaps as None or NaN; `text` writes them, gaps excepted."""

    kind: str
    values: pd.Series
    write: Callable[[object, Style], str] = lambda value, style: str(value)

    def text(self, style: Style) -> list[str]:
        return [
            style.gap if gap else self.write(v, style) for v, gap in zip(self.values, self.values.isna(), strict=True)
        ]


def number(value: object, style: Style, places: int | None = None) -> str:
    """As a person writes it: 1.234,5."""
    shown = f"{value:,.{places}f}" if places is not None else repr(float(str(value)))
    if "e" in shown or places is None:
        return shown.replace(".", style.decimal)
    return shown.translate(str.maketrans({",": style.thousands, ".": style.decimal}))


def whole(value: object, style: Style) -> str:
    return f"{int(float(str(value))):,}".replace(",", style.thousands)


def floats(rng: Rng, n: int) -> Column:
    places = int(rng.integers(0, 5))
    values = np.round(rng.normal(0, 10.0 ** rng.integers(-2, 7), n), places)
    return Column("numbers", pd.Series(values), lambda value, style: number(value, style, places))


def exact(rng: Rng, n: int) -> Column:
    return Column("numbers to the last digit", pd.Series(rng.normal(0, 10.0 ** rng.integers(-9, 12), n)), number)


def integers(rng: Rng, n: int) -> Column:
    high = int(10 ** rng.integers(1, 9))
    return Column("whole numbers", pd.Series(rng.integers(-high * (rng.uniform() < 0.3), high, n)), whole)


def enormous(rng: Rng, n: int) -> Column:
    return Column("numbers beyond 64 bits", pd.Series([float(int(v) * 10**17) for v in rng.integers(1, 10**9, n)]),
                  lambda value, style: str(int(float(str(value)))))  # fmt: skip


def flags(rng: Rng, n: int) -> Column:
    yes, no = [("True", "False"), ("yes", "no"), ("ja", "nein"), ("TRUE", "FALSE"), ("Y", "N"), ("1", "0")][
        rng.integers(6)
    ]
    return Column("true or false", pd.Series(rng.uniform(size=n) < rng.uniform(0.1, 0.9)),
                  lambda value, style: yes if value else no)  # fmt: skip


DATE_FORMATS = ("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%y", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%d %B %Y",
                "%b %d, %Y", "%Y%m%d", "%d.%m.%Y %H:%M", "%I:%M %p", "%Y-%m", "%Y-W%W", "%a %d %b %Y")  # fmt: skip


def dates(rng: Rng, n: int) -> Column:
    form = DATE_FORMATS[rng.integers(len(DATE_FORMATS))]
    start = pd.Timestamp("1970-01-01") + pd.Timedelta(days=int(rng.integers(0, 18000)))
    moments = pd.Series(start + pd.to_timedelta(rng.integers(0, 10**8, n), unit="s"))
    if rng.uniform() < 0.2:
        moments = moments.dt.tz_localize("Europe/Berlin", ambiguous="NaT", nonexistent="NaT")
    return Column("dates", moments, lambda value, style: f"{value:{form}}")


def mixed_dates(rng: Rng, n: int) -> Column:
    forms = [DATE_FORMATS[place] for place in rng.integers(0, len(DATE_FORMATS), n)]
    moments = pd.Timestamp("2001-01-01") + pd.to_timedelta(rng.integers(0, 9000, n), unit="D")
    return Column(
        "dates in several formats", pd.Series([f"{m:{form}}" for m, form in zip(moments, forms, strict=True)])
    )


def far_dates(rng: Rng, n: int) -> Column:
    years = rng.choice([1, 1066, 1492, 1900, 2024, 9999], n)
    return Column("dates of any age", pd.Series([datetime.date(int(year), 1 + int(year) % 12, 3) for year in years]))


def durations(rng: Rng, n: int) -> Column:
    values = pd.Series(pd.to_timedelta(rng.integers(0, 10 ** rng.integers(2, 6), n), unit="s"))
    return Column("durations", values)


def few(rng: Rng, n: int) -> Column:
    values = pd.Series(rng.choice(WORDS[: rng.integers(2, len(WORDS) + 1)], n))
    return Column("few categories", values.astype("category") if rng.uniform() < 0.4 else values)


def many(rng: Rng, n: int) -> Column:
    return Column(
        "many categories", pd.Series([f"type {k}" for k in rng.integers(0, max(2, int(n * rng.uniform(0.1, 0.6))), n)])
    )


def numbered(rng: Rng, n: int) -> Column:
    return Column("numbered categories", pd.Series(rng.integers(1, 6, n)).astype("category"))


def text(rng: Rng, n: int) -> Column:
    return Column("text", pd.Series([" ".join(rng.choice(SENTENCE, rng.integers(2, 12))) for _ in range(n)]))


def hard_text(rng: Rng, n: int) -> Column:
    odd = ("line\nbreak", 'a "quoted" one', "tab\there", "", " ", "=1+2", "{json: [1]}", "-", "ümlaut é", "'", "NA")
    return Column("text that needs quotes", pd.Series(rng.choice(odd, n)))


def identifiers(rng: Rng, n: int) -> Column:
    return Column("identifiers", pd.Series([f"A-{k:06d}" for k in rng.permutation(n)]))


def counted(rng: Rng, n: int) -> Column:
    return Column("rows counted", pd.Series(np.arange(1, n + 1)))


def constant(rng: Rng, n: int) -> Column:
    return Column("constant", pd.Series([["x", 1, 2.5, True][rng.integers(4)]] * n))


def empty(rng: Rng, n: int) -> Column:
    return Column(
        "no value at all", pd.Series([None] * n, dtype=[object, "float64", "Int64", "string"][rng.integers(4)])
    )


def percent(rng: Rng, n: int) -> Column:
    blank = ["", " "][rng.integers(2)]
    return Column("percent", pd.Series([round(float(v), 1) for v in rng.uniform(0, 100, n)]),
                  lambda value, style: number(value, style, 1) + blank + "%")  # fmt: skip


def currency(rng: Rng, n: int) -> Column:
    before, after = [("€ ", ""), ("$", ""), ("", " €"), ("", " EUR"), ("£", ""), ("CHF ", "")][rng.integers(6)]
    return Column("currency", pd.Series(np.round(rng.uniform(1, 10.0 ** rng.integers(2, 7), n), 2)),
                  lambda value, style: before + number(value, style, 2) + after)  # fmt: skip


def garbage(rng: Rng, n: int) -> Column:
    odd = (
        "3",
        "12.5",
        "12,5",
        "abc",
        "1e5",
        "01.02.2003",
        "True",
        "9 %",
        "-",
        "1/2",
        "0x1F",
        "nan",
        "12 km",
        "+3",
        "1.2.3",
    )
    return Column("anything", pd.Series(rng.choice(odd, n)))


def objects(rng: Rng, n: int) -> Column:
    odd = (3, 2.5, "abc", True, datetime.date(2020, 1, 2), decimal.Decimal("1.25"), "12,5")
    return Column("Python's objects", pd.Series([odd[place] for place in rng.integers(0, len(odd), n)], dtype=object))


def codes(rng: Rng, n: int) -> Column:
    return Column("codes with leading zeros", pd.Series([f"{k:05d}" for k in rng.integers(0, 99999, n)]))


def like_numbers(rng: Rng, n: int) -> Column:
    forms: Sequence[Callable[[int], str]] = (
        lambda k: f"{k // 100}.{k % 10}.{k % 7}", lambda k: f"+49 {k:06d}", lambda k: f"10.0.{k % 256}.{k % 100}",
        lambda k: f"{k} km", lambda k: f"1e{k}", lambda k: f"{k}%of", lambda k: f"({k})", lambda k: f"{k}-",
        lambda k: f"{k % 24}:{k % 60:02d}", lambda k: f"{k}/7", lambda k: f"< {k}", lambda k: f"{k}+2j",
        lambda k: f"{k % 9}e",
    )  # fmt: skip
    form = forms[rng.integers(len(forms))]
    return Column("text like numbers", pd.Series([form(int(k)) for k in rng.integers(0, 999_999, n)]))


def infinite(rng: Rng, n: int) -> Column:
    return Column(
        "infinite numbers", pd.Series(np.where(rng.uniform(size=n) < 0.1, np.inf, rng.normal(size=n))), number
    )


def small(rng: Rng, n: int) -> Column:
    dtype = ["int8", "uint16", "float32", "uint64", "Float32", "Int16"][rng.integers(6)]
    return Column("numbers of few bits", pd.Series(rng.integers(0, 100, n)).astype(dtype), number)


def nullable(rng: Rng, n: int) -> Column:
    made = [integers, flags, floats][rng.integers(3)](rng, n)
    return Column(f"{made.kind}, nullable", made.values.convert_dtypes(), made.write)


USUAL = (floats, floats, exact, integers, integers, flags, dates, few, few, many, currency, percent, text, identifiers)
KINDS = (*USUAL, *USUAL, enormous, mixed_dates, far_dates, durations, numbered, hard_text, counted, constant, empty,
         garbage, objects, codes, like_numbers, small, nullable, nullable)  # fmt: skip


def with_gaps(rng: Rng, column: Column) -> Column:
    """A share of the values is missing."""
    missing = rng.uniform(size=len(column.values)) < rng.choice([0.02, 0.2, 0.7])
    values = column.values
    if values.dtype == bool:
        values = values.astype(object if rng.uniform() < 0.5 else "boolean")
    return Column(f"{column.kind}, gaps", values.mask(missing), column.write)


def drawn(rng: Rng, n: int) -> Column:
    """A column of any kind, with gaps in a third of them."""
    made = infinite(rng, n) if rng.uniform() < 0.001 else KINDS[rng.integers(len(KINDS))](rng, n)
    return with_gaps(rng, made) if rng.uniform() < 0.3 else made
