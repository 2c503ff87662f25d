"""What a recorded run holds: names of params, tags and artifacts are contract (README, 'What a run records')."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from sklearn.base import BaseEstimator

from boston_exp.config.schema import TRUSTED, Config
from boston_exp.config.settings import Typed
from boston_exp.experiment.checks import finding
from boston_exp.experiment.checks.finding import Finding
from boston_exp.experiment.dataset import Dataset
from boston_exp.experiment.evaluation import Evaluated
from boston_exp.experiment.models import final_step
from boston_exp.experiment.profile import profile
from boston_exp.experiment.slices import groupings, with_groups
from boston_exp.experiment.split import Split
from boston_exp.process import remembered, temporary_folder
from boston_exp.redaction import redact
from boston_exp.tracking.protocol import Outcome, Plan
from boston_exp.training import provenance
from boston_exp.training.fingerprint import NUMERIC_LIBRARIES, config_digest, distribution, fingerprint
from boston_exp.training.seal import SEAL, sealed
from boston_exp.training.telling import Told

log = logging.getLogger(__name__)
VERSION = "2"  # of the record: what a reader may expect. Version 1 has no `record.version`, no folds, no digests.
# Not what the experiment is, but how it is recorded and told.
HOW_RECORDED = (
    "tracking",
    "storage",
    "figures",
    "skip_finished",
    "max_failures",
    "detach",
    "timeout",
    "search",
    "name",
    "quiet",
    "report",
    "explain",
)


def plan(
    name: str,
    typed: Typed,
    config: Config,
    dataset: Dataset,
    rows: Split,
    estimator: BaseEstimator,
    tags: Mapping[str, str],
) -> Plan:
    """Params and tags, known before the fit; `tags` are those that the job around the run gives."""
    decides = {group: value for group, value in asdict(config).items() if group not in HOW_RECORDED}
    for told in ("experiment_name", "caveats"):
        del decides["data"][told]
    counts = {
        "data.n_samples": len(dataset.X),
        "data.n_features": dataset.X.shape[1],
        "data.n_train": len(rows.X_train),
        "data.n_test": len(rows.X_test),
        **({"data.n_without_target": dataset.without_target} if dataset.without_target else {}),
        **({"data.read_as": dataset.found.says} if dataset.found.says else {}),
    }
    model = final_step(estimator)
    code = provenance.code()
    own = {
        "record.version": VERSION,
        "model_type": type(model).__name__,
        "framework": "scikit-learn" if type(model).__module__.startswith("sklearn.") else _package(model),
        "dataset": dataset.name,
        "data.md5": dataset.md5,
        "data.changed": str(dataset.changed).lower(),
        "split.digest": rows.digest,
        "config.digest": config_digest(config),
        "fingerprint": fingerprint(config, dataset.md5),
        "git.dirty": str(code.dirty).lower(),
        **provenance.origin(),
    }
    if code.commit and (seal := sealed(code.commit, code.patch)):
        own[SEAL] = seal
    if code.dirty:
        own["git.patch"] = code.says
    if code.too_large:
        log.warning("uncommitted changes are %s", code.says)
    return Plan(
        name=name,
        params=flat(decides) | {key: str(count) for key, count in counts.items()},
        tags=own | dict(tags),
        overrides=as_yaml(typed.overrides),
        dataset_name=dataset.name,
        dataset_md5=dataset.md5,
        dataset_source=dataset.source,
        selected_by=config.evaluation.selection_metric,
        table=dataset.as_read,
        target=str(dataset.y.name),
    )


@contextmanager
def outcome(
    cfg: DictConfig,
    typed: Typed,
    config: Config,
    dataset: Dataset,
    rows: Split,
    evaluated: Evaluated,
    told: Told,
    store_model: bool,
    found: Sequence[Finding] = (),
) -> Iterator[Outcome]:
    """Metrics, model and a temporary folder with every artifact."""
    with temporary_folder() as folder:
        files = Path(folder)
        write_circumstances(files, cfg, typed)
        known = groupings(dataset, rows, config.data.slices)
        _write(files / "profile.json", json.dumps(profile(dataset, rows, known), indent=1))
        evaluated.predictions.to_csv(files / "predictions.csv", index=False)
        evaluated.importance.to_csv(files / "feature_importance.csv", index=False)
        if evaluated.folds:
            evaluated.folds.table.to_csv(files / "folds.csv", index=False)
            each_row = with_groups(evaluated.folds.out_of_fold, known, dataset.table)
            each_row.to_csv(files / "out_of_fold.csv", index=False)
        if told.groups is not None:
            told.groups.to_csv(files / "slices.csv", index=False)
        if told.page is not None:
            _write(files / "report.html", told.page)
        if config.figures.draw:
            from boston_exp.reporting import figures  # matplotlib costs 0.45 s to import

            figures.draw(files / "figures", told.title, dataset, rows, evaluated, config.figures.dpi)
        yield Outcome(
            metrics=evaluated.metrics,
            tags={"mlflow.note.content": told.story, **_grown(evaluated), **finding.tags(found)},
            files=files,
            estimator=evaluated.estimator,
            example=dataset.example(rows.X_train.index),
            text_columns=tuple(dataset.text_columns),
            requirements=requirements(evaluated.estimator, config.trusted_packages),
            trusted_packages=tuple(config.trusted_packages),
            store_model=store_model,
        )


def _grown(evaluated: Evaluated) -> dict[str, str]:
    """From how many trees the models were grown: `fit_seconds` is then a sum over several fits."""
    return {} if evaluated.grown_from is None else {"grown.from": str(evaluated.grown_from)}


def write_circumstances(files: Path, cfg: DictConfig, typed: Typed) -> None:
    """What it takes to train a run again, which one that is pruned has, too: configuration, environment, changes."""
    _write(files / "config" / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
    _write(files / "config" / "overrides.yaml", as_yaml(typed.overrides))
    _write(files / "environment" / "requirements.txt", provenance.environment())
    _write(files / "environment" / "platform.json", json.dumps(provenance.machine(), indent=1))
    code = provenance.code()
    if code.patch:
        (files / "git").mkdir()
        (files / "git" / "diff.patch").write_bytes(code.patch)
    if code.too_large:
        _write(files / "git" / "changed_files.csv", code.too_large)


def requirements(estimator: BaseEstimator, trusted_packages: Sequence[str]) -> tuple[str, ...]:
    """What is needed to load and use the model, pinned to what made it; skrub only if a part of it is skrub's."""
    parts = (estimator, *estimator.get_params().values())
    used = {type(part).__module__.partition(".")[0] for part in parts}
    return _pinned(tuple(name for name in trusted_packages if name in used or name not in TRUSTED))


@remembered()
def _pinned(trusted_packages: tuple[str, ...]) -> tuple[str, ...]:
    pinned = [f"{name}=={metadata.version(name)}" for name in ("mlflow", *NUMERIC_LIBRARIES, "skops")]
    for package in trusted_packages:
        try:
            name = distribution(package)
            pinned.append(f"{name}=={metadata.version(name)}")
        except metadata.PackageNotFoundError:  # sklearn is scikit-learn, and a package on the path has no version
            continue
    return tuple(pinned)


def _package(model: BaseEstimator) -> str:
    return type(model).__module__.partition(".")[0]


def flat(node: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """A nested configuration as dotted names and text, lists as JSON: {'model.max_depth': '15'}."""
    params: dict[str, str] = {}
    for name, value in node.items():
        if isinstance(value, dict):
            params |= flat(value, f"{prefix}{name}.")
        else:
            params[f"{prefix}{name}"] = json.dumps(value) if isinstance(value, list) else str(value)
    return params


def as_yaml(overrides: Sequence[str]) -> str:
    """The content of config/overrides.yaml."""
    return OmegaConf.to_yaml(list(overrides))


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(redact(text))
