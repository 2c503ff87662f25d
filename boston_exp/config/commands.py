"""The schemas of the commands beside `run`: every setting, its default, and the values it may take."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from boston_exp.config.schema import SEED, TRUSTED, Data, Range, Storage, Tracking, ranged

FORMAT: dict[str, Any] = {"choices": ("table", "json", "csv", "markdown")}
METRIC = "rmse"


@dataclass
class Doctor:
    """The composition of `doctor`: what a run would touch, and what to do about it."""

    data: Data = field(default_factory=Data)
    tracking: Tracking = field(default_factory=Tracking)
    storage: Storage = field(default_factory=Storage)
    fix: bool = False  # create buckets and the store, upgrade its schema, close dead runs, remove what they left
    forget: str | None = None  # address of a server that is gone: with fix=true no run waits for it any more
    format: str = field(default="table", metadata=FORMAT)


@dataclass
class Recorded:
    """What every command after a run has: where runs are recorded."""

    tracking: Tracking = field(default_factory=Tracking)
    storage: Storage = field(default_factory=Storage)


@dataclass
class Leaderboard(Recorded):
    """The composition of `leaderboard`."""

    top: int = ranged(10, Range("a whole number from 1 to 1000", 1, 1000, whole=True))
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
    rope: float | None = ranged(None, Range("a number above 0, or null", 0, open_low=True, null=True))
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
    rope: float | None = ranged(None, Range("a number above 0, or null", 0, open_low=True, null=True))
    refit: str | None = field(default=None, metadata={"choices": (None, "all")})
    git: str = field(default="commit", metadata={"choices": ("commit", "stage", "none")})
    dvc: str = field(default="push", metadata={"choices": ("push", "add", "none")})
    rollback: bool = False
    history: bool = False
    dry_run: bool = False
    trusted_packages: list[str] = field(default_factory=lambda: [*TRUSTED])
    format: str = field(default="table", metadata=FORMAT)


@dataclass
class Predict(Recorded):
    """The composition of `predict`; `data` says how the input is read."""

    from_model: Any = MISSING  # models:/<name>@<alias>, runs:/<id>/model, a skops file or its folder
    input: str = MISSING  # - for standard input
    output: str = "predictions.csv"  # ….parquet; - for standard output
    data: Data = field(default_factory=Data)
    interval: float | None = ranged(
        0.9, Range("a share above 0 and below 1, or null", 0, 1, open_low=True, open_high=True, null=True, example=0.9)
    )
    interval_by: str = "prediction"  # spread, none, or a column of data.slices
    keep: list[str] = field(default_factory=list)  # columns of the input that the output has, too
    alarm: bool = False  # exit code 1 where a scored table breaks what the card promises
    record: bool = True  # a scored table as a run that belongs to the version
    trusted_packages: list[str] = field(default_factory=lambda: [*TRUSTED])
    format: str = field(default="table", metadata={"choices": ("table", "json")})


@dataclass
class Sync(Recorded):
    """The composition of `sync`; `tracking` says where runs are brought to."""

    source: str | None = None  # sqlite:///other.db, ./mlruns, http://other; null: what is pending for the server
    experiments: list[str] = field(default_factory=list)  # [] for all pending; of a source, tracking.experiment_name
    filter: str | None = None  # in MLflow's search syntax
    all: bool = False  # every ended run; of a source, of every experiment
    registry: bool = False  # registered models, their versions and aliases, too
    dry_run: bool = False
    format: str = field(default="table", metadata=FORMAT)


@dataclass
class Reproduce(Recorded):
    """The composition of `reproduce`."""

    run_id: Any = None  # an id, the beginning of one, best, models:/<name>@<alias>; all
    tolerance: float = ranged(0.0, Range("a finite number of at least 0", 0, open_high=True, example=1e-9))  # relative
    environment: str = field(default="current", metadata={"choices": ("current", "recorded")})
    bisect: bool = False  # where it differs, change one thing at a time to find the one that explains it
    trust: bool = False  # run code that comes from the record, not from this machine
    record: bool = True  # the new run, tagged as a repetition
    sample: int = ranged(20, Range("a whole number from 1 to 10000", 1, 10_000, whole=True))  # of run_id=all
    sample_seed: int = ranged(0, SEED)
    trusted_packages: list[str] = field(default_factory=lambda: [*TRUSTED])
    format: str = field(default="table", metadata=FORMAT)


for _name, _node in (
    ("doctor_schema", Doctor),
    ("history_schema", Recorded),
    ("leaderboard_schema", Leaderboard),
    ("compare_schema", Compare),
    ("clean_schema", Clean),
    ("promote_schema", Promote),
    ("predict_schema", Predict),
    ("sync_schema", Sync),
    ("reproduce_schema", Reproduce),
):
    ConfigStore.instance().store(name=_name, node=_node, provider="boston_exp")
