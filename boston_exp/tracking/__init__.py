"""Who records a run: one protocol, one module per backend; only the chosen one is imported."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from boston_exp.tracking.destination import Destination

if TYPE_CHECKING:
    from boston_exp.tracking.protocol import Tracker

# Read by MLflow when it is imported, which happens in here and nowhere else.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # a training run talks to nobody it was not told of
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # the summary says it
# MLflow's own 7 retries of 120 s each would hold a training up for minutes of silence
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # what could not be published stays here, for later
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")


def open_tracker(destination: Destination, publishes: bool = True) -> Tracker:
    """The tracker of a destination; raises StoreUnusable if its store cannot be opened.

    With a server, runs of a tracker that does not publish wait in the local store for one that does.
    """
    if destination.backend == "none":
        from boston_exp.tracking.none import NoTracker

        return NoTracker()
    if destination.server and publishes:
        from boston_exp.tracking.local_first import LocalFirstTracker

        return LocalFirstTracker(destination)
    from boston_exp.tracking.mlflow import MlflowTracker

    return MlflowTracker(destination)
