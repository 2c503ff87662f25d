"""What a promoted model is called: in the registry, in DVC, in git's tags."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from boston_exp.config.invocation import again
from boston_exp.errors import Fault, Kind

CHAMPION, PREVIOUS = "champion", "previous"
# What MLflow, DVC and GTO all take; without a slash, which would be a folder.
ALLOWED = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9_-]*[a-zA-Z0-9])?")
LONGEST = 100  # characters
RULE = "letters, digits, - and _, the first and last of them a letter or digit"


def registered_name(name: str | None, experiment: str) -> str:
    """The name that was asked for, else that of the experiment in what GTO takes: `haeuser-2024` of häuser 2024."""
    if name is not None:
        return name
    for letter, instead in (("ä", "ae"), ("ö", "oe"), ("ü", "ue"), ("Ä", "Ae"), ("Ö", "Oe"), ("Ü", "Ue"), ("ß", "ss")):
        experiment = experiment.replace(letter, instead)
    plain = unicodedata.normalize("NFKD", experiment).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-zA-Z0-9_]+", "-", plain).strip("-_") or "model"


def previous(alias: str) -> str:
    """The alias of the version that had this one before."""
    return PREVIOUS if alias == CHAMPION else f"{alias}-{PREVIOUS}"


def faults(name: str, alias: str) -> Iterator[Fault]:
    """What is wrong with them."""
    if not ALLOWED.fullmatch(name):
        yield Fault(f"name={name} cannot be a model's name: it takes {RULE}.", again("name=boston-housing"), Kind.VALUE)
    for key, text in (("name", name), ("alias", alias)):
        if len(text) > LONGEST:
            says = f"{key}={text[:20]}… has {len(text)} characters: it may have {LONGEST}."
            yield Fault(says, again(f"{key}={text[:LONGEST]}"), Kind.VALUE)
    taken = alias == PREVIOUS or alias.endswith(f"-{PREVIOUS}")
    if taken or alias.lower() == "latest" or re.fullmatch(r"[vV]?\d+", alias) or not ALLOWED.fullmatch(alias):
        why = f"it takes {RULE}" if not ALLOWED.fullmatch(alias) else "it means something else already"
        yield Fault(f"alias={alias} cannot be an alias: {why}.", again("alias=champion"), Kind.VALUE)
