"""What was typed as a name of a column or of a file, or as a range of hydra.sweeper.spaces, in the quotes that Hydra's
grammar wants for it.

A shell takes the quotes of 'data.target=Fläche (m²)' away, and Hydra's lexer refuses what is then left. A range without
quotes is a sweep to Hydra, which it does not have in its own settings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from boston_exp.config.invocation import quoted

OF_DATA = "target group time weight drop slices columns path target_label target_unit roles"
OTHERS = "input output keep from_model interval_by report name"
NAMES = {*(f"data.{key}" for key in OF_DATA.split()), *OTHERS.split()}
SPACES = "hydra.sweeper.spaces."
UNDERSTOOD = re.compile(r"[\w./:%@?*|+ -]*", re.ASCII)  # by Hydra's lexer, without quotes
GRAMMAR = re.compile(r"[\[{'\"]|.*\$\{|[a-z]+\(|.*,")  # what begins or has these is meant as Hydra reads it


def spelled(arguments: Iterable[str]) -> list[str]:
    """The arguments, names that only quotes keep together quoted."""
    return [_spelled(each) for each in arguments]


def _spelled(argument: str) -> str:
    key, given, value = argument.partition("=")
    if key.lstrip("+").startswith(SPACES) and re.match(r"[^{\['\"]*[,(]", value):
        return f"{key}={quoted(value)}"
    if not given or key.lstrip("+") not in NAMES or UNDERSTOOD.fullmatch(value):
        return argument
    items = value[1:-1].split(",")
    if value[:1] + value[-1:] == "[]" and not re.search(r"[\[\]{}'\"$]", value[1:-1]):
        return f"{key}=[{','.join(quoted(item.strip()) for item in items)}]" if value != "[]" else argument
    return argument if GRAMMAR.match(value) else f"{key}={quoted(value)}"
