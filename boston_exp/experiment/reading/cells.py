"""Text as lines and rows of cells, as pandas splits it."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable

WHITESPACE = r"\s+"
ROWS = 200  # that are looked at


def refuse_twins(names: Iterable[str]) -> None:
    """Raise ValueError for names of columns that cannot be told apart."""
    twice = sorted(name for name, number in Counter(names).items() if number > 1)
    if twice:
        raise ValueError(f"two columns are named {', '.join(twice)}")


def lines_of(text: str) -> list[str]:
    """Lines with their ends, of which there are three kinds; str.splitlines knows more, such as \\x85 and U+2028."""
    return io.StringIO(text, newline="").readlines()


def fields(text: str, sep: str, limit: int = ROWS) -> list[list[str]]:
    """The first rows of a text, blank lines left out."""
    found: list[list[str]] = []
    if sep == WHITESPACE:
        text, sep = re.sub(r"(?m)^ +| +$", "", re.sub(r"[ \t]+", " ", text)), " "
    if len(sep) > 1:
        lines = (line.strip() for line in lines_of(text))
        found = [re.split(sep, line) for line in lines if line][:limit]
        return [[each.strip('"') for each in row] for row in found]
    csv.field_size_limit(1 << 30)
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=sep):
            if row:
                found.append(row)
            if len(found) == limit:
                break
    except csv.Error:
        pass  # pandas will say what is wrong
    return found
