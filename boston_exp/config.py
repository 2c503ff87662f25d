"""What an experiment is made of: the schemas of conf/, their ranges, and what is known to be wrong before
anything is read.

Nothing here imports more than Hydra, so `--help`, `--cfg job` and a refusal are quick.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from boston_exp.errors import Fault, InvalidConfig, did_you_mean

PROJECT_ROOT = Path(__file__).resolve().parent.parent
CONF = PROJECT_ROOT / "conf"
METRICS = ("r2_score", "rmse", "mae", "mape")

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


def _at_least(low: int, example: int, null: bool = False, share: bool = False) -> Range:
    says = f"a whole number of at least {low}" + (" or null" if null else "") + (", or a share such as 0.1" * share)
    return Range(says, low=low, whole=True, null=null, share=share, example=example)


def _positive(example: float) -> Range:
    return Range("a number above 0", low=0, open_low=True, example=example)


def _not_negative(example: float) -> Range:
    return Range("a number of at least 0", low=0, example=example)


def _ranged(default: Any, allowed: Range) -> Any:
    return field(default=default, metadata={"range": allowed})


@dataclass
class Data:
    """A table and how to read it: either a file at `path` or a scikit-learn data set by its `loader`."""

    name: str = MISSING
    path: str | None = None
    loader: str | None = None  # dotted name of a function that takes as_frame=True
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
    allow_changed: bool = False  # use a file that differs from its .dvc; the run is tagged so


@dataclass
class Evaluation:
    """How the scores come about: held-out rows, and k-fold on the training rows where n_splits is not 0."""

    n_splits: int = _ranged(0, Range("0 or a whole number of at least 2", 0, whole=True))
    n_resamples: int = _ranged(1000, Range("0 (no intervals) or a whole number of at least 100", 0, whole=True))
    selection_metric: str = "rmse"


@dataclass
class Tracking:
    """Who records. MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME win over the group and lose to an override."""

    backend: str = field(default=MISSING, metadata={"choices": ("mlflow", "none")})
    uri: str | None = None
    artifact_root: str | None = None
    experiment_name: str = "boston-housing"
    log_model: str | None = field(default=None, metadata={"choices": (None, "all", "best", "none")})

    def stores_model(self, in_sweep: bool) -> bool:
        """Whether a run stores its model: a single run unless told not to, a point of a sweep only with `all`.

        `best`, which a sweep does unless told otherwise, stores the best point's model on the sweep's parent.
        """
        return self.log_model == "all" or (self.log_model != "none" and not in_sweep)


@dataclass
class Storage:
    """Where bytes live: the DVC remote that `run` fetches data from."""

    dvc_remote: str = MISSING


@dataclass
class Figures:
    draw: bool = True
    dpi: int = _ranged(100, Range("a whole number from 20 to 1200", 20, 1200, whole=True))


@dataclass
class Objective:
    """What `run` returns and a sweep optimises: one metric, or several for a Pareto front."""

    metric: Any = MISSING

    @property
    def metrics(self) -> list[str]:
        return list(self.metric) if isinstance(self.metric, list) else [str(self.metric)]

    @property
    def directions(self) -> list[str]:
        """'maximize' for R², 'minimize' for errors and seconds: what a metric means is not a matter of choice."""
        return ["maximize" if "r2_score" in metric else "minimize" for metric in self.metrics]


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
    seed: int = _ranged(42, Range("a whole number from 0 to 4294967295", 0, 2**32 - 1, whole=True))
    trusted_packages: list[str] = field(default_factory=lambda: ["sklearn"])
    skip_finished: bool | None = None  # use a FINISHED run with the same fingerprint; null: in sweeps only
    max_failures: int | None = _ranged(None, Range("a whole number of at least 1, or null", 1, whole=True, null=True))


ConfigStore.instance().store(name="schema", node=Config, provider="boston_exp")

# scikit-learn uses one name for one thing, so ranges can be checked by name, before its 1.4 s import;
# each estimator's own, complete constraints are checked once it is imported (experiment/models.py).
HYPERPARAMETERS = {
    "n_estimators": _at_least(1, 100),
    "max_depth": _at_least(1, 10, null=True),
    "max_iter": _at_least(1, 1000),
    "max_leaf_nodes": _at_least(2, 31, null=True),
    "n_neighbors": _at_least(1, 5),
    "min_samples_split": _at_least(2, 5, share=True),
    "min_samples_leaf": _at_least(1, 2, share=True),
    "learning_rate": _positive(0.1),
    "subsample": Range("a share above 0, at most 1", 0, 1, open_low=True, example=0.8),
    "l1_ratio": Range("a number from 0 to 1", 0, 1, example=0.5),
    "alpha": _not_negative(1.0),
    "l2_regularization": _not_negative(0.1),
    "C": _positive(1.0),
    "epsilon": _not_negative(0.1),
}


@dataclass(frozen=True)
class Typed:
    """What the user typed and where he stood: paths he typed are relative to there, those of conf/ to the project."""

    overrides: tuple[str, ...] = ()
    cwd: Path = PROJECT_ROOT

    def has(self, key: str) -> bool:
        return any(override.lstrip("+").split("=", 1)[0] == key for override in self.overrides)

    def folder(self, key: str) -> Path:
        return self.cwd if self.has(key) else PROJECT_ROOT


@dataclass(frozen=True)
class Decided:
    """A setting, who decided it, and the folder that a relative path in it starts from."""

    value: str
    why: str
    folder: Path


def decide(variable: str, key: str, group_value: str, typed: Typed) -> Decided:
    """An override wins over the environment, that over .env, and that over the group's YAML."""
    if typed.has(key):
        return Decided(group_value, f"from {key}=", typed.cwd)
    if os.environ.get(variable):
        return Decided(os.environ[variable], f"from {variable}", typed.cwd)
    if dotenv().get(variable):
        return Decided(dotenv()[variable], f"from {variable} in .env", PROJECT_ROOT)
    return Decided(group_value, f"from conf/{key.partition('.')[0]}", PROJECT_ROOT)


