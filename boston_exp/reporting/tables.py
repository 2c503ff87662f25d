"""A table on stdout, in the format that `format=` asks for."""

from __future__ import annotations

import csv
import json
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

LABEL = 12  # columns of a name before a text
FORMATS = ("table", "json", "csv", "markdown")
# Styles, for terminals that have colours and people who see them: what they say is in the words, too.
WARNING, BAD = "yellow", "bold red"
Row = Mapping[str, Any]
Draw = Callable[[], Iterable[RenderableType]]


def print_rows(rows: Sequence[Row], form: str, draw: Draw, name: str = "rows", about: Row | None = None) -> None:
    """Print rows that share their keys. `draw` gives what people see, tables and sentences; JSON has the rows under
    `name`, beside `about`."""
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
        console = wide_console()
        for part in draw():  # a sentence may have a command in it, which has to stay whole
            console.print(part, soft_wrap=isinstance(part, str | Text))


def plain_table() -> Table:
    """Without lines, its headings dim."""
    return Table(box=None, padding=(0, 2, 0, 0), header_style="dim")


def labelled(name: str, text: str, is_command: bool = False, stderr: bool = False) -> str:
    """A name and what it is about, folded to the width of the terminal; a command stays in one piece."""
    if is_command:
        return f"{name:<{LABEL}}{text}"
    console = Console(stderr=stderr)
    width = console.width if console.is_terminal else 100
    return textwrap.fill(
        text, max(width, 3 * LABEL), initial_indent=f"{name:<{LABEL}}", subsequent_indent=" " * LABEL,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def wide_console() -> Console:
    """As wide as the terminal; 300 columns where the output is a file or a pipe, so that nothing is cut."""
    return _console(300)


def narrow_console() -> Console:
    """As wide as the terminal; 100 columns and no colour where the output is a file or a pipe."""
    return _console(100)


def _console(piped: int) -> Console:
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = piped
    return console


def fits(table: Table, console: Console, folding: Column | None = None, narrowest: int | None = None) -> bool:
    """Whether nothing of it would be cut or wrapped; one column may fold, if so many characters are left for it."""
    if folding is not None:
        folding.max_width = narrowest
    needed = Measurement.get(console, console.options.update(max_width=10_000), table).maximum
    if folding is not None:
        folding.max_width = None
    return needed <= console.width


def _cell(value: object) -> str:
    return str(value).replace("|", r"\|").replace("\n", " ")
