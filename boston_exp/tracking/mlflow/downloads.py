"""Artifacts and models from a store, never from where a server sends us on this machine's disk."""

from __future__ import annotations

from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from boston_exp.tracking.destination import foreign_place
from boston_exp.tracking.mlflow.runs import MODEL, find_model
from boston_exp.tracking.recorded import MODELS


def artifact(client: MlflowClient, run_id: str, path: str, folder: Path, server: str | None) -> Path | None:
    """One of a run's; None where it has no such artifact."""
    _refuse(client.get_run(run_id).info.artifact_uri, f"the run {run_id}", server)
    beside = path.rpartition("/")[0] or None
    if not any(item.path == path for item in client.list_artifacts(run_id, beside)):
        return None
    folder.mkdir(parents=True, exist_ok=True)
    return Path(client.download_artifacts(run_id, path, str(folder)))


def model(client: MlflowClient, run_id: str, uri: str | None, folder: Path, server: str | None) -> Path | None:
    """A logged model, else what lies in the run's `model/`; None where there is none.

    Not by MLflow's `models:/` and `runs:/`, which look into the store that the environment names.
    """
    if uri is None:
        _refuse(client.get_run(run_id).info.artifact_uri, f"the run {run_id}", server)
        found = client.list_artifacts(run_id, MODEL)
        return Path(client.download_artifacts(run_id, MODEL, str(folder))) if found else None
    logged = find_model(client, uri.removeprefix(MODELS))
    if logged is None:
        return None
    _refuse(logged.artifact_location, uri, server)
    place = get_artifact_repository(logged.artifact_location, tracking_uri=client.tracking_uri)
    return Path(place.download_artifacts("", str(folder)))


def _refuse(location: str, what: str, server: str | None) -> None:
    wrong = server and foreign_place(location, server)
    if wrong:
        raise MlflowException(f"{what} cannot be read from there: {wrong}")
