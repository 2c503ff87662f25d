"""What every tracker takes and gives; tests/contract/ holds each backend to it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator


@dataclass(frozen=True)
class Plan:
    """What is known of a run before the fit, recorded at once so that a crash leaves a useful record."""

    name: str
    params: dict[str, str]
    tags: dict[str, str]
    dataset_name: str
    dataset_md5: str
    dataset_source: str
    table: pd.DataFrame  # features and target, for the dataset's schema and profile
    target: str


@dataclass(frozen=True)
class Outcome:
    """What a run has to show after the fit."""

    metrics: dict[str, float]
    files: Path  # a folder whose whole content becomes the run's artifacts
    estimator: BaseEstimator  # fitted
    X: pd.DataFrame  # training rows, for the model's signature and input example
    predicted: np.ndarray  # of those rows
    requirements: tuple[str, ...]  # pinned, what the model needs to be loaded
    trusted_packages: tuple[str, ...]  # whose types may be inside of the stored model
    store_model: bool


@dataclass(frozen=True)
class Finished:
    """A run that was recorded as FINISHED before."""

    run_id: str
    metrics: dict[str, float]


@dataclass(frozen=True)
class SweepPlan:
    """What is known of a sweep before its first point; the same key means the same sweep, continued."""

    key: str
    name: str
    params: dict[str, str]
    tags: dict[str, str]


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


class SweepRecording(Protocol):
    """The parent of a sweep's runs, open. Left by an exception it is closed as FAILED or KILLED, as a run is."""

    @property
    def run_id(self) -> str | None: ...

    @property
    def where(self) -> str: ...

    @property
    def next_command(self) -> str | None: ...

    @property
    def server_answers(self) -> bool:
        """Whether points may ask a server for what is done."""

    def finished_points(self) -> dict[str, Finished]:
        """What earlier parts of this sweep have done, by the key of the point."""

    def fail(
        self, run_id: str | None, name: str, params: dict[str, str], tags: dict[str, str], message: str
    ) -> str | None:
        """Record a point as FAILED: its own run where it had opened one, else a new one. Gives the run's id."""

    def took(self, run_id: str | None) -> None:
        """The run of a point has ended, in whatever process."""

    def log(self, metrics: dict[str, float], tags: dict[str, str], files: Path) -> None:
        """Counts, what is known of the best point, and files; an earlier part's are replaced."""

    def get_ready(self) -> None:
        """Import what `log_model` needs, while the points keep others busy."""

    def adopt_model(self, run_id: str | None) -> bool:
        """Copy the model that the best point's run has stored, if it has one. False: `log_model` has to store one."""

    def log_model(self, best: Outcome, run_id: str) -> None:
        """Store the model of the best point, which is that run's, on the parent."""


class Tracker(Protocol):
    def start(self, plan: Plan) -> AbstractContextManager[Recording]:
        """Open a run; raises StoreUnusable before anything was trained if that is impossible."""

    def find_finished(self, fingerprint: str, with_model: bool) -> Finished | None:
        """The newest FINISHED run of this experiment with that fingerprint, with a stored model where one is wanted."""

    def sweep(self, plan: SweepPlan) -> AbstractContextManager[SweepRecording]:
        """Open the parent of a sweep, the same one again if it was interrupted.

        Raises StoreUnusable if it cannot be written, or is being written by another process at this moment.
        """
