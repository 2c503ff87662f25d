"""What was asked for, and where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from boston_exp.config.commands import Reproduce
from boston_exp.config.settings import Typed
from boston_exp.tracking.destination import Destination


@dataclass(frozen=True)
class Asked:
    """The command as it was composed and typed; `root` is the project's folder."""

    config: Reproduce
    typed: Typed
    destination: Destination
    root: Path
