"""A table on stdout, in the format that `format=` asks for."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

FORMATS = ("table", "json", "csv", "markdown")
Row = Mapping[str, Any]


def print_rows(
    rows: Sequence[Row], form: str, draw: Callable[[], Table], name: str = "rows", about: Row | None = None
) -> None:
    """Print rows that share their keys. `draw` makes the table for people; JSON has them under `name`, beside
    `about`."""
    headings = list(rows[0]) if rows else []
    if form == "json":
        print(json.dumps({**(about or {}), name: [dict(row) for row in rows]}, indent=2, default=str))
    elif form == "csv":
        writer = csv.DictWriter(sys.stdout, headings, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    elif form == "markdown":
        lines = [headings, ["---"] * len(headings), *([_cell(row[name]) for name in headings] for row in rows)]
        print("\n".join(f"| {' | '.join(line)} |" for line in lines))
    else:
        wide_console().print(draw())


def wide_console() -> Console:
    """As wide as the terminal; 200 columns where the output is a file or a pipe, so that nothing is cut."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 200)


def _cell(value: object) -> str:
    return str(value).replace("|", r"\|").replace("\n", " ")
