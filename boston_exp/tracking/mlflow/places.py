"""Where a record is, in words and as the command that shows it."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from boston_exp.tracking.destination import Destination


def shown_place(destination: Destination) -> str:
    """Store, who chose it, and experiment, for the summary."""
    why = "" if destination.server else f" ({destination.why})"
    return f"{destination.shown_uri}{why}, experiment {destination.experiment_name}"


def ui_command(destination: Destination) -> str:
    """Opens MLflow's pages on this store, with the program that belongs to this Python."""
    beside = Path(sys.executable).with_name("mlflow")
    if shutil.which("mlflow") == str(beside):
        program = "mlflow"
    else:
        program = str(beside.relative_to(Path.cwd())) if beside.is_relative_to(Path.cwd()) else str(beside)
    return f"{shlex.quote(program)} ui --backend-store-uri {shlex.quote(destination.shown_uri)}"
