"""Where a record is, in words and as the command that shows it."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from boston_exp.tracking.destination import Destination


class Placed:
    """A record in a store."""

    def __init__(self, destination: Destination, run_id: str) -> None:
        self.run_id = run_id
        self._destination = destination

    @property
    def where(self) -> str:
        """Store, who chose it, and experiment, for the summary."""
        place = self._destination
        why = "" if place.server else f" ({place.why})"
        return f"{place.shown_uri}{why}, experiment {place.experiment_name}"

    @property
    def next_command(self) -> str:
        """Opens MLflow's pages on this store."""
        return ui_command(self._destination)


def ui_command(destination: Destination) -> str:
    """`mlflow ui` on a store, with the program that belongs to this Python."""
    beside = Path(sys.executable).with_name("mlflow")
    if shutil.which("mlflow") == str(beside):
        program = "mlflow"
    else:
        program = str(beside.relative_to(Path.cwd())) if beside.is_relative_to(Path.cwd()) else str(beside)
    return f"{shlex.quote(program)} ui --backend-store-uri {shlex.quote(destination.shown_uri)}"
