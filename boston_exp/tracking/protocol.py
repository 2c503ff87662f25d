"""What every tracker takes and gives; tests/contract/ holds each backend to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from boston_exp.redaction import redact

if TYPE_CHECKING:  # this module is imported before anything heavy is
    import pandas as pd
    from sklearn.base import BaseEstimator


class _Redacted:
    """A record's texts, without secrets from the moment they exist."""

    def __post_init__(self) -> None:
        for item in fields(self):  # type: ignore[arg-type]
            value = getattr(self, item.name)
            if isinstance(value, str):
                object.__setattr__(self, item.name, redact(value))
            elif isinstance(value, dict):
                object.__setattr__(self, item.name, {name: redact(text) for name, text in value.items()})


@dataclass(frozen=True)
class Plan(_Redacted):
    """What is known of a run before the fit, recorded at once so that a crash leaves a useful record."""

    name: str
    params: dict[str, str]
    tags: dict[str, str]
    dataset_name: str
    dataset_md5: str
    dataset_source: str
    table: pd.DataFrame  # features and target as pandas read them, for the dataset's schema and profile
    target: str


@dataclass(frozen=True)
class Outcome:
    """What a run has to show after the fit."""

    metrics: dict[str, float]
    files: Path  # a folder whose whole content becomes the run's artifacts
    estimator: BaseEstimator  # fitted
    example: pd.DataFrame  # training rows as pandas read them, for the model's signature and input example
    requirements: tuple[str, ...]  # pinned, what the model needs to be loaded
    trusted_packages: tuple[str, ...]  # whose types may be inside of the stored model
    store_model: bool
    tags: dict[str, str] = field(default_factory=dict)  # known after the fit


@dataclass(frozen=True)
class Finished:
    """A run that was recorded as FINISHED before."""

    run_id: str
    metrics: dict[str, float]


@dataclass(frozen=True)
class SweepPlan(_Redacted):
    """What is known of a sweep before its first point; the same key means the same sweep, continued."""

    key: str
    name: str
    params: dict[str, str]
    tags: dict[str, str]
    metrics: tuple[str, ...] = ()  # that a point has to have, to count as done


class Recording(Protocol):
    """An open run. Left by an exception it is closed as FAILED, or as KILLED after an interruption."""

    @property
    def run_id(self) -> str | None: ...

    @property
    def where(self) -> str:
        """For the summary; without secrets."""

    @property
    def next_command(self) -> str | None:
        """Shows the user what was recorded."""

    def log(self, outcome: Outcome) -> None:
        """Write all of it; raises RecordingFailed, and the run is then not FINISHED."""


Refit = Callable[[], AbstractContextManager[Outcome]]


class SweepRecording(Protocol):
    """The parent of a sweep's runs, open. Left by an exception it is closed as FAILED or KILLED, as a run is."""

    @property
    def run_id(self) -> str | None: ...

    @property
    def where(self) -> str: ...

    @property
    def next_command(self) -> str | None: ...

    def finished_points(self) -> dict[str, Finished]:
        """What earlier parts of this sweep have done, by the key of the point."""

    def finished(self, run_id: str) -> Finished | None:
        """A point's run, if it is FINISHED: its worker may have been killed before it could say so."""

    def fail(
        self, run_id: str | None, name: str, params: dict[str, str], tags: dict[str, str], message: str
    ) -> str | None:
        """Record a point as FAILED: its own run where it had opened one, else a new one. Returns the run's id."""

    def point_ended(self, run_id: str | None) -> None:
        """The run of a point is closed, by whatever process, or taken from before: where there is a server, publish it
        in the background, unless it is there."""

    def log(self, metrics: dict[str, float], tags: dict[str, str], files: Path) -> None:
        """Counts, what is known of the best point, and files; an earlier part's are replaced."""

    def store_model(self, run_id: str, refit: Refit) -> None:
        """Store the best point's model on the parent: a copy of what that run has stored, else what `refit` gives.

        Idempotent: the same run's model is stored once.
        """


class Tracker(Protocol):
    @property
    def outage(self) -> str | None:
        """Why the server that runs are published to does not answer; None if it does, or if there is none."""

    def start(self, plan: Plan) -> AbstractContextManager[Recording]:
        """Open a run; raises StoreUnusable before anything was trained if that is impossible."""

    def find_finished(self, fingerprint: str, with_model: bool, metrics: Sequence[str]) -> Finished | None:
        """The newest FINISHED run of this experiment with that fingerprint, with a stored model where one is wanted.

        A whole one: with all of these metrics, and completely published where it is on a server alone.
        """

    def sweep(self, plan: SweepPlan) -> AbstractContextManager[SweepRecording]:
        """Open the parent of a sweep, the same one again if it was interrupted.

        Raises StoreUnusable if it cannot be written, or is being written by another process at this moment.
        """


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
        """Whether it is a sweep's run, which has ranges and points, and no model of its own."""
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
