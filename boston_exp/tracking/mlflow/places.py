"""Where a record is, in words and as the command that shows it."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from boston_exp.tracking.destination import Destination
from boston_exp.tracking.mlflow.pages import address

LOCAL = "http://127.0.0.1:5000"  # where `mlflow ui` serves


class Placed:
    """A record in a store."""

    def __init__(self, destination: Destination, run_id: str, experiment_id: str, view: str) -> None:
        self.run_id = run_id
        self.view = view  # key of the list of runs that shows it
        self._destination = destination
        self._page = address(LOCAL, experiment_id, view)

    @property
    def where(self) -> str:
        """Store, who chose it, and experiment, for the summary."""
        place = self._destination
        why = "" if place.server else f" ({place.why})"
        return f"{place.shown_uri}{why}, experiment {place.experiment_name}"

    @property
    def next_command(self) -> str:
        """Serves MLflow's pages on this store, and the address of the list that has the record."""
        return f"{ui_command(self._destination)}\n{self._page}"


def ui_command(destination: Destination) -> str:
    """`mlflow ui` on a store, with the program that belongs to this Python."""
    beside = Path(sys.executable).with_name("mlflow")
    if shutil.which("mlflow") == str(beside):
        program = "mlflow"
    else:
        program = str(beside.relative_to(Path.cwd())) if beside.is_relative_to(Path.cwd()) else str(beside)
    return f"{shlex.quote(program)} ui --backend-store-uri {shlex.quote(destination.shown_uri)}"
