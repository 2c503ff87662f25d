"""What text stands for: numbers with grouped digits, percent signs, a currency or a unit, booleans, durations, dates.

A unit has at most five letters, ° ² ³ or slashes, and is the same in every value: 12.3 kg, 65 m², 80 km/h. Where other
values of a column are numbers, (12.30) is a negative one, as in accounts, and unknown or #DIV/0! is a gap.

A column is converted when all of its values fit one pattern, gaps aside; otherwise its text stays text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from boston_exp.experiment.reading.dates import Dated, dated, seconds

GAPS = {"", "-", "–", "—", "?", "na", "n/a", "n.a.", "nan", "none", "null", "nil", "k.a.", "k. a.", "missing"}
AMONG_NUMBERS = GAPS | {
    *("n/d", "n.d.", "nd", ".", "..", "...", "unknown", "unbekannt"),
    *("#n/a", "#div/0!", "#value!", "#ref!", "#num!", "#name?", "#null!"),
}  # fmt: skip
TRUE, FALSE = {"true", "yes", "ja", "wahr"}, {"false", "no", "nein", "falsch"}
GROUPING = {",": ",", ".": r"\.", " ": r"[ \u00a0\u2009\u202f]", "'": "['’]"}
DECIMAL = {",": ",", ".": r"\."}
CURRENCY = r"[€$£¥₹₩₽₺]|US\$|CA\$|A\$|R\$|EUR|USD|GBP|CHF|JPY|CNY|INR|SEK|NOK|DKK|PLN|CZK|HUF|AUD|CAD|Fr\.|kr\.?|zł|Kč"
UNIT = r"(?:[^\W\d_]|[°²³/]){1,5}"
_SIGNED = rf"([-+−]?)\s*({CURRENCY}|)\s*([-+−]?)\s*([\d.,].*?)\s*"
PRICED = re.compile(rf"{_SIGNED}({CURRENCY}|%|)", re.IGNORECASE)
DRESSED = re.compile(rf"{_SIGNED}({CURRENCY}|%|{UNIT}|)", re.IGNORECASE)
IN_ACCOUNTS = r"^([^\d(]*)\(([^()]+)\)([^()]*)$"
NUMBER = re.compile(r"[-+]?(\d[\d., '’]*|[.,]\d+)([eE][-+]?\d+)?")  # or what may be one
PROBE = 100  # first values that decide whether a column is looked at in full
WHOLE = 2.0**53  # below it, a float holds every whole number


@dataclass(frozen=True)
class Marks:
    """How numbers are written. `other`: a column may also have the other decimal mark. `grouping`: marks that may
    stand between thousands."""

    decimal: str = "."
    other: bool = True
    grouping: tuple[str, ...] = (",", ".", " ", "'")

    def styles(self) -> Iterator[tuple[str, str]]:
        """Pairs of decimal mark and thousands mark, '' for none, in the order in which they are tried."""
        second = "," if self.decimal == "." else "."
        for decimal in (self.decimal, *([second] if self.other else ())):
            yield decimal, ""
            for group in self.grouping:
                if group != decimal:
                    yield decimal, group


@dataclass(frozen=True)
class Written:
    """A column of text as numbers (n,) float64, and where a value that is present is none, (n,) bool."""

    numbers: np.ndarray
    unfit: np.ndarray
    decimal: str
    thousands: str  # '' where no value has any
    sign: str  # a currency, % or a unit, '' without


@dataclass(frozen=True)
class Column:
    """A converted column and how it was written."""

    values: pd.Series
    written: Written | None = None
    dated: Dated | None = None


def converted(text: pd.Series, marks: Marks, date_format: str | None = None) -> Column | None:
    """A column of text as what all of its values are: numbers, booleans, seconds, dates. None: it is text.

    Numbers are int64 where they are whole and without gaps, else float64; booleans bool, with gaps object; durations
    seconds in float64; dates datetime64.
    """
    few = pd.Series(text.iloc[:PROBE].dropna().unique(), dtype=object).str.strip()
    few = few[~few.str.lower().isin(AMONG_NUMBERS)].reset_index(drop=True)
    if len(few) and _column(few, np.ones(len(few), bool), marks, date_format) is None:
        return None
    codes, distinct = pd.factorize(text)
    values = pd.Series(distinct, dtype=object).str.strip()
    present = ~values.str.lower().isin(GAPS).to_numpy()
    if not present.any():
        return None
    found = _column(values, present, marks, date_format)
    if found is None:
        return None
    gap = len(found.values) if (codes < 0).any() else None
    kind = found.values.dtype.kind
    spread = (
        found.values if gap is None else found.values.astype({"i": float, "b": object}.get(kind, found.values.dtype))
    )
    taken = spread.reindex(np.where(codes < 0, len(spread), codes)) if gap is not None else spread.take(codes)
    return Column(taken.set_axis(text.index), found.written, found.dated)


def _column(values: pd.Series, present: np.ndarray, marks: Marks, date_format: str | None) -> Column | None:
    words = values[present].str.lower()
    if words.isin(TRUE | FALSE).all():
        flags = values.str.lower().isin(TRUE)
        return Column(flags if present.all() else flags.astype(object).where(present, np.nan))
    elapsed = seconds(values, present)
    if elapsed is not None:
        return Column(elapsed)
    dates = dated(values, present, date_format, day_first=marks.decimal == ",")
    if dates is not None:
        return Column(dates.values, dated=dates)
    written = numbers(values, marks)
    found = pd.Series(written.numbers)
    if written.unfit.any() or found.isna().all():
        return None
    bare = not written.sign and found.notna().all()
    if bare and (found == found.round()).all() and found.abs().max() < WHOLE:
        found = found.astype("int64")
    return Column(found, written)


def numbers(text: pd.Series, marks: Marks) -> Written:
    """The text as numbers, written in the one style that most of its values fit."""
    values = text.astype(object).where(text.notna(), "").astype(str).str.strip()
    present = ~values.str.lower().isin(AMONG_NUMBERS)
    bracketed = values.str.fullmatch(IN_ACCOUNTS) & present
    if bracketed.any() and not bracketed[present].all():
        values = values.str.replace(IN_ACCOUNTS, r"-\1\2\3", regex=True)
    parts = values.str.extract(rf"^{DRESSED.pattern}$", flags=re.IGNORECASE).fillna("")
    sign = (parts[1] + parts[4])[present]
    dress = str(sign.mode().iloc[0]) if len(sign) else ""
    same = present & ((parts[1] + parts[4]) == dress) & ((parts[0] == "") | (parts[2] == ""))
    core = parts[3].where(same, "")
    decimal, group, fits = _style(
        core, present.to_numpy(), marks, money=bool(re.fullmatch(CURRENCY, dress, re.IGNORECASE))
    )
    bare = core.where(fits, "nan")
    grouped = bool(group) and bare.str.contains(GROUPING[group], regex=True).any()
    if grouped:
        bare = bare.str.replace(GROUPING[group], "", regex=True)
    if decimal == ",":
        bare = bare.str.replace(",", ".", regex=False)
    found = pd.to_numeric(bare, errors="coerce").to_numpy(dtype=np.float64)
    negative = (parts[0] + parts[2]).isin(["-", "−"]).to_numpy()
    found = np.where(negative, -found, found)
    unfit = present.to_numpy() & (~fits | np.isinf(found))  # 12e4567 is a code
    return Written(found, unfit, decimal, group if grouped else "", dress)


def _style(core: pd.Series, present: np.ndarray, marks: Marks, money: bool) -> tuple[str, str, np.ndarray]:
    """The decimal and the thousands mark that most of the values fit, and which do. Money has two places, where that
    fits: 1.234 € are more than a thousand."""
    best: tuple[str, str, np.ndarray] = (marks.decimal, "", np.zeros(len(core), dtype=bool))
    for places in ("{0,2}", "*") if money else ("*",):
        for decimal, group in marks.styles():
            fits = core.str.fullmatch(pattern(decimal, group, places)).to_numpy(dtype=bool)
            if fits.sum() > best[2].sum():
                best = (decimal, group, fits)
            if fits[present].all():
                return best
    return best


def undressed(cell: str, dress: re.Pattern[str] = PRICED) -> str:
    """A cell without its currency or percent sign, or without what else `dress` allows."""
    found = dress.fullmatch(cell.strip())
    return f"{found[1] or found[3]}{found[4]}" if found else cell.strip()


def pattern(decimal: str, group: str, places: str = "*") -> str:
    """A number without its sign. No leading zero: 01069 is a code."""
    point = DECIMAL[decimal]
    whole = r"0|[1-9]\d*" + (rf"|[1-9]\d{{0,2}}(?:{GROUPING[group]}\d{{3}})+" if group else "")
    return rf"(?:(?:{whole})(?:{point}\d{places})?|{point}\d+)(?:[eE][+-]?\d+)?"
