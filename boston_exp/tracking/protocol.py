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
    overrides: str  # as YAML, for the config/overrides.yaml of a run that fails
    dataset_name: str
    dataset_md5: str
    dataset_source: str
    selected_by: str  # metric
    table: pd.DataFrame  # features and target as pandas read them, for the dataset's schema and profile
    target: str


@dataclass(frozen=True)
class Outcome:
    """What a run has to show after the fit."""

    metrics: dict[str, float]
    files: Path  # a folder whose whole content becomes the run's artifacts
    estimator: BaseEstimator  # fitted
    example: pd.DataFrame  # some training rows as pandas read them, for the model's signature and input example
    requirements: tuple[str, ...]  # pinned, what the model needs to be loaded
    trusted_packages: tuple[str, ...]  # whose types may be inside of the stored model
    store_model: bool
    text_columns: tuple[str, ...] = ()  # features that are text to the model
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
    metrics: tuple[str, ...]  # that a point has to have, to count as done
    swept: tuple[str, ...] = ()  # names of the parameters


@dataclass(frozen=True)
class Failure(_Redacted):
    """A point that failed: what its run is called and has, should it have none yet, and what ended it."""

    name: str
    params: dict[str, str]
    tags: dict[str, str]
    message: str
    trace: str
    overrides: str  # as YAML, for config/overrides.yaml
    story: str


class Recording(Protocol):
    """An open run. Left by an exception it is closed as FAILED, or as KILLED after an interruption."""

    @property
    def run_id(self) -> str | None: ...

    @property
    def where(self) -> str:
        """For the summary; without secrets."""

    @property
    def next_command(self) -> str | None:
        """Shows the user what was recorded; one step a line."""

    def log(self, outcome: Outcome) -> None:
        """Write all of it; raises RecordingFailed, and the run is then not FINISHED."""

    def log_files(self, files: Path) -> None:
        """What a run that is pruned has instead of an outcome: the content of a folder. Raises RecordingFailed."""


Refit = Callable[[], AbstractContextManager[Outcome]]


class SweepRecording(Protocol):
    """The parent of a sweep's runs, open. Left by an exception it is closed as FAILED or KILLED, as a run is; by
    Detached it is not closed, and the next command goes on with it."""

    @property
    def run_id(self) -> str | None: ...

    @property
    def where(self) -> str: ...

    @property
    def next_command(self) -> str | None: ...

    def link(self, run_id: str) -> str:
        """The page of a run of this sweep, as a description of another run can point at it; empty if there is none."""

    @property
    def elsewhere(self) -> str | None:
        """What an earlier part has noted of points that it left on a cluster."""

    def note_elsewhere(self, note: str | None) -> None:
        """Note what it takes to find them there, before the first of them is; None once there are none."""

    def finished_points(self) -> dict[str, Finished]:
        """What earlier parts of this sweep have done, by the key of the point."""

    def finished(self, run_id: str) -> Finished | None:
        """A point's run, if it is FINISHED: its worker may have been killed before it could say so."""

    def fail(self, run_id: str | None, failure: Failure) -> str | None:
        """Record a point as FAILED: its own run where it had opened one, else a new one. Returns the run's id."""

    def point_ended(self, run_id: str | None, reused: bool) -> None:
        """The run of a point is closed, by whatever process, or taken from before: where there is a server, publish it
        in the background, unless it is there."""

    def log(self, metrics: dict[str, float], tags: dict[str, str], files: Path) -> None:
        """Counts, what is known of the best point, and files; an earlier part's are replaced."""

    def store_model(self, best: Finished, refit: Refit) -> None:
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
