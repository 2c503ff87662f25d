"""What is in the local store against what is on a server: lost, doubled, RUNNING, half a model."""

from __future__ import annotations

import sqlite3
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModel, Run

from boston_exp.tracking.mlflow.runs import all_runs
from boston_exp.tracking.model_files import loaded

KINDS = ("lost", "doubled", "RUNNING", "half a model", "unclean", "litter", "failed")


@dataclass
class Balance:
    """What is wrong, by kind, each in a sentence; and what there is."""

    wrong: list[tuple[str, str]] = field(default_factory=list)
    runs: int = 0  # in the local store
    copies: int = 0  # whole, on the server
    models: int = 0  # that were loaded, here and there

    def add(self, kind: str, says: str) -> None:
        assert kind in KINDS
        self.wrong.append((kind, says))

    def count(self, kind: str) -> int:
        return sum(each == kind for each, _ in self.wrong)


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
    found, local = Balance(), MlflowClient(f"sqlite:///{store}")
    here = runs_of(local, name)
    found.runs = len(here)
    check_store(found, store)
    check_runs(found, "here", here, models_of(local, name), load)
    if server:
        client = MlflowClient(server)
        there = runs_of(client, name)
        models = models_of(client, name)
        check_runs(found, "on the server", there, models, load, server)
        check_copies(found, here, there, models)
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
        for output in run.outputs.model_outputs if run.outputs else []:
            if run.info.status == "FINISHED" and output.model_id not in {model.model_id for model in models}:
                found.add("lost", f"model {output.model_id} of the finished run {run.info.run_id} {where}")
    for model in models:
        of = statuses.get(str(model.source_run_id), "gone")
        if str(model.status) == "READY":
            if load:
                load_model(found, where, model, uri)
        elif str(model.status) == "PENDING" or of == "FINISHED":
            found.add("half a model", f"model {model.model_id} {where} is {model.status}, its run {of}")


def load_model(found: Balance, where: str, model: LoggedModel, uri: str | None) -> None:
    try:
        with tempfile.TemporaryDirectory() as copy:
            place = download_artifacts(model.artifact_location, tracking_uri=uri, dst_path=copy)
            loaded(Path(place), model.model_id, ("sklearn", "skrub"))
        found.models += 1
    except Exception as error:
        found.add("half a model", f"model {model.model_id} {where}: {type(error).__name__}: {str(error)[:200]}")


def check_copies(found: Balance, here: list[Run], there: list[Run], models: list[LoggedModel]) -> None:
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
        of_copy = {output.model_id for output in copy.outputs.model_outputs} if copy.outputs else set()
        of_run = run.outputs.model_outputs if run.outputs else []
        if len(of_copy) != len(of_run):
            found.add("lost", f"the copy of {run.info.run_id} has {len(of_copy)} models, not {len(of_run)}")
    sources = Counter(run.data.tags.get("sync.source") for run in there)
    of_models = Counter(model.tags.get("sync.source_model") for model in models)
    for source, count in (*sources.items(), *of_models.items()):
        if count > 1:
            found.add("doubled", f"{source} has {count} copies")
