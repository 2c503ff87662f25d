"""The schema of conf/config.yaml: every setting of a run, its default, and the values it may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from boston_exp.config.settings import PROJECT_ROOT, port

CONF = PROJECT_ROOT / "conf"
EXPERIMENT = "boston-housing"  # of the tables that come with the project
TRUSTED = ("sklearn", "skrub")  # packages whose estimators may be used without saying so

OmegaConf.register_resolver("port", port, replace=True)
OmegaConf.register_resolver("project_root", lambda: str(PROJECT_ROOT), replace=True)


@dataclass(frozen=True)
class Range:
    """The values a setting may take; `null` says whether it may also be left out."""

    says: str
    low: float = float("-inf")
    high: float = float("inf")
    open_low: bool = False
    open_high: bool = False
    whole: bool = False
    null: bool = False
    share: bool = False  # or a float above 0, at most 1
    example: object = None
    words: tuple[str, ...] = ()  # that stand for a value

    def holds(self, value: object) -> bool:
        if value is None:
            return self.null
        if value in self.words:
            return True
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if self.whole and not isinstance(value, int):
            return self.share and 0 < value <= 1
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return above and below


def ranged(default: Any, allowed: Range) -> Any:
    """A field of a schema whose values are checked."""
    return field(default=default, metadata={"range": allowed})


SEED = Range("a whole number from 0 to 4294967295", 0, 2**32 - 1, whole=True)


@dataclass
class Data:
    """A table and how to read it: either a file at `path` or a scikit-learn data set by its `loader`."""

    name: str | None = None  # of the table; null: that of its file
    experiment_name: str | None = None  # where its runs are recorded unless `tracking` says it; null: the table's name
    path: str | None = None
    loader: str | None = None  # dotted name of a function that takes as_frame=True
    # How a file is read; what is null is found in the file itself. Words for marks: config/marks.py
    sep: str | None = None  # one character, its word, or a regular expression as pandas takes it
    decimal: str | None = None
    thousands: str | None = None  # none: numbers are not grouped
    encoding: str | None = None
    header: bool | None = None
    columns: list[str] | None = None  # names of the columns of a file without header
    date_format: str | None = None  # as in %d.%m.%Y, of all columns with dates
    sheet: str | None = None  # name of an Excel sheet, or its number from 1; null: the first
    target: str = MISSING
    target_label: str | None = None  # for figures and the summary
    target_unit: str | None = None
    missing_target: str = field(default="refuse", metadata={"choices": ("refuse", "drop")})  # rows are numbered without
    drop: list[str] = field(default_factory=list)
    roles: Any = None  # ["<column>:<role>", …], or a YAML file of them, where what is found in the table is not right
    group: str | None = None  # a column whose groups of rows stay together, in the hold-out and in the folds
    time: str | None = None  # a column that is later in held-out rows than in training rows, in the folds alike
    weight: str | None = None  # a column with what each row counts, in fit, metrics, intervals and importance
    test_size: float = ranged(
        0.2, Range("a share of the rows, above 0 and below 1", 0, 1, open_low=True, open_high=True)
    )
    split_seed: int = ranged(42, SEED)  # decides held-out rows and folds; `seed` decides the model alone
    slices: list[str] = field(default_factory=list)  # columns by whose groups errors are told
    caveats: list[str] = field(default_factory=list)  # what to know before using the table: sentences of a model's card
    allow_changed: bool = False  # use a file that differs from its .dvc; the run is tagged so


@dataclass
class Evaluation:
    """How the scores come about: held-out rows, and k-fold on the training rows where n_splits is not 0."""

    n_splits: int = ranged(0, Range("0 or a whole number of at least 2", 0, whole=True))
    n_repeats: int = ranged(1, Range("a whole number from 1 to 100", 1, 100, whole=True))
    stratify: bool = False  # hold-out and folds have rows of every part of the target's range
    n_resamples: int = ranged(1000, Range("0 (no intervals) or a whole number of at least 100", 0, whole=True))
    selection_metric: str = "rmse"


@dataclass
class Tracking:
    """Who records. MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME win over the group and lose to an override.

    Where the uri is an MLflow server's, a run is first whole in the store at local_uri, then published there.
    """

    backend: str = MISSING  # a module of boston_exp/tracking/backends/
    uri: str | None = None
    local_uri: str = "sqlite:///mlflow.db"
    artifact_root: str | None = None
    allow_http: bool = False  # send a user and password over plain http to another machine
    on_outage: str = field(default="keep", metadata={"choices": ("keep", "fail")})  # of the server
    experiment_name: str | None = None  # null: that of the table
    log_model: str | None = field(default=None, metadata={"choices": (None, "all", "best", "none")})


@dataclass
class Storage:
    """Where bytes live: the DVC remote that `run` fetches data from, and S3. Keys are never in here."""

    dvc_remote: str = MISSING
    model_remote: str | None = None  # the DVC remote of promoted models, where it is another one
    endpoint_url: str | None = None  # of S3, where it is not AWS; MLFLOW_S3_ENDPOINT_URL wins over the group
    region: str | None = None
    data_bucket: str | None = None  # None: no S3
    artifact_bucket: str | None = None
    ca_bundle: str | None = None  # a file with the certificates to trust; None: the system's


@dataclass
class Figures:
    draw: bool = True
    dpi: int = ranged(100, Range("a whole number from 20 to 1200", 20, 1200, whole=True))


@dataclass
class Objective:
    """What `run` returns and a sweep optimises: one metric, or several for a Pareto front."""

    metric: Any = None  # None: evaluation.selection_metric

    @property
    def metrics(self) -> list[str]:
        return list(self.metric) if isinstance(self.metric, list) else [str(self.metric)]

    def of(self, found: Mapping[str, float]) -> float | tuple[float, ...]:
        """The objective among a run's metrics, or all of several."""
        values = tuple(found[metric] for metric in self.metrics)
        return values if len(values) > 1 else values[0]


