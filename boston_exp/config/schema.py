"""The schemas of conf/: every setting, its default, and the values it may take."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from boston_exp.config.settings import PROJECT_ROOT, port

CONF = PROJECT_ROOT / "conf"
EXPERIMENT = "boston-housing"  # of the tables that come with the project

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

    def holds(self, value: object) -> bool:
        if value is None:
            return self.null
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if self.whole and not isinstance(value, int):
            return self.share and 0 < value <= 1
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return above and below


def _ranged(default: Any, allowed: Range) -> Any:
    return field(default=default, metadata={"range": allowed})


SEED = Range("a whole number from 0 to 4294967295", 0, 2**32 - 1, whole=True)


@dataclass
class Data:
    """A table and how to read it: either a file at `path` or a scikit-learn data set by its `loader`."""

    name: str | None = None  # of the table; null: that of its file
    experiment_name: str | None = None  # where its runs are recorded unless `tracking` says it; null: the table's name
    path: str | None = None
    loader: str | None = None  # dotted name of a function that takes as_frame=True
    decimal: str = "."
    encoding: str = "utf-8"
    sep: str = ","  # one character, or a regular expression as pandas takes it
    header: bool = True
    columns: list[str] | None = None  # names of the columns of a file without header
    target: str = MISSING
    target_label: str | None = None  # for figures and the summary
    target_unit: str | None = None
    drop: list[str] = field(default_factory=list)
    test_size: float = _ranged(
        0.2, Range("a share of the rows, above 0 and below 1", 0, 1, open_low=True, open_high=True)
    )
    split_seed: int = _ranged(42, SEED)  # decides held-out rows and folds; `seed` decides the model alone
    slices: list[str] = field(default_factory=list)  # columns by whose groups errors are told
    caveats: list[str] = field(default_factory=list)  # what to know before using the table: sentences of a model's card
    allow_changed: bool = False  # use a file that differs from its .dvc; the run is tagged so


@dataclass
class Evaluation:
    """How the scores come about: held-out rows, and k-fold on the training rows where n_splits is not 0."""

    n_splits: int = _ranged(0, Range("0 or a whole number of at least 2", 0, whole=True))
    n_resamples: int = _ranged(1000, Range("0 (no intervals) or a whole number of at least 100", 0, whole=True))
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
    dpi: int = _ranged(100, Range("a whole number from 20 to 1200", 20, 1200, whole=True))


@dataclass
class Objective:
    """What `run` returns and a sweep optimises: one metric, or several for a Pareto front."""

    metric: Any = None  # None: evaluation.selection_metric

    @property
    def metrics(self) -> list[str]:
        return list(self.metric) if isinstance(self.metric, list) else [str(self.metric)]


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
    seed: int = _ranged(42, SEED)
    name: str | None = None  # of the run; in a sweep the names of its points begin with it
    quiet: bool = False  # print the run's id alone
    report: str | None = None  # an HTML file to write
    trusted_packages: list[str] = field(default_factory=lambda: ["sklearn"])  # whose classes a _target_ may name
    skip_finished: bool | None = None  # use a FINISHED run with the same fingerprint; null: in sweeps only
    max_failures: int | None = _ranged(None, Range("a whole number of at least 1, or null", 1, whole=True, null=True))


FORMAT: dict[str, Any] = {"choices": ("table", "json", "csv", "markdown")}
METRIC = "rmse"


@dataclass
class Doctor:
    """The composition of `doctor`: what a run would touch, and what to do about it."""

    data: Data = field(default_factory=Data)
    tracking: Tracking = field(default_factory=Tracking)
    storage: Storage = field(default_factory=Storage)
    fix: bool = False  # create buckets and the store, close dead runs
    format: str = field(default="table", metadata=FORMAT)


@dataclass
class Recorded:
    """What every command after a run has: where runs are recorded."""

    tracking: Tracking = field(default_factory=Tracking)
    storage: Storage = field(default_factory=Storage)


@dataclass
class Leaderboard(Recorded):
    """The composition of `leaderboard`."""

    top: int = _ranged(10, Range("a whole number from 1 to 1000", 1, 1000, whole=True))
    metric: str = METRIC  # ranked by cv_<metric> where there are folds
    filter: str | None = None  # in MLflow's search syntax
    experiments: list[str] = field(default_factory=list)  # [] for tracking.experiment_name
    sweep: Any = None  # the id of a sweep's run: its points alone
    format: str = field(default="table", metadata=FORMAT)


@dataclass
class Compare(Recorded):
    """The composition of `compare`."""

    runs: Any = MISSING  # ids, prefixes of ids, best, models:/<name>@<alias>
    metric: str = METRIC
    rope: float | None = _ranged(None, Range("a number above 0, or null", 0, open_low=True, null=True))
    report: str | None = None  # an HTML file to write
    format: str = field(default="table", metadata=FORMAT)


@dataclass
class Clean(Recorded):
    """The composition of `clean`."""

    what: list[str] = field(default_factory=list)  # of failed, killed, pruned, orphans
    older_than: str | None = None  # 30d, 12h
    run_id: Any = None
    sweep: Any = None
    confirm: bool = False
    study_storage: str | None = None  # Optuna's
    format: str = field(default="table", metadata=FORMAT)


@dataclass
class Promote(Recorded):
    """The composition of `promote`."""

    run_id: Any = None
    alias: str = "champion"
    name: str | None = None  # of the registered model; null: that of the experiment
    gate: str = field(default="not_worse", metadata={"choices": ("not_worse", "better", "none")})
    metric: str = METRIC  # that the gate compares by
    rope: float | None = _ranged(None, Range("a number above 0, or null", 0, open_low=True, null=True))
    refit: str | None = field(default=None, metadata={"choices": (None, "all")})
    git: str = field(default="commit", metadata={"choices": ("commit", "stage", "none")})
    dvc: str = field(default="push", metadata={"choices": ("push", "add", "none")})
    rollback: bool = False
    history: bool = False
    dry_run: bool = False
    trusted_packages: list[str] = field(default_factory=lambda: ["sklearn"])
    format: str = field(default="table", metadata=FORMAT)


@dataclass
class Predict(Recorded):
    """The composition of `predict`; `data` says how the input is read."""

    from_model: Any = MISSING  # models:/<name>@<alias>, runs:/<id>/model, a skops file or its folder
    input: str = MISSING  # - for standard input
    output: str = "predictions.csv"  # ….parquet; - for standard output
    data: Data = field(default_factory=Data)
    interval: float | None = _ranged(
        0.9, Range("a share above 0 and below 1, or null", 0, 1, open_low=True, open_high=True, null=True, example=0.9)
    )
    interval_by: str = "prediction"  # spread, none, or a column of data.slices
    keep: list[str] = field(default_factory=list)  # columns of the input that the output has, too
    alarm: bool = False  # exit code 1 where a scored table breaks what the card promises
    record: bool = True  # a scored table as a run that belongs to the version
    trusted_packages: list[str] = field(default_factory=lambda: ["sklearn"])
    format: str = field(default="table", metadata={"choices": ("table", "json")})


for _name, _node in (
    ("schema", Config),
    ("doctor_schema", Doctor),
    ("history_schema", Recorded),
    ("leaderboard_schema", Leaderboard),
    ("compare_schema", Compare),
    ("clean_schema", Clean),
    ("promote_schema", Promote),
    ("predict_schema", Predict),
):
    ConfigStore.instance().store(name=_name, node=_node, provider="boston_exp")
