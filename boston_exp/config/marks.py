"""Words for the marks of a table that shell and Hydra take away: `data.sep=semicolon`, `data.decimal=comma`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from boston_exp.config.invocation import again, quoted
from boston_exp.config.schema import Data
from boston_exp.errors import Fault, Kind

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "space": " ", "whitespace": r"\s+"}
DECIMALS = {"comma": ",", "point": "."}
THOUSANDS = {"comma": ",", "point": ".", "space": " ", "apostrophe": "'", "none": "none"}
OF_SETTING: Mapping[str, Mapping[str, str]] = {"sep": SEPARATORS, "decimal": DECIMALS, "thousands": THOUSANDS}


def spell_out(data: Data) -> None:
    """Replace the words by the marks that they stand for, so that a record has one spelling."""
    data.sep = SEPARATORS.get(data.sep or "", data.sep)
    if data.sep == r"\t":
        data.sep = "\t"
    data.decimal = DECIMALS.get(data.decimal or "", data.decimal)
    data.thousands = THOUSANDS.get(data.thousands or "", data.thousands)


def word(setting: str, mark: str) -> str:
    """What a person types for a mark: `semicolon` for `;`, the mark itself, quoted, where there is no word."""
    words = {each: name for name, each in OF_SETTING[setting].items()}
    return words.get(mark) or quoted(mark)


def mark_faults(data: Data) -> Iterator[Fault]:
    """Marks that came empty, which is what a shell makes of `data.sep=;`, and those that are none."""
    for setting, words in OF_SETTING.items():
        mark, example = getattr(data, setting), "semicolon" if setting == "sep" else "comma"
        if mark == "":
            is_sep = setting == "sep"
            why = "a shell ends the command at a bare ;, so type a word" if is_sep else "type a mark or its word"
            says = f"data.{setting} is empty: {why} ({', '.join(words)})."
            yield Fault(says, again(f"data.{setting}={example}"), Kind.VALUE)
        elif setting != "sep" and mark is not None and mark not in words.values():
            says = f"data.{setting}={mark} is not possible: choose one of {', '.join(words)}."
            yield Fault(says, again(f"data.{setting}={example}"), Kind.VALUE)
    if data.decimal and data.decimal == data.thousands:
        says = f"data.decimal and data.thousands are both {word('decimal', data.decimal)}."
        yield Fault(says, again(without=["data.thousands"]), Kind.VALUE)
