"""What a cluster is to a sweep: it takes points, and says which of them it still has, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

RAY, SLURM, PROCESSES = CLUSTERS = ("RayLauncher", "SlurmLauncher", "LocalLauncher")  # classes of Hydra's launchers


@dataclass(frozen=True)
class Place:
    """Where a point is that a cluster has: its job there, and the node that runs it, "" while it waits for one."""

    job: str
    node: str = ""


class Cluster(Protocol):
    """Points are known by their numbers: those of their folders, and of what they say in the mailbox."""

    name: str  # as people call it
    count: int  # points that run at once
    queues: bool  # takes more points than it can run at once
    every: float  # seconds between looks at it, which cost it something

    def submit(self, numbers: Sequence[int]) -> None:
        """Have these points run; their tasks are in the mailbox."""

    def places(self) -> dict[int, Place]:
        """The points that it has: they wait or run. One that is missing has ended, however it did, or was never
        submitted. What points say that have no folder in common with this process is put into its mailbox first.

        Raises ClusterUnusable where it does not answer.
        """

    def cancel(self) -> None:
        """End all points that it has; each is given time to close its run."""

    def close(self) -> None:
        """Let go of it; its points go on."""
