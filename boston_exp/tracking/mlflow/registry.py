"""The model registry of an MLflow store: versions of a registered model, and the aliases that name them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from boston_exp.errors import StoreUnusable
from boston_exp.redaction import redact
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.mlflow.failures import raised_as
from boston_exp.tracking.mlflow.runs import MAX_TAG, close_run, create_run, log_metrics
from boston_exp.tracking.recorded import MODELS, Version

EVENT = "promotion."  # tags of the registered model: promotion.7 has the seventh event as JSON
LONGEST = 5000  # characters of a description, in the schema of MLflow's databases


class MlflowRegistry:
    """Of the destination's store, or of its server."""

    def __init__(self, destination: Destination, uri: str) -> None:
        self._destination = destination
        self.shown = destination.shown_server if destination.server else destination.shown_uri
        self._client = MlflowClient(uri)

    def names(self) -> list[str]:
        with self._raised():
            return sorted(model.name for model in self._client.search_registered_models(max_results=100))

    def version(self, name: str, alias_or_number: str) -> Version | None:
        with self._raised():
            try:
                if alias_or_number.isdigit():
                    return _version(self._client.get_model_version(name, alias_or_number))
                return _version(self._client.get_model_version_by_alias(name, alias_or_number))
            except MlflowException as error:
                if is_unknown(error):
                    return None
                raise

    def versions(self, name: str) -> list[Version]:
        with self._raised():
            return [_version(each) for each in self._pages(name)]

    def aliases(self, name: str) -> dict[str, str]:
        with self._raised():
            try:
                found = self._client.get_registered_model(name).aliases
            except MlflowException as error:
                if is_unknown(error):
                    return {}
                raise
            return {alias: str(version) for alias, version in found.items()}

    def create(self, name: str, source: str, run_id: str, tags: dict[str, str], description: str) -> Version:
        with self._raised():
            with suppress(MlflowException):  # it is there
                self._client.create_registered_model(name)
            clean = {key: redact(value)[:MAX_TAG] for key, value in tags.items()}
            with as_default(self._client.tracking_uri):
                made = self._client.create_model_version(
                    name,
                    source,
                    run_id,
                    tags=clean,
                    description=redact(description)[:LONGEST],
                    model_id=source.removeprefix(MODELS),
                )
            return _version(made)

    def remove(self, name: str, number: str) -> None:
        """A version; the registered model too where it was the only one. Nothing where it is gone."""
        with self._raised():
            try:
                self._client.delete_model_version(name, number)
            except MlflowException as error:
                if not is_unknown(error):
                    raise
            if not self._pages(name):
                with suppress(MlflowException):
                    self._client.delete_registered_model(name)

    def tag(self, name: str, number: str, tags: dict[str, str]) -> None:
        with self._raised():
            for key, value in tags.items():
                self._client.set_model_version_tag(name, number, key, redact(value)[:MAX_TAG])

    def point(self, name: str, alias: str, number: str | None) -> None:
        """Have the alias name this version; None for none."""
        with self._raised():
            if number is not None:
                self._client.set_registered_model_alias(name, alias, number)
            else:
                with suppress(MlflowException):
                    self._client.delete_registered_model_alias(name, alias)

    def describe(self, name: str, text: str) -> None:
        with self._raised():
            self._client.update_registered_model(name, redact(text)[:LONGEST])

    def events(self, name: str) -> list[dict[str, Any]]:
        with self._raised():
            try:
                tags = self._client.get_registered_model(name).tags
            except MlflowException as error:
                if is_unknown(error):
                    return []
                raise
        found = []
        for key, value in tags.items():
            if key.startswith(EVENT) and key.removeprefix(EVENT).isdigit():
                with suppress(ValueError):
                    found.append({"number": int(key.removeprefix(EVENT)), **json.loads(value)})
        return sorted(found, key=lambda event: event["number"])

    def note_event(self, name: str, number: int, event: dict[str, Any]) -> None:
        with self._raised():
            self._client.set_registered_model_tag(name, f"{EVENT}{number}", redact(json.dumps(event))[:MAX_TAG])

    def log_artifacts(self, run_id: str, folder: Path, inside: str) -> None:
        with self._raised():
            self._client.log_artifacts(run_id, str(folder), inside)

    def record(self, of: str, name: str, metrics: dict[str, float], tags: dict[str, str], files: Path) -> str:
        with self._raised():
            experiment_id = self._client.get_run(of).info.experiment_id
            run_id = create_run(self._client, experiment_id, name, tags).run_id
            try:
                log_metrics(self._client, run_id, metrics)
                self._client.log_artifacts(run_id, str(files))
            except BaseException:
                close_run(self._client, run_id, "FAILED", "what the table has shown could not be recorded")
                raise
            close_run(self._client, run_id, "FINISHED", "")
            return str(run_id)

    def forget_model(self, uri: str) -> None:
        with self._raised():
            self._client.delete_logged_model(uri.removeprefix(MODELS))

    def _pages(self, name: str) -> list[ModelVersion]:
        quoted = name.replace("'", "''")
        return list(self._client.search_model_versions(f"name = '{quoted}'", max_results=1000))

    def _raised(self) -> Any:
        return raised_as(StoreUnusable, self._destination)


@contextmanager
def as_default(uri: str) -> Iterator[None]:
    """MLflow looks for the source of a version, `models:/<id>`, in the store that it takes for the default one, and
    creates that where there is none."""
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)


def aliases_by_run(client: MlflowClient) -> dict[str, list[str]]:
    """Of each run whose model has an alias, `<name>@<alias>`."""
    found: dict[str, list[str]] = {}
    for model in client.search_registered_models(max_results=100):
        for alias, number in model.aliases.items():
            run_id = str(client.get_model_version(model.name, number).run_id)
            found.setdefault(run_id, []).append(f"{model.name}@{alias}")
    return found


def _version(found: ModelVersion) -> Version:
    return Version(found.name, str(found.version), str(found.run_id or ""), str(found.source), dict(found.tags or {}))


def is_unknown(error: MlflowException) -> bool:
    return error.get_http_status_code() in (400, 404)
