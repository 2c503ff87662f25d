"""What is recorded: runs as a store has them, to be read, ranked and removed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


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


MODELS, RUNS = "models:/", "runs:/"  # how URIs of models begin
LOGGED = f"{MODELS}m-"  # how the URI of a logged model begins
MODEL_OF = "best.model_of"  # tag of a sweep's run: the id of the point that its model is of
SCORED = "scored.run_id"  # tag: of a run that only says how true another one's model was on a table
PRUNED, PRUNED_AFTER = "pruned", "pruned.after"  # tags: of a point that was not finished, and after which fold
PRUNED_TREES = "pruned.trees"  # or with how many trees in all folds
REPRODUCES = "reproduces"  # tag: of a run that was trained to see whether another one's results are the same
FINISHED = "attributes.status = 'FINISHED'"  # a condition of a history
COMPETES = f"tags.{REPRODUCES} IS NULL"  # likewise: of runs that are no repetition of another one


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

    def model(self, run_id: str, uri: str | None, folder: Path) -> Path | None:
        """Download a logged model, `models:/<id>`, or, without one, what lies in the run's `model/`, into a folder that
        exists; None where there is none."""

    def aliases(self) -> dict[str, list[str]]:
        """Of each run that has a registered model with an alias, `<name>@<alias>`."""


@dataclass(frozen=True)
class Adopted:
    """What a run of another store gets when it is copied into the experiment of the run `beside`: its name, and tags,
    params and files besides, or in place of its own."""

    beside: str  # id
    name: str
    tags: dict[str, str]
    params: dict[str, str]
    files: Path  # a folder


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


@dataclass(frozen=True)
class Version:
    """One version of a registered model."""

    name: str
    number: str
    run_id: str
    source: str  # `models:/<id>` of the logged model, or a place
    tags: dict[str, str]

    @property
    def logged(self) -> str | None:
        """The source where it is a logged model."""
        return self.source if self.source.startswith(LOGGED) else None


class Registry(Protocol):
    """Registered models of a store: versions, aliases, and what happened to them. Each call raises StoreUnusable."""

    shown: str  # the store, for people

    def names(self) -> list[str]:
        """Of all registered models."""

    def version(self, name: str, alias_or_number: str) -> Version | None:
        """The version that an alias names, or that has this number."""

    def versions(self, name: str) -> list[Version]:
        """All of a model, the newest first."""

    def aliases(self, name: str) -> dict[str, str]:
        """Version by alias."""

    def create(self, name: str, source: str, run_id: str, tags: dict[str, str], description: str) -> Version:
        """A new version, of a new model where there is none of this name."""

    def remove(self, name: str, number: str) -> None:
        """Take a version away, and the model with the last one; nothing where it is gone."""

    def tag(self, name: str, number: str, tags: dict[str, str]) -> None:
        """Add tags to a version."""

    def point(self, name: str, alias: str, number: str | None) -> None:
        """Have an alias name a version; None: none."""

    def describe(self, name: str, text: str) -> None:
        """Of the registered model itself."""

    def events(self, name: str) -> list[dict[str, Any]]:
        """What happened to the model's aliases, the oldest first: dictionaries with `number`."""

    def note_event(self, name: str, number: int, event: dict[str, Any]) -> None:
        """Add to what happened; the same number again replaces it."""

    def log_artifacts(self, run_id: str, folder: Path, inside: str) -> None:
        """Add a folder's files to a run."""

    def record(self, of: str, name: str, metrics: dict[str, float], tags: dict[str, str], files: Path) -> str:
        """A finished run beside another one, in its experiment; returns its id."""

    def forget_model(self, uri: str) -> None:
        """Delete a logged model that nobody was told of."""
