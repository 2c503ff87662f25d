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


class Tracker(Protocol):
    def start(self, plan: Plan) -> AbstractContextManager[Recording]:
        """Open a run; raises StoreUnusable before anything was trained if that is impossible."""