@cache
def dotenv() -> dict[str, str]:
    """The project's .env, which nobody else puts into the environment; empty where there is none."""
    path = PROJECT_ROOT / ".env"
    if not path.is_file():
        return {}
    from dotenv import dotenv_values

    return {name: value for name, value in dotenv_values(path).items() if value}


def parse(cfg: DictConfig, typed: Typed) -> Config:
    """The composed configuration as plain objects, the data's path absolute.

    Raises InvalidConfig where a value that only the user can give is missing.
    """
    missing = [
        Fault(f"{key} has no value.", f"python -m boston_exp.run … {key}=<value>")
        for key in sorted(OmegaConf.missing_keys(cfg))
    ]
    if missing:
        raise InvalidConfig(*missing, *_source_faults(cfg.data))
    OmegaConf.resolve(cfg)
    config = OmegaConf.to_object(cfg)
    assert isinstance(config, Config)
    data = config.data
    if data.path is not None:
        data.path = str((typed.folder("data.path") / Path(data.path).expanduser()).resolve())
    return config


def faults(config: Config) -> list[Fault]:
    """Everything that is known to be wrong from the configuration alone, before any heavy import."""
    return [
        *_out_of_range("", config),
        *_model_faults(config),
        *_untrusted_targets(config),
        *_source_faults(config.data),
        *_file_faults(config.data),
        *_objective_faults(config),
    ]


def _fault(key: str, value: object, rule: str, example: object) -> Fault:
    shown = "null" if value is None else value
    return Fault(f"{key}={shown} is not possible: {rule}.", f"python -m boston_exp.run {key}={example}")


