"""Who records a run: one protocol, one module per backend; only the chosen one is imported."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from boston_exp.errors import StoreUnusable
from boston_exp.storage import credentials, s3
from boston_exp.tracking.destination import Destination

if TYPE_CHECKING:
    from boston_exp.storage.s3 import Access
    from boston_exp.tracking.protocol import Tracker

# Read by MLflow when it is imported, which happens in here and nowhere else, or later.
MLFLOW = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # a training run talks to nobody it was not told of
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # the summary says it
    # MLflow's own 7 retries of 120 s each would hold a training up for minutes of silence
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # what does not get there waits here for the next try
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
}
for _name, _value in MLFLOW.items():
    os.environ.setdefault(_name, _value)


def open_tracker(destination: Destination, publishes: bool = True, asks: bool = False) -> Tracker:
    """The tracker of a destination; raises StoreUnusable if its store cannot be opened.

    With a server, runs of a tracker that does not publish wait in the local store for one that does; `asks` says
    whether it may still look there for what is done.
    """
    if destination.backend == "none":
        from boston_exp.tracking.none import NoTracker

        return NoTracker()
    if destination.backend == "dvclive":
        from boston_exp.tracking.dvclive import DvcliveTracker

        return DvcliveTracker(destination)
    if destination.s3 is not None and str(destination.artifact_root).startswith("s3://"):
        _reach_artifacts(destination.s3, str(destination.artifact_root))
    if destination.server and publishes:
        from boston_exp.tracking.local_first import LocalFirstTracker

        return LocalFirstTracker(destination)
    if destination.server and asks:
        from boston_exp.tracking.local_first import AskingTracker

        return AskingTracker(destination)
    from boston_exp.tracking.mlflow import MlflowTracker

    return MlflowTracker(destination)


def _reach_artifacts(way: Access, root: str) -> None:
    """MLflow takes its keys to S3 from the environment; what keeps it from the bucket is told before the training."""
    if (way.endpoint_url, root) in _reached:
        return
    fault = s3.fault(way, root.removeprefix("s3://").partition("/")[0])
    if fault:
        raise StoreUnusable(fault)
    credentials.into_environment(way.variables())
    _reached.add((way.endpoint_url, root))


_reached: set[tuple[str | None, str]] = set()
