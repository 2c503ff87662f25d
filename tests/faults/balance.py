"""What is in the local store against what is on a server: lost, doubled, RUNNING, half a model."""

from __future__ import annotations

import sqlite3
import tempfile
import uuid
from collections import Counter, deque
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModel, Run

from boston_exp.tracking.mlflow.runs import all_runs
from boston_exp.tracking.model_files import loaded

KINDS = ("lost", "doubled", "RUNNING", "half a model", "unclean", "litter", "failed")
KEPT = 8  # copies of stores
_folders: list[tempfile.TemporaryDirectory[str]] = []  # one, not made by a command that imports this
_copies: deque[Path] = deque()


@dataclass
class Balance:
    """What is wrong, by kind, each in a sentence; and what there is."""

    wrong: list[tuple[str, str]] = field(default_factory=list)
    runs: int = 0  # in the local store
    copies: int = 0  # whole, on the server
    models: int = 0  # of finished runs that were loaded, here and there

    def add(self, kind: str, says: str) -> None:
        assert kind in KINDS
        self.wrong.append((kind, says))

    def count(self, kind: str) -> int:
        return sum(each == kind for each, _ in self.wrong)


def opened(store: Path) -> MlflowClient:
    """A client of the store as it is now, from a copy of its own: MLflow keeps connections by the path of a file, also
    to one that was replaced since."""
    if not _folders:
        _folders.append(tempfile.TemporaryDirectory(prefix="looked-at-"))
    while len(_copies) > KEPT:
        _copies.popleft().unlink()
    _copies.append(Path(_folders[0].name) / f"{uuid.uuid4().hex}.db")
    with closing(sqlite3.connect(store)) as source, closing(sqlite3.connect(_copies[-1])) as target:
        source.backup(target)
    return MlflowClient(f"sqlite:///{_copies[-1]}")


def runs_of(client: MlflowClient, name: str) -> list[Run]:
    experiment = client.get_experiment_by_name(name)
    return list(all_runs(client, [experiment.experiment_id], "")) if experiment else []


def models_of(client: MlflowClient, name: str) -> list[LoggedModel]:
    experiment = client.get_experiment_by_name(name)
    found: list[LoggedModel] = []
    token = None
    while experiment is not None:
        page = client.search_logged_models([experiment.experiment_id], page_token=token, max_results=50)
        found += page
        token = page.token
        if not token:
            break
    return found


def look(store: Path, server: str | None, name: str, load: bool = True) -> Balance:
    """Of one experiment; every model that says READY is loaded, unless `load` is False."""
    found, local = Balance(), opened(store)
    here = runs_of(local, name)
    found.runs = len(here)
    check_store(found, store)
    own = models_of(local, name)
    check_runs(found, "here", here, own, load)
    if server:
        client = MlflowClient(server)
        there = runs_of(client, name)
        models = models_of(client, name)
        check_runs(found, "on the server", there, models, load, server)
        check_copies(found, here, there, own, models)
    return found


def check_store(found: Balance, store: Path) -> None:
    connection = sqlite3.connect(store)
    (answer,) = connection.execute("PRAGMA integrity_check").fetchone()
    connection.close()
    if answer != "ok":
        found.add("unclean", f"{store.name}: {answer}")


def check_runs(
    found: Balance, where: str, runs: list[Run], models: list[LoggedModel], load: bool, uri: str | None = None
) -> None:
    """Nothing RUNNING, and each model of a run READY and loadable, or FAILED with its run."""
    statuses = {run.info.run_id: run.info.status for run in runs}
    for run in runs:
        if run.info.status == "RUNNING":
            found.add("RUNNING", f"run {run.info.run_id} {where}")
    for model in models:
        of = statuses.get(str(model.source_run_id), "gone")
        if str(model.status) == "READY":
            if load and load_model(found, where, model, uri):
                found.models += of == "FINISHED"
        elif str(model.status) == "PENDING" or of == "FINISHED":
            found.add("half a model", f"model {model.model_id} {where} is {model.status}, its run {of}")


def load_model(found: Balance, where: str, model: LoggedModel, uri: str | None) -> bool:
    """Whether it can be loaded."""
    try:
        with tempfile.TemporaryDirectory() as copy:
            place = download_artifacts(model.artifact_location, tracking_uri=uri, dst_path=copy)
            loaded(Path(place), model.model_id, ("sklearn", "skrub"))
    except Exception as error:
        found.add("half a model", f"model {model.model_id} {where}: {type(error).__name__}: {str(error)[:200]}")
        return False
    return True


def check_copies(
    found: Balance,
    here: list[Run],
    there: list[Run],
    here_models: list[LoggedModel],
    there_models: list[LoggedModel],
) -> None:
    """Every run is whole there, once, with the scores and the status that it has here."""
    whole = {run.data.tags.get("sync.source"): run for run in there if "sync.complete" in run.data.tags}
    found.copies = len(whole)
    for run in here:
        copy = whole.get(run.info.run_id)
        if copy is None:
            found.add("lost", f"run {run.info.run_id} ({run.info.status}) has no whole copy")
            continue
        if copy.data.metrics != run.data.metrics or copy.data.params != run.data.params:
            found.add("lost", f"the copy of {run.info.run_id} has other scores or params")
        if (copy.info.status, copy.info.start_time, copy.info.end_time) != (
            run.info.status, run.info.start_time, run.info.end_time,
        ):  # fmt: skip
            found.add("lost", f"the copy of {run.info.run_id} has another status or time")
    ready = Counter(model.source_run_id for model in there_models if str(model.status) == "READY")
    for model in here_models:
        copy = whole.get(model.source_run_id)
        if str(model.status) == "READY" and copy and not ready[copy.info.run_id]:
            found.add("lost", f"the copy of {model.source_run_id} has no model")
    sources = Counter(run.data.tags.get("sync.source") for run in there)
    of_models = Counter(model.tags.get("sync.source_model") for model in there_models)
    for source, count in (*sources.items(), *of_models.items()):
        if count > 1:
            found.add("doubled", f"{source} has {count} copies")