def _out_of_range(prefix: str, node: Any) -> Iterator[Fault]:
    for item in fields(node):
        value = getattr(node, item.name)
        key = prefix + item.name
        allowed = item.metadata.get("range")
        choices = item.metadata.get("choices")
        if is_dataclass(value):
            yield from _out_of_range(f"{key}.", value)
        elif allowed and not allowed.holds(value):
            yield _fault(key, value, f"it has to be {allowed.says}", item.default)
        elif choices and value not in choices:
            yield _fault(key, value, f"choose one of {', '.join(filter(None, choices))}", choices[-1])
    if isinstance(node, Evaluation) and node.n_splits == 1:
        yield _fault("evaluation.n_splits", 1, "it has to be 0 (no folds) or at least 2", 5)
    if isinstance(node, Evaluation) and 0 < node.n_resamples < 100:
        yield _fault("evaluation.n_resamples", node.n_resamples, "it has to be 0 or at least 100", 1000)


def _model_faults(config: Config) -> Iterator[Fault]:
    target = config.model.get("_target_")
    if not isinstance(target, str):
        yield Fault("model has no _target_.", "python -m boston_exp.run model=random_forest")
        return
    if target.startswith("sklearn."):
        for name, value in config.model.items():
            allowed = HYPERPARAMETERS.get(name)
            if allowed and not allowed.holds(value):
                yield _fault(f"model.{name}", value, f"it has to be {allowed.says}", allowed.example)


def _source_faults(data: Data) -> Iterator[Fault]:
    if (data.path is None) == (data.loader is None):
        yield Fault(
            "data needs either a path or a loader.",
            "python -m boston_exp.run data=csv data.path=my.csv data.target=price",
        )


def _file_faults(data: Data) -> Iterator[Fault]:
    if data.path is None:
        return
    path = Path(data.path)
    if not path.is_file() and not path.with_name(path.name + ".dvc").is_file():
        nearby = [entry.name for entry in path.parent.glob(f"*{path.suffix}")] if path.parent.is_dir() else []
        yield Fault(
            f"data.path={path} does not exist.{did_you_mean(path.name, nearby)}",
            f"ls {path.parent if path.parent.is_dir() else Path.cwd()}   (then give data.path=<file>)",
        )


def _untrusted_targets(config: Config) -> Iterator[Fault]:
    loader = {"_target_": config.data.loader} if config.data.loader else {}
    for key, node in (("model", config.model), ("preprocess", config.preprocess), ("data.loader", loader)):
        for target in _targets(node):
            package = str(target).partition(".")[0]
            if package not in config.trusted_packages:
                trusted = ",".join([*config.trusted_packages, package])
                yield Fault(
                    f"{key}: {target!r} is outside of trusted_packages {config.trusted_packages}, "
                    "so it is not imported.",
                    f"python -m boston_exp.run … 'trusted_packages=[{trusted}]'   (only if you trust that code)",
                )


def _targets(node: Any) -> Iterator[object]:
    """Every `_target_` in a nested configuration."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield node["_target_"]
        for child in node.values():
            yield from _targets(child)
    elif isinstance(node, list):
        for child in node:
            yield from _targets(child)


def metric_names(evaluation: Evaluation) -> list[str]:
    """What a run with this evaluation records, the names alone (experiment/evaluation.py has the numbers)."""
    names = [*METRICS, *(f"train_{name}" for name in METRICS), "fit_seconds", "predict_seconds"]
    if evaluation.n_resamples:
        names += [f"{name}_ci_{side}" for name in METRICS for side in ("low", "high")]
    if evaluation.n_splits:
        names += [f"cv_{name}{suffix}" for name in METRICS for suffix in ("", "_std")]
    return names


def _objective_faults(config: Config) -> Iterator[Fault]:
    produced = metric_names(config.evaluation)
    for metric in config.objective.metrics or ["[]"]:
        if metric not in produced:
            yield _unknown_metric(metric, produced, config)


def _unknown_metric(metric: str, produced: list[str], config: Config) -> Fault:
    if metric.startswith("cv_") and not config.evaluation.n_splits:
        mend = f"python -m boston_exp.run evaluation=cv objective.metric={metric}"
    else:
        mend = f"python -m boston_exp.run objective.metric=rmse   (or one of: {', '.join(produced)})"
    return Fault(f"objective.metric={metric} is not produced by this evaluation.{did_you_mean(metric, produced)}", mend)