@dataclass
class Search:
    """When a sweep ends before its last point."""

    patience: int | None = ranged(None, Range("a whole number of at least 1, or null", 1, whole=True, null=True))
    # the expected improvement below which it ends, in the objective's unit; noise: the best score's standard error
    gain: Any = field(
        default=None,
        metadata={"range": Range("a number above 0, noise or null", 0, open_low=True, null=True, words=("noise",))},
    )


@dataclass
class Config:
    """The whole composition of `run`; model and preprocess stay open: any estimator, by `_target_`."""

    model: dict[str, Any] = MISSING
    data: Data = field(default_factory=Data)
    preprocess: dict[str, Any] = field(default_factory=dict)
    evaluation: Evaluation = field(default_factory=Evaluation)
    tracking: Tracking = field(default_factory=Tracking)
    storage: Storage = field(default_factory=Storage)
    figures: Figures = field(default_factory=Figures)
    objective: Objective = field(default_factory=Objective)
    seed: int = ranged(42, SEED)
    name: str | None = None  # of the run; in a sweep the names of its points begin with it
    explain: bool = False  # print what each column is taken for, and train nothing
    quiet: bool = False  # print the run's id alone
    report: str | None = None  # an HTML file to write
    trusted_packages: list[str] = field(default_factory=lambda: [*TRUSTED])  # whose classes a _target_ may name
    skip_finished: bool | None = None  # use a FINISHED run with the same fingerprint; null: in sweeps only
    detach: bool = False  # a sweep on a cluster is submitted, collected as far as it is, and left there
    max_failures: int | None = ranged(None, Range("a whole number of at least 1, or null", 1, whole=True, null=True))
    timeout: float | None = ranged(None, Range("seconds above 0, or null", 0, open_low=True, null=True))  # of a sweep
    search: Search = field(default_factory=Search)


ConfigStore.instance().store(name="schema", node=Config, provider="boston_exp")
