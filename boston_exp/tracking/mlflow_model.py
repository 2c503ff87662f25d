"""Stores a fitted estimator as an MLflow model in skops format: safe to load, requirements pinned."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import mlflow.sklearn
import mlflow.utils.environment
import skops.io
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import Model, infer_signature
from sklearn.dummy import DummyRegressor

from boston_exp.errors import Fault, RecordingFailed
from boston_exp.tracking.mlflow_store import new_model
from boston_exp.tracking.protocol import Outcome

# Two steps of the libraries are of no use here, and cannot be switched off (docs/decisions/0002-skops.md):
# skops indents its schema, which json does in Python alone: a third of what a forest's dump takes, and of its file;
skops.io._persist.json = SimpleNamespace(dumps=lambda state, **how: json.dumps(state))
# MLflow looks whether this environment meets the requirements that were read from it: 0.2 s, then 0.007 s a model.
mlflow.utils.environment.warn_dependency_requirement_mismatches = lambda requirements: None


def save(client: MlflowClient, experiment_id: str, run_id: str, params: dict[str, str], outcome: Outcome) -> str:
    """What `mlflow.sklearn.log_model` does, without its 4-8 s of guessing requirements; gives the model's id."""
    kind = type(outcome.estimator).__name__
    with new_model(client, experiment_id, run_id, name="model", params=params, model_type=kind) as (model, folder):
        described = Model(
            artifact_path=model.artifact_location,
            run_id=run_id,
            model_uuid=model.model_id,
            model_id=model.model_id,
        )
        _write(outcome, folder, described)
    return str(model.model_id)


@cache
def get_ready() -> None:
    """Store a model that is nothing, nowhere: the first one takes 0.25 s more than others, its imports 0.45 s."""
    with tempfile.TemporaryDirectory() as folder:
        nothing = DummyRegressor().fit([[0.0]], [0.0])
        mlflow.sklearn.save_model(
            nothing, Path(folder) / "model", pip_requirements=["mlflow"], serialization_format="skops"
        )


def _write(outcome: Outcome, path: Path, described: Model) -> None:
    """The model's folder. Another fit of the same kind can hold other types: then they are worked out anew."""
    for known in (True, False):
        try:
            mlflow.sklearn.save_model(
                outcome.estimator,
                path,
                mlflow_model=described,
                signature=infer_signature(outcome.X, outcome.predicted),
                input_example=outcome.X.head(5),
                pip_requirements=list(outcome.requirements),
                code_paths=_own_code(outcome) or None,
                serialization_format="skops",
                skops_trusted_types=_types_inside(outcome, known),
            )
            return
        except MlflowException as error:
            if not known or "untrusted" not in str(error).lower():
                raise
            shutil.rmtree(path, ignore_errors=True)


def _own_code(outcome: Outcome) -> list[str]:
    """Modules of the user that are installed nowhere: the model takes them along."""
    found = []
    for package in outcome.trusted_packages:
        module = sys.modules.get(package)
        if module is not None and module.__file__ and "site-packages" not in module.__file__:
            file = Path(module.__file__)
            found.append(str(file.parent if file.name == "__init__.py" else file))
    return found


_types_by_class: dict[tuple[str, ...], list[str]] = {}


def _types_inside(outcome: Outcome, known: bool) -> list[str]:
    """The types that skops wants to see named, all of them from trusted packages.

    Worked out once per process and kind of estimator: it takes a second dump of the model.
    """
    parts = (outcome.estimator, *outcome.estimator.get_params().values())
    key = tuple(sorted({type(part).__qualname__ for part in parts}))
    if not known or key not in _types_by_class:
        _types_by_class[key] = skops.io.get_untrusted_types(data=skops.io.dumps(outcome.estimator))
    found = _types_by_class[key]
    trusted = {"numpy", "scipy", "builtins", *outcome.trusted_packages}
    foreign = [name for name in found if name.partition(".")[0] not in trusted]
    if foreign:
        raise RecordingFailed(
            Fault(
                f"The model holds types that are not from trusted_packages: {', '.join(foreign)}.",
                "python -m boston_exp.run … tracking.log_model=none   (or name their package in trusted_packages)",
            )
        )
    return found
