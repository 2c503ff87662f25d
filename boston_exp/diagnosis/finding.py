"""What a check found, and all that it may look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from boston_exp.config.commands import Doctor
from boston_exp.config.settings import Typed
from boston_exp.errors import Fault
from boston_exp.tracking.destination import Destination

Fix = Callable[[], str | None]  # mends it; may say what there is to know of that


@dataclass(frozen=True)
class Patient:
    """The composed configuration, and where it leads to."""

    config: Doctor
    typed: Typed
    destination: Destination


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's table; `fix` mends it, where the doctor can."""

    what: str
    state: Literal["ok", "warning", "wrong"]
    says: str
    mend: str = ""
    fix: Fix | None = field(default=None, repr=False)


def ok(what: str, says: str) -> Finding:
    return Finding(what, "ok", says)


def warning(what: str, says: str, mend: str, fix: Fix | None = None) -> Finding:
    return Finding(what, "warning", says, mend, fix)


def wrong(what: str, says: str, mend: str, fix: Fix | None = None) -> Finding:
    return Finding(what, "wrong", says, mend, fix)


def from_fault(what: str, fault: Fault, fix: Fix | None = None) -> Finding:
    """The message that a run would give."""
    return Finding(what, "wrong", fault.says, fault.mend, fix)
