"""Stores a fitted estimator as an MLflow model in skops format: safe to load, its requirements pinned."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow.sklearn
import pandas as pd
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModel, LoggedModelOutput, RunInfo
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.types.schema import AnyType, ColSpec, DataType, Schema
from sklearn.base import BaseEstimator

from boston_exp.config.schema import TRUSTED
from boston_exp.process import temporary_folder
from boston_exp.tracking.destination import NOTE
from boston_exp.tracking.mlflow import compat
from boston_exp.tracking.mlflow.runs import MODEL
from boston_exp.tracking.model_files import loaded
from boston_exp.tracking.model_types import types_to_trust
from boston_exp.tracking.protocol import Outcome
from boston_exp.tracking.recorded import RecordedRun

compat.leave_out_slow_steps()
SOURCE = {"mlflow.source.name": "boston_exp.run", "mlflow.source.type": "LOCAL"}


def save(client: MlflowClient, run: RunInfo, name: str, params: dict[str, str], outcome: Outcome) -> str:
    """What `mlflow.sklearn.log_model` does, without its 4-8 s of guessing requirements. Returns the model's id."""
    kind, tags = type(outcome.estimator).__name__, SOURCE | {NOTE: outcome.tags.get(NOTE, "")}
    with new_model(client, run, name=allowed(name), params=params, model_type=kind, tags=tags) as (model, folder):
        _write(outcome, folder, model)
    return str(model.model_id)


def allowed(name: str) -> str:
    """A run's name as that of a model, in which MLflow allows no point: `alpha=0·1`."""
    return re.sub(r"[/:%\"']+", "-", re.sub(r"\.", "·", name))


@contextmanager
def new_model(
    client: MlflowClient, run: RunInfo, of_run: bool = True, **described: Any
) -> Iterator[tuple[LoggedModel, Path]]:
    """A model of the run: READY once what is then in its folder is stored; PENDING if that fails.

    It is stored twice, as the model and below `model/` of the run: `runs:/<id>/model` finds a model by its name alone,
    and all models would be called `model`. One that is not `of_run` is stored once, and is none of its outputs.
    docs/decisions/0012-what-a-person-sees.md
    """
    model = client.create_logged_model(run.experiment_id, source_run_id=run.run_id, **described)
    if of_run:
        client.log_outputs(run.run_id, [LoggedModelOutput(model.model_id, step=0)])
    with temporary_folder() as name:
        folder = Path(name) / "model"
        yield model, folder
        # not through the client, which would ask the store where the model belongs
        for place, inside in ((run.artifact_uri, MODEL), (model.artifact_location, None))[0 if of_run else 1 :]:
            get_artifact_repository(place, tracking_uri=client.tracking_uri).log_artifacts(str(folder), inside)
    client.finalize_logged_model(model.model_id, "READY")


def load(model_uri: str, trusted_packages: tuple[str, ...] = TRUSTED) -> BaseEstimator:
    """The estimator of a stored model, of any URI of MLflow's: `runs:/<id>/model`, `models:/<name>@<alias>`."""
    return loaded(Path(download_artifacts(artifact_uri=model_uri)), model_uri, trusted_packages)


def save_refit(
    uri: str,
    run: RecordedRun,
    estimator: BaseEstimator,
    example: pd.DataFrame,
    text_columns: tuple[str, ...],
    requirements: tuple[str, ...],
    trusted_packages: tuple[str, ...],
) -> str:
    """Store a model of the run's configuration that was fitted on all rows; returns `models:/<id>`.

    It belongs to the run, and is none of its outputs: `runs:/<id>/model` stays the one whose scores the run has.
    """
    client = MlflowClient(uri)
    info = client.get_run(run.run_id).info
    outcome = Outcome(
        metrics={},
        files=Path(),
        estimator=estimator,
        example=example,
        requirements=requirements,
        trusted_packages=trusted_packages,
        store_model=True,
        text_columns=text_columns,
    )
    kind = type(estimator).__name__
    described: dict[str, Any] = {"params": run.params, "model_type": kind, "tags": SOURCE}
    with new_model(client, info, of_run=False, name=allowed(f"{run.name} all rows"), **described) as (model, folder):
        _write(outcome, folder, model)
    return f"models:/{model.model_id}"


def signature_of(example: pd.DataFrame, text_columns: Sequence[str]) -> ModelSignature:
    """Columns as pandas reads them from a file, and which of them are text; the output is a double.

    MLflow casts neither integers to double nor booleans to numbers, and refuses a gap in a long: whether a column of a
    new file has whole numbers only, or gaps, must not decide whether it can be predicted on. So numbers, booleans and
    dates are `any`; text is `string`, which takes gaps. profile.json has the types that pandas found.
    """
    text = set(text_columns)
    columns = [ColSpec(DataType.string if name in text else AnyType(), str(name)) for name in example.columns]
    return ModelSignature(inputs=Schema(columns), outputs=Schema([ColSpec(DataType.double)]))


def _write(outcome: Outcome, path: Path, model: LoggedModel) -> None:
    """The model's folder. A second fit of the same class can hold other types: then they are determined anew."""
    described = Model(
        artifact_path=model.artifact_location,
        run_id=model.source_run_id,
        model_uuid=model.model_id,
        model_id=model.model_id,
    )
    with _own_code(outcome) as code:
        _save(outcome, path, described, code)


def _save(outcome: Outcome, path: Path, described: Model, code: list[str]) -> None:
    for known in (True, False):
        try:
            mlflow.sklearn.save_model(
                outcome.estimator,
                path,
                mlflow_model=described,
                signature=signature_of(outcome.example, outcome.text_columns),
                input_example=outcome.example.head(5),
                pip_requirements=list(outcome.requirements),
                code_paths=code or None,
                serialization_format="skops",
                skops_trusted_types=types_to_trust(outcome.estimator, outcome.trusted_packages, known),
            )
            return
        except MlflowException as error:
            if not known or "untrusted" not in str(error).lower():
                raise
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _own_code(outcome: Outcome) -> Iterator[list[str]]:
    """Modules of the user that are installed nowhere, which the model takes along: Python's source alone, not what lies
    beside it (.env, keys), nor what a link leads to."""
    with temporary_folder() as name:
        found = []
        for package in outcome.trusted_packages:
            module = sys.modules.get(package)
            if module is not None and module.__file__ and "site-packages" not in module.__file__:
                file = Path(module.__file__)
                place = file.parent if file.name == "__init__.py" else file
                for source in place.rglob("*.py") if place.is_dir() else [place]:
                    if not source.is_symlink() and not source.name.startswith("."):
                        copy = Path(name) / source.relative_to(place.parent)
                        copy.parent.mkdir(parents=True, exist_ok=True)
                        shutil.copyfile(source, copy)
                found.append(str(Path(name) / place.name))
        yield found
