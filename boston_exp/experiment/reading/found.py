"""How a table was read where its configuration left that open: one line for people, a record for machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from boston_exp.config.marks import DECIMALS, SEPARATORS

SHOWN = 3  # columns that are named
NAMES = {mark: word for words in (SEPARATORS, DECIMALS) for word, mark in words.items()}
PLAIN = {"sep": ",", "decimal": ".", "encoding": "utf-8", "header": True, "above": 0}


@dataclass(frozen=True)
class Found:
    """`sniffed` are settings that were found in the file, with what was found; columns by the format of their dates."""

    sniffed: Mapping[str, Any] = field(default_factory=dict)
    dates: Mapping[str, str] = field(default_factory=dict)
    doubtful: Mapping[str, str] = field(default_factory=dict)  # columns by another format that their dates fit, too
    thousands: tuple[str, ...] = ()  # marks that were found between them
    sheet: str | None = None
    other_sheets: tuple[str, ...] = ()

    @property
    def says(self) -> str:
        """`separator ";", decimal comma, …`; empty where nothing is but what pandas does by itself."""
        parts = []
        for name, value in self.sniffed.items():
            if value != PLAIN[name]:
                parts.append(_part(name, value))
        if self.thousands:
            parts.append(f"thousands {' and '.join(map(_marked, self.thousands))}")
        for form in dict.fromkeys(self.dates.values()):
            names = [name for name, each in self.dates.items() if each == form]
            others = sorted({self.doubtful[name] for name in names if name in self.doubtful})
            or_else = f"; {' or '.join(others)} fits as well: data.date_format decides" if others else ""
            more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            parts.append(f"dates {form} ({', '.join(names[:SHOWN])}{more}{or_else})")
        if self.other_sheets:
            parts.append(f"sheet {self.sheet} (data.sheet=… for {', '.join(self.other_sheets[:SHOWN])})")
        return ", ".join(parts)

    def recorded(self) -> dict[str, Any]:
        """For a record: what was found, and nothing that was not."""
        marks = {"thousands": "".join(self.thousands)} if self.thousands else {}
        sheet = {"sheet": self.sheet} if self.sheet else {}
        return {**self.sniffed, **marks, **sheet, **({"dates": dict(self.dates)} if self.dates else {})}


def _part(name: str, value: Any) -> str:
    if name == "sep":
        return f"separator {NAMES[value] if value.isspace() or len(value) > 1 else _marked(value)}"
    if name == "header":
        return "no header"
    if name == "above":
        return f"{value} line{'s' * (value != 1)} above the header"
    return f"{name} {NAMES.get(value, value)}"


def _marked(mark: str) -> str:
    return f'"{mark}"'
