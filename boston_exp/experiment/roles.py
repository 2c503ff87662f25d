"""What each column of a table is to a model: a number, a category, a date, text, an identifier, or constant."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from boston_exp.config.invocation import again
from boston_exp.errors import Fault, did_you_mean
from boston_exp.experiment.reading.values import Marks, numbers

NUMBER, CATEGORY, DATE = "number", "category", "date"
TEXT, IDENTIFIER, CONSTANT = "text", "identifier", "constant"
MANY = "high_cardinality"  # how `preprocess` names categories with more values than FEW
FEW = 30  # values of a category that get a column each
MANY_ROWS = 20  # in fewer, whole numbers may differ by chance
LOOKED_AT, ALMOST = 1000, 0.2  # values, and the share of them that may be something else
NEAR_UNIQUE = 0.5  # values per row: a text with more is no category
WORDS = {"id": IDENTIFIER, **{role: role for role in (NUMBER, CATEGORY, DATE, TEXT, IDENTIFIER, CONSTANT)}}
MARK = "role:"  # before the role, where a preprocess says which columns a transformer takes
# Words in the name of a column whose whole numbers are names: of rows (Objekt-ID, customer_no), of groups of them, of
# people, places, firms.
OF_ROWS = {"id", "ids", "nr", "no", "key", "uuid", "guid", "index", "rownum", "row", "nummer", "number"}
OF_GROUPS = {"id", "ids", "uuid", "guid"}
WHO = {
    *(
        "patient",
        "subject",
        "person",
        "customer",
        "client",
        "user",
        "member",
        "household",
        "family",
        "pupil",
        "student",
    ),
    *("school", "class", "teacher", "hospital", "clinic", "doctor", "store", "shop", "site", "station", "plant"),
    *("machine", "batch", "lot", "firm", "company", "dealer", "agent", "branch", "plz", "zip", "zipcode", "postcode"),
    *("kunde", "patientin", "schule", "filiale", "makler", "firma", "haushalt"),
}
NAMELESS = re.compile(r"unnamed: \d+")  # as pandas calls a column without a name
FEWEST_GROUPS = 5
CAMEL = re.compile(r"(?<=[a-zäöü])(?=[A-ZÄÖÜ])")


@dataclass(frozen=True)
class Role:
    """`reason` says what made it so, in words for the table that `explain=true` prints."""

    name: str
    reason: str
    typed: bool = False  # by data.roles
    many: bool = False  # a category with more than FEW values
    format: str = ""  # of dates that the file has as text
    hint: str = ""  # what of its values keeps a column from being what most of them are

    @property
    def selector(self) -> str:
        """As a preprocess names it, after `role:`."""
        return MANY if self.many else self.name


def roles(
    table: pd.DataFrame, columns: Sequence[str], typed: Mapping[str, str], dates: Mapping[str, str]
) -> dict[str, Role]:
    """Of these columns of a table, in their order; `typed` are those that the user has given, `dates` the formats of
    columns that the file has as text."""
    found = {name: _typed(table[name], typed[name]) if name in typed else role_of(table[name]) for name in columns}
    formats = {name: form for name, form in dates.items() if "%z" not in form}  # the clock's time has no offset
    return {
        name: replace(role, format=formats[name]) if role.name == DATE and name in formats else role
        for name, role in found.items()
    }


def role_of(values: pd.Series) -> Role:
    """By type, distinct values and, for whole numbers, the name of the column."""
    kind, present = values.dtype.kind, values.dropna()
    if not len(present):
        return Role(CONSTANT, "no value in any row")
    if kind == "M":
        return Role(DATE, f"{present.min():%Y-%m-%d} to {present.max():%Y-%m-%d}")
    if kind in "iufb" or pd.api.types.is_bool_dtype(values.dtype):
        return _of_numbers(values, present)
    if pd.api.types.infer_dtype(present, skipna=True) == "boolean":
        return Role(NUMBER, "true or false, some missing")
    return _of_text(values, present)


def _of_numbers(values: pd.Series, present: pd.Series) -> Role:
    if present.min() == present.max() and len(present) == len(values):
        return Role(CONSTANT, f"{present.iloc[0]} in every row")
    if values.dtype.kind == "b":
        return Role(NUMBER, "true or false")
    return _of_whole_numbers(values, present) if values.dtype.kind in "iu" else Role(NUMBER, "numbers")


def _of_whole_numbers(values: pd.Series, present: pd.Series) -> Role:
    """What counts or names rows, or names groups of them, is no number."""
    name = CAMEL.sub(" ", str(values.name)).lower()
    words = set(re.split(r"[\W_]+", name))
    if len(values) >= MANY_ROWS and present.is_unique:
        steps = np.diff(present.to_numpy())
        if (steps > 0).all() and steps.mean() < 2:  # rows may have been left out
            return Role(IDENTIFIER, "counts the rows")
        if words & OF_ROWS or NAMELESS.fullmatch(name):
            return Role(IDENTIFIER, "a whole number of its own in every row, and named as one")
    if words & (OF_GROUPS | WHO):
        distinct = int(present.nunique())
        named = f"{distinct:,} different numbers, named as those of groups"
        if words & OF_GROUPS and distinct > FEW:
            return Role(IDENTIFIER, f"{named}: data.group keeps them whole")
        if words & WHO and FEWEST_GROUPS <= distinct <= len(present) / 2:
            return replace(_category(distinct), reason=named)
    return Role(NUMBER, "whole numbers")


def _of_text(values: pd.Series, present: pd.Series) -> Role:
    text = present.astype(str)
    distinct = int(text.nunique())
    if distinct == 1 and len(present) == len(values):
        return Role(CONSTANT, f"{str(present.iloc[0])[:40]!r} in every row")
    if distinct > max(FEW, NEAR_UNIQUE * len(present)) or (distinct == len(present) >= MANY_ROWS):
        if text.head(LOOKED_AT).str.contains(r"\s\S+\s", regex=True).mean() > 0.5:
            return Role(TEXT, f"{distinct:,} different texts in {len(present):,} rows")
        return Role(IDENTIFIER, f"{distinct:,} different values in {len(present):,} rows", hint=_hint(text))
    return replace(_category(distinct), hint=_hint(text) if distinct > FEW else "")


def _hint(text: pd.Series) -> str:
    """What most of the values are, where most are numbers or all are dates, and one that is not."""
    first = text.iloc[:LOOKED_AT].reset_index(drop=True)
    written = numbers(first, Marks())
    stray = np.flatnonzero(written.unfit)
    if stray.size <= ALMOST * len(first):
        if not stray.size:
            return ""
        few = f"{stray.size:,} of {len(first):,} values are no numbers, for example {first[stray[0]]!r}"
        return f"{few}: with the role number they are gaps"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dates = pd.to_datetime(first, errors="coerce", format="mixed")
    if dates.notna().mean() > 1 - ALMOST and first.str.contains(r"\d[-./ ]\d", regex=True).mean() > 1 - ALMOST:
        return f"dates that fit no one format, for example {first.iloc[0]!r} and {first.iloc[-1]!r}"
    return ""


def _category(distinct: int) -> Role:
    return Role(CATEGORY, f"{distinct:,} different values", many=distinct > FEW)


def _typed(values: pd.Series, name: str) -> Role:
    role = _category(int(values.dropna().nunique())) if name == CATEGORY else Role(name, "")
    return Role(name, "by data.roles", typed=True, many=role.many)


def typed(given: Sequence[str], columns: Sequence[str]) -> tuple[dict[str, str], list[Fault]]:
    """Roles by column from `data.roles`, each `<column>:<role>`, and what is wrong with them."""
    found: dict[str, str] = {}
    faults = []
    for each in given:
        column, _, role = each.rpartition(":")
        if role not in WORDS:
            says = f"data.roles: {column!r} is given the role {role!r}.{did_you_mean(role, WORDS)}"
            faults.append(Fault(f"{says} Roles are {', '.join(WORDS)}.", again(without=["data.roles"])))
        elif column not in columns:
            says = f"data.roles: {column!r} is not a column that could be a feature.{did_you_mean(column, columns)}"
            faults.append(Fault(says, again("explain=true", without=["data.roles"]) + "   (shows the columns)"))
        else:
            found[column] = WORDS[role]
    return found, faults


def is_feature(role: Role, used: set[str]) -> bool:
    """Whether a model gets the column; `used` are the selectors of the preprocess, if it has any."""
    if used:
        return role.selector in used
    return not (role.typed and role.name in (TEXT, IDENTIFIER, CONSTANT))


def of_preprocess(node: Any) -> set[str]:
    """The selectors that a preprocess names; none where it takes every column as it is."""
    if isinstance(node, Mapping):
        return set().union(*map(of_preprocess, node.values()))
    if isinstance(node, list):
        return set().union(*map(of_preprocess, node))
    return {node.removeprefix(MARK)} if isinstance(node, str) and node.startswith(MARK) else set()


def _parsing(node: Any, form: str) -> Any:
    """A transformer whose skrub.ToDatetime, if it has one, takes dates of this format: without, it would guess it from
    the rows that it is given, and whether 01.02. is in January from the first of them."""
    if isinstance(node, Mapping):
        own = {"format": form} if form and node.get("_target_") == "skrub.ToDatetime" else {}
        return {key: _parsing(value, form) for key, value in node.items()} | own
    return [_parsing(item, form) for item in node] if isinstance(node, list) else node


def resolved(node: Any, known: Mapping[str, Role]) -> Any:
    """A preprocess with the names of columns in place of roles; a transformer that no column needs is left out."""
    if isinstance(node, Mapping):
        return {key: resolved(value, known) for key, value in node.items()}
    if not isinstance(node, list):
        return node
    kept = []
    for item in node:
        selector = item[-1] if isinstance(item, list) and item else None
        if isinstance(selector, str) and selector.startswith(MARK):
            wanted = {name: role for name, role in known.items() if role.selector == selector.removeprefix(MARK)}
            for number, form in enumerate(dict.fromkeys(role.format for role in wanted.values())):
                columns = [name for name, role in wanted.items() if role.format == form]
                name, *parts = item[:-1]
                kept.append(
                    [f"{name}_{number}" if number else name, *(_parsing(part, form) for part in parts), columns]
                )
        else:
            kept.append(resolved(item, known))
    return kept
