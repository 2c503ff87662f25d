"""Takes runs out of an MLflow store: from a local one for good, on a server as its clients can, into its deleted ones.

`mlflow gc` is no part of it: besides the runs that it is given, it removes every deleted experiment and model.
"""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from boston_exp.errors import StoreUnusable
from boston_exp.storage.folders import bytes_in
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.mlflow import compat, pages
from boston_exp.tracking.mlflow.failures import raised_as
from boston_exp.tracking.mlflow.history import MlflowHistory
from boston_exp.tracking.mlflow.runs import find_run
from boston_exp.tracking.recorded import RecordedRun

RUN, MODEL = re.compile(r"[0-9a-f]{32}"), re.compile(r"m-[0-9a-f]{32}")


class MlflowRemoval:
    """Of the runs of a history."""

    def __init__(self, destination: Destination, history: MlflowHistory, on_server: bool = False) -> None:
        self._destination = replace(destination, uri=str(destination.server)) if on_server else destination
        self._on_server = on_server
        self._history = history

    @cached_property
    def _client(self) -> MlflowClient:
        """Opened when it is needed: MlflowClient creates a store that is not there."""
        return MlflowClient(self._destination.uri)

    @cached_property
    def _beside(self) -> set[str]:
        """Ids in the other stores of the same folder, which share its place for artifacts."""
        path = self._destination.sqlite_path
        others = [each for each in path.parent.glob("*.db") if each != path] if path else []
        return {found for other in others for found in compat.ids_in(other)}

    def registered(self) -> set[str]:
        with raised_as(StoreUnusable, self._destination):
            found: set[str] = set()
            if not self._history.experiment_ids():  # there is no store: MLflow would create it
                return found
            token = None
            while token != "":
                page = self._client.search_model_versions(max_results=1000, page_token=token)
                for version in page:
                    found |= {str(version.run_id or ""), *MODEL.findall(str(version.source))}
                    found |= set(RUN.findall(str(version.source)))
                token = page.token or ""
            for model_id in [each for each in found if each.startswith("m-")]:
                with suppress(MlflowException):  # deleted since
                    found.add(str(self._client.get_logged_model(model_id).source_run_id or ""))
            return found - {""}

    def models(self, run_id: str) -> list[str]:
        with raised_as(StoreUnusable, self._destination):
            return [model_id for model_id, _ in self._models(run_id)]

    def size(self, run_id: str) -> int | None:
        with raised_as(StoreUnusable, self._destination):
            run = self._client.get_run(run_id)
            places = [(run_id, run.info.artifact_uri), *self._models(run_id)]
            if self._on_server or any(_folder(location) is None for _, location in places):
                return None
            own = (self._own_folder(location, owner) for owner, location in places)
            return sum(bytes_in(folder) for folder in own if folder)

    def remove(self, run_id: str) -> None:
        with raised_as(StoreUnusable, self._destination):
            run = find_run(self._client, run_id)
            if run is None:
                return
            models = self._models(run_id)
            if not self._on_server:  # first the files: while one is left, the store has the run
                for owner, location in (*models, (run_id, run.info.artifact_uri)):
                    self._remove_files(location, owner)
            for model_id, _ in models:
                with suppress(MlflowException):  # deleted before
                    self._client.delete_logged_model(model_id)
                if not self._on_server:
                    compat.remove_model(self._destination.uri, model_id)
            with suppress(MlflowException):  # it has no view: it is no sweep
                self._client.delete_experiment_tag(run.info.experiment_id, pages.VIEW + pages.key_of_sweep(run_id))
            if run.info.lifecycle_stage == "active":
                self._client.delete_run(run_id)
            if not self._on_server:
                compat.remove_run(self._destination.uri, run_id)

    def deleted(self) -> list[RecordedRun]:
        return [] if self._on_server else self._history.deleted()

    def unowned(self) -> list[Path]:
        with raised_as(StoreUnusable, self._destination):
            path = self._destination.sqlite_path
            experiments = self._history.experiment_ids() if path else []
            roots = [_folder(self._client.get_experiment(each).artifact_location) for each in experiments]
            ours = [root for root in roots if root is not None and self._is_ours(root)]
            if path is None or not ours:
                return []
            known = compat.ids_in(path) | self._beside
            folders = [each for root in ours for each in (*_named(root, RUN), *_named(root / "models", MODEL))]
            return [each for each in folders if each.name not in known]

    def _is_ours(self, folder: Path) -> bool:
        """Whether a folder is inside of the place that this store has for artifacts: what a store says alone, which may
        be a copy of another one, is no reason to remove a file."""
        root = self._destination.artifact_root
        return root is not None and "://" not in root and folder.resolve().is_relative_to(Path(root).resolve())

    def _own_folder(self, location: str, owner: str) -> Path | None:
        """`…/<owner>` of a location `…/<owner>/artifacts`, in our place and of no other store in the same folder; None
        for any other location."""
        folder = _folder(location)
        if folder is None or folder.name != "artifacts" or folder.parent.name != owner or owner in self._beside:
            return None
        whole = folder.resolve() == folder.parent.resolve() / "artifacts" and _is_id(owner)
        return folder.parent if whole and self._is_ours(folder.parent) else None

    def _models(self, run_id: str) -> list[tuple[str, str]]:
        """Id and location of each."""
        if not self._on_server:
            return compat.models_of(self._destination.uri, run_id)
        run = find_run(self._client, run_id)
        places = [run.info.experiment_id] if run else []
        found = self._client.search_logged_models(places, f"source_run_id = '{run_id}'") if places else []
        return [(model.model_id, model.artifact_location) for model in found]

    def _remove_files(self, location: str, owner: str) -> None:
        """Raises OSError where they cannot be removed: the run stays in the store then."""
        folder, root = self._own_folder(location, owner), str(self._destination.artifact_root)
        if folder is not None and folder.exists():
            shutil.rmtree(folder)
            return
        is_own = _is_id(owner) and location.startswith(f"{root}/") and location.endswith(f"/{owner}/artifacts")
        if _folder(location) is None and is_own and ".." not in location:
            get_artifact_repository(location, tracking_uri=self._destination.uri).delete_artifacts()


def _folder(location: str) -> Path | None:
    """The folder that a location is, where it is one on this machine."""
    parts = urlsplit(location)
    return Path(unquote(parts.path)) if parts.scheme in ("", "file") else None


def _is_id(text: str) -> bool:
    return bool(RUN.fullmatch(text) or MODEL.fullmatch(text))


def _named(folder: Path, pattern: re.Pattern[str]) -> list[Path]:
    if not folder.is_dir():
        return []
    folders = (each for each in folder.iterdir() if each.is_dir() and not each.is_symlink())
    return [each for each in folders if pattern.fullmatch(each.name)]
