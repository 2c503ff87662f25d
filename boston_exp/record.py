"""What a recorded run holds: names of params, tags and artifacts are contract (README, 'What a run records')."""

from __future__ import annotations

import getpass
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from importlib import metadata
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from sklearn.base import BaseEstimator

from boston_exp.config import Config
from boston_exp.errors import without_secrets
from boston_exp.experiment import provenance
from boston_exp.experiment.data import Dataset, Split
from boston_exp.experiment.evaluation import Evaluated
from boston_exp.experiment.models import final_step
from boston_exp.settings import Typed
from boston_exp.tracking.protocol import Outcome, Plan


def plan(
    name: str, config: Config, dataset: Dataset, rows: Split, estimator: BaseEstimator, tags: dict[str, str]
) -> Plan:
    """Params and tags, known before the fit; `tags` are those that the sweep around the run gives."""
    decides = asdict(config)
    for group in (
        "tracking",
        "storage",
        "figures",
        "skip_finished",
        "max_failures",
    ):  # they say how it is recorded, not what it is
        del decides[group]
    counts = {
        "data.n_samples": len(dataset.X),
        "data.n_features": dataset.X.shape[1],
        "data.n_train": len(rows.X_train),
        "data.n_test": len(rows.X_test),
    }
    model = final_step(estimator)
    code = provenance.code()
    own = {
        "model_type": type(model).__name__,
        "framework": "scikit-learn" if type(model).__module__.startswith("sklearn.") else _package(model),
        "dataset": dataset.name,
        "data.md5": dataset.md5,
        "data.changed": str(dataset.changed).lower(),
        "git.dirty": str(code.dirty).lower(),
        "fingerprint": provenance.fingerprint(config, dataset.md5),
        "mlflow.user": getpass.getuser(),
        "mlflow.source.name": "boston_exp.run",
        "mlflow.source.type": "LOCAL",
    }
    if code.commit:
        own["mlflow.source.git.commit"] = code.commit
    return Plan(
        name=name,
        params=provenance.flat(decides) | {key: str(count) for key, count in counts.items()},
        tags=own | tags,
        dataset_name=dataset.name,
        dataset_md5=dataset.md5,
        dataset_source=dataset.source,
        table=dataset.table,
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
    title: str,
    store_model: bool,
) -> Iterator[Outcome]:
    """Metrics, model and a temporary folder with every artifact."""
    with tempfile.TemporaryDirectory(prefix="boston_exp-") as folder:
        files = Path(folder)
        _write(files / "config" / "config.yaml", without_secrets(OmegaConf.to_yaml(cfg, resolve=True)))
        _write(files / "config" / "overrides.yaml", without_secrets(OmegaConf.to_yaml(list(typed.overrides))))
        _write(files / "environment" / "requirements.txt", provenance.environment())
        evaluated.predictions.to_csv(files / "predictions.csv", index=False)
        evaluated.importance.to_csv(files / "feature_importance.csv", index=False)
        patch = provenance.code().patch
        if patch:
            (files / "git").mkdir()
            (files / "git" / "diff.patch").write_bytes(patch)
        if config.figures.draw:
            from boston_exp.experiment import figures  # matplotlib costs 0.45 s to import

            figures.draw(files / "figures", title, dataset, rows, evaluated, config.figures.dpi)
        yield Outcome(
            metrics=evaluated.metrics,
            files=files,
            estimator=evaluated.estimator,
            X=rows.X_train,
            predicted=evaluated.train_predicted,
            requirements=_requirements(tuple(config.trusted_packages)),
            trusted_packages=tuple(config.trusted_packages),
            store_model=store_model,
        )


@cache
def _requirements(trusted_packages: tuple[str, ...]) -> tuple[str, ...]:
    """What is needed to load and use the model, pinned to what made it."""
    pinned = [f"{name}=={metadata.version(name)}" for name in ("mlflow", *provenance.NUMERIC_LIBRARIES, "skops")]
    for package in trusted_packages:
        try:
            pinned.append(f"{package}=={metadata.version(package)}")
        except metadata.PackageNotFoundError:  # sklearn is scikit-learn, and a package on the path has no version
            continue
    return tuple(pinned)


def _package(model: BaseEstimator) -> str:
    return type(model).__module__.partition(".")[0]


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
