"""Who records a run: one protocol, one module per backend; only the chosen one is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from boston_exp.tracking.destination import Destination

if TYPE_CHECKING:
    from boston_exp.tracking.protocol import Tracker


def open_tracker(destination: Destination) -> Tracker:
    """The tracker of a destination; raises StoreUnusable if its store cannot be opened."""
    if destination.backend == "none":
        from boston_exp.tracking.none import NoTracker

        return NoTracker()
    from boston_exp.tracking.mlflow import MlflowTracker

    return MlflowTracker(destination)
