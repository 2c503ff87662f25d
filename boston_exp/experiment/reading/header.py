"""Where the header of a table stands, and whether it has one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import pairwise

from boston_exp.experiment.reading.cells import ROWS
from boston_exp.experiment.reading.dates import is_dated
from boston_exp.experiment.reading.values import GAPS, NUMBER, undressed

ENOUGH = 5  # values below a word that show it to be a name
ABOVE = 20  # lines at most that may stand above the header


def titles(rows: Sequence[Sequence[str]]) -> int:
    """How many rows stand above the header; 0 where that is not plain.

    They have fewer cells than the table; the first row that has as many, but for one in its corner, has names alone.
    `rows` begins with the first line, blank ones included.
    """
    filled = [sum(bool(cell.strip()) for cell in row) for row in rows]
    usual = Counter(number for number in filled if number > 1).most_common(1)
    width = usual[0][0] if usual else 0
    for number, row in enumerate(rows[: ABOVE + 1]):
        if filled[number] <= 1 or (filled[number] < width and row[0].strip()):
            continue
        after = [each for each, cells in zip(rows[number:], filled[number:], strict=True) if cells]
        named = all(cell.strip() or not at for at, cell in enumerate(row[:width]))
        return number if named and has_header(after[:ROWS], ()) else 0
    return 0


def is_value(cell: str) -> bool:
    """Whether a cell has a number or a date, which names of columns are not."""
    return bool(NUMBER.fullmatch(undressed(cell))) or is_dated(cell.strip())


def has_header(rows: Sequence[Sequence[str]], known: Collection[str]) -> bool:
    """Whether the first row has names: known ones, or no values. Years and 0, 1, 2, … are names as well as values, and
    so are dates above something else; any value is one beside a word that stands above values."""
    if not rows:
        return True
    first = [cell.strip() for cell in rows[0]]
    numbered = [cell for cell in first if cell.isdigit()]
    counted = [int(each) for each in numbered]
    in_steps = len(counted) > 1 and all(b - a == 1 for a, b in pairwise(counted)) and first[-len(counted) :] == numbered
    places = set(map(str, range(len(first))))  # what columns are called that have no names
    if any(name.strip() in first and not (is_value(name) and name in places) for name in known):
        return True
    asked_by_place = any(name in places and name not in first for name in known)
    columns = zip(*(row for row in rows if len(row) == len(first)), strict=True)
    if not asked_by_place and any(_named(*cells) for cells in columns):
        return True
    below = [cell.strip() for cell in rows[1]] if len(rows) > 1 else []
    months = {place for place, cell in enumerate(below[: len(first)]) if is_dated(first[place]) and not is_dated(cell)}
    values = [cell for place, cell in enumerate(first) if is_value(cell) and place not in months]
    return not values or (in_steps and values == numbered and len(rows) > 1 and rows[1] != rows[0])


def _named(first: str, *others: str) -> bool:
    """Whether a word stands above values, at least ENOUGH of them, in a column."""
    present = [cell for cell in others if cell.strip().lower() not in GAPS]
    words = first.strip().lower() not in GAPS and not is_value(first)
    return words and len(present) >= ENOUGH and all(map(is_value, present))
