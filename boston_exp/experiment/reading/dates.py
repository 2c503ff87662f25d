"""Dates, date-times and durations that a file has as text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

PARTS = {
    "%Y": r"\d{4}", "%y": r"\d{2}", "%m": r"\d{1,2}", "%d": r"\d{1,2}", "%b": "[A-Za-z]{3}", "%B": "[A-Za-z]{3,9}",
    "%H": r"\d{1,2}", "%I": r"\d{1,2}", "%M": r"\d{2}", "%S": r"\d{2}", "%f": r"\d{1,9}", "%p": "[AaPp][Mm]",
    "%z": r"(?:Z|[+-]\d{2}:?\d{2})",
}  # fmt: skip
DAYS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y-%m"),
    *(f"{first}{mark}{second}{mark}%{year}" for mark in "./-" for year in "Yy"
      for first, second in (("%d", "%m"), ("%m", "%d"))),
    *("%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%d %B %Y", "%d. %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%Y-%b-%d"),
)  # fmt: skip
TIMES = ("", *(f"{mark}{time}{zone}" for mark in " T" for time in (
    "%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%I:%M %p", "%I:%M:%S %p") for zone in ("", "%z", " %z")))  # fmt: skip
CLOCK = r"(\d{1,2}):([0-5]\d)(?::([0-5]\d))?(?:\s*([AaPp])\.?[Mm]\.?)?"
DURATION = r"-?(?:\d+ days?,? )?\d{1,3}:\d{2}:\d{2}(?:\.\d+)?"


@dataclass(frozen=True)
class Dated:
    """Dates (n,) datetime64 without a zone, their format, and another that all of them fit as well.

    Where the text has an offset, they keep the clock of their place: 08:00+01:00 is 08:00."""

    values: pd.Series
    format: str
    alternative: str | None = None


def dated(values: pd.Series, present: np.ndarray, given: str | None, day_first: bool) -> Dated | None:
    """Text as dates where all that are present fit one format; `day_first` decides where two orders fit them all.

    Days come first, too, where points stand between the parts: nobody writes 12.31.2003.
    """
    first = str(values[present].iloc[0])
    candidates = [given] if given else _formats(first)
    fitting = []
    for form in candidates:
        if not given and not values[present].str.fullmatch(_expression(form)).all():
            continue
        found = _parsed(values.where(present), form)
        if found[present].notna().all():
            fitting.append((form, found))
    if not fitting:
        return None
    fitting.sort(key=lambda each: _order(each[0]) != (day_first or "." in each[0][:5]))
    (form, chosen), *others = fitting
    doubtful = next((each for each, found in others if not found.equals(chosen)), None)
    return Dated(chosen, form, doubtful)


def _parsed(values: pd.Series, form: str) -> pd.Series:
    """As datetime64, NaT where a value does not fit. An offset has to fit, and is left away."""
    local, zone, rest = form.partition("%z")
    if zone and not rest:
        offset = values.str.extract(f"({PARTS[zone]})$", expand=False)
        cut = values.str.replace(f"{PARTS[zone]}$", "", regex=True).str.strip()
        values, form = cut.where(offset.notna()), local.strip()
    return pd.to_datetime(values, format=form, errors="coerce", utc=bool(rest)).dt.tz_localize(None)


def seconds(values: pd.Series, present: np.ndarray) -> pd.Series | None:
    """Text as (n,) float64 in seconds, where all that are present are durations such as 07:30:00, or times of day
    such as 07:30 and 7:30 PM, counted from midnight."""
    if not values[present].str.fullmatch(DURATION).all():
        return _of_day(values, present)
    found = pd.to_timedelta(values.where(present).str.replace(",", ""), errors="coerce")
    return found.dt.total_seconds() if found[present].notna().all() else None


def _of_day(values: pd.Series, present: np.ndarray) -> pd.Series | None:
    parts = values.where(present).str.extract(f"^{CLOCK}$")
    halves = parts[3].str.lower()
    hours, minutes, rest = (parts[place].astype("float64") for place in range(3))
    if halves[present].notna().all():
        fits = hours.between(1, 12)
        hours = hours % 12 + 12 * (halves == "p")
    else:
        fits = hours.between(0, 23) & halves.isna()
    return 3600 * hours + 60 * minutes + rest.fillna(0) if fits[present].all() else None


def is_dated(text: str) -> bool:
    """Whether a text is a date, a duration or a time of day."""
    return bool(re.fullmatch(f"{DURATION}|{CLOCK}", text) or _formats(text))


def _formats(text: str) -> list[str]:
    """Those that a text fits."""
    if not re.match(r"[A-Za-z]{3}|\d", text):
        return []
    days = [day for day in DAYS if re.match(_expression(day), text)]
    return [form for day in days for time in TIMES if re.fullmatch(_expression(form := day + time), text)]


def _order(form: str) -> bool:
    """Whether the day stands before the month."""
    return form.startswith("%d")


@cache
def _expression(form: str) -> str:
    escaped = re.escape(form).replace(r"\%", "%")
    strict = {"%m": r"\d{2}", "%d": r"\d{2}"} if "%y" in form or "%d" not in form else {}  # 1.2.10 is a version
    return re.sub(r"%[A-Za-z]", lambda found: strict.get(found[0]) or PARTS[found[0]], escaped)
