"""What is recorded: runs as a store has them, to be read, ranked and removed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class RecordedRun:
    """A run as its store has it, with everything that it holds. Times are in ms since 1970."""

    run_id: str
    name: str
    status: str
    start_time: int
    end_time: int | None
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]

    @property
    def is_sweep(self) -> bool:
        """Whether it is a sweep's run, which has ranges and points; its model is its best point's."""
        return "sweep.key" in self.tags

    def param(self, name: str) -> str:
        """A param's text; empty where it is None or the run has none."""
        text = self.params.get(name, "")
        return "" if text == "None" else text


FINISHED = "attributes.status = 'FINISHED'"  # a condition of a history


def joined(*conditions: str) -> str:
    """Conditions of which all have to hold; empty ones say nothing."""
    return " and ".join(filter(None, conditions))


class History(Protocol):
    """The recorded runs of some experiments, read only: opening it creates and closes nothing.

    `where` is a condition in MLflow's search syntax, all of whose parts have to hold.
    https://mlflow.org/docs/latest/ml/search/search-runs/
    """

    def best(self, metric: str, direction: str, top: int, where: str = "") -> list[RecordedRun]:
        """FINISHED runs that have the metric, the best first; `direction` is `minimize` or `maximize`."""

    def newest(self, where: str = "", top: int | None = None) -> list[RecordedRun]:
        """Runs of any status, the newest first."""

    def count(self, where: str = "", expected: int = 0) -> int:
        """How many runs there are, those that were deleted included; quicker where it is the expected number."""

    def named(self, text: str) -> list[str]:
        """Ids, in all experiments, of the runs whose id begins with this, or whose id had before they were published,
        or has where they were published to."""

    def registered(self, uri: str) -> str | None:
        """The run that `models:/<name>@<alias>` or `models:/<name>/<version>` comes from; None if there is none."""

    def run(self, run_id: str) -> RecordedRun | None:
        """One run, or None where the store has no such run."""

    def children(self, parent_id: str) -> list[RecordedRun]:
        """The runs of a sweep, the newest first."""

    def models(self, run_id: str) -> list[str]:
        """`models:/<id>` of each model of the run that is whole and was not deleted."""

    def artifact(self, run_id: str, path: str, folder: Path) -> Path | None:
        """Download one artifact into `folder`; None where the run has no such artifact."""


class Removal(Protocol):
    """Takes runs out of a store for good, with what belongs to them; what is registered stays."""

    def registered(self) -> set[str]:
        """Ids of the runs and models that a version of a registered model points at."""

    def models(self, run_id: str) -> list[str]:
        """Ids of all models of the run, those included that are not whole or were deleted."""

    def size(self, run_id: str) -> int | None:
        """Bytes of artifacts and models of the run that would be free; None where that cannot be known from here."""

    def remove(self, run_id: str) -> None:
        """Remove the files, then models and run. Interrupted, the run is still there, and it can be called again.

        Files outside of the place that this store has for artifacts stay.
        """

    def deleted(self) -> list[RecordedRun]:
        """Runs that were deleted and still have their files; on a server its own garbage collection removes them."""

    def unowned(self) -> list[Path]:
        """Folders of artifacts and models, on this machine, that no run or model of the store has."""
