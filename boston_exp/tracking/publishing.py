"""Brings ended runs of the local store to an MLflow server, once each, and again if it was interrupted.

The copy carries the local run's id from its first moment, `sync.complete` from its last; whatever is written in between
may be written twice. So a run on the server is whole, or visibly not finished and finished by the next command.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock

import requests
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, Run, RunTag
from mlflow.exceptions import MlflowException

from boston_exp.errors import Fault, ServerRefuses, StoreUnusable, without_secrets
from boston_exp.storage import credentials
from boston_exp.tracking import liveness, server
from boston_exp.tracking.destination import PENDING, PUBLISHED, SERVER, STATE, Destination, without_user
from boston_exp.tracking.mlflow_store import (
    connect,
    copy_model,
    experiment_on,
    find_run,
    finished_on,
    log_datasets,
    log_metrics,
    log_params,
)
from boston_exp.tracking.protocol import Finished

log = logging.getLogger(__name__)
SOURCE, COMPLETE, SOURCE_MODEL, COPY = "sync.source", "sync.complete", "sync.source_model", "sync.run_id"
OWN = (SERVER, STATE, COPY, liveness.PROCESS, liveness.HEARTBEAT)  # of the local store alone
POINTS_AT_RUNS = ("mlflow.parentRunId", "best.run_id", "best.model_of")
UPLOADS = 8  # at once; each is a request of its own
PATIENCE = 60.0  # seconds for another process to finish the run that it is publishing

# A worker that is forked in the middle of a publication would inherit locks that nobody there will ever release.
_no_fork = Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_no_fork.acquire, after_in_parent=_no_fork.release, after_in_child=_no_fork.release)


def find_on_server(destination: Destination, fingerprint: str, with_model: bool) -> Finished | None:
    """A run that somebody recorded there; None, too, where it does not answer: training again loses nothing."""
    credentials.into_environment(credentials.for_server())
    client = MlflowClient(destination.server)
    try:
        experiment = client.get_experiment_by_name(destination.experiment_name)
        return experiment and finished_on(client, experiment.experiment_id, fingerprint, with_model)
    except (MlflowException, requests.RequestException):
        return None


@cache
def publisher(destination: Destination) -> Publisher:
    """One per process and server, which is looked for once.

    Raises ServerRefuses if it is there and does not take us, StoreUnusable if it is away and on_outage is `fail`.
    """
    assert destination.server is not None
    away = server.outage(destination.server, destination.experiment_name)
    if away and destination.on_outage == "fail":
        raise StoreUnusable(
            Fault(f"{away}, and tracking.on_outage is fail.", f"{server.DOCTOR} tracking.uri={destination.server}")
        )
    return Publisher(destination, away)


class Publisher:
    """Publishes in a thread of its own, so that the next fit need not wait."""

    def __init__(self, destination: Destination, away: str | None) -> None:
        self.away = away
        self._destination = destination
        self._local = connect(destination)[0]
        self._server = MlflowClient(destination.server)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="publish")
        self._uploads = ThreadPoolExecutor(UPLOADS, thread_name_prefix="upload")
        self._soon: list[Future[None]] = []
        self._experiments: dict[str, str] = {}  # ids there by ids here
        self._copies: dict[str, str] = {}  # likewise, of runs
        self._urls: dict[str, str] = {}  # by the copy's id
        self._trouble = "another process is at it"
        self._stopped = False
        self._caught_up = 0
        assert destination.sqlite_path is not None
        if not away:
            try:
                self._experiment_named(destination.experiment_name)
            except MlflowException as error:  # it answered a moment ago
                self.away = f"{self.shown} {server.reason(error)}"
        path = destination.sqlite_path
        self._lock = FileLock(path.with_name(f".{path.name}.publish.lock"), timeout=PATIENCE)

    @property
    def shown(self) -> str:
        return without_user(str(self._destination.server))

    def soon(self, run_id: str | None) -> None:
        """Publish an ended run, in the background."""
        if run_id is not None and not self.away and not self._stopped:
            self._soon.append(self._thread.submit(self.now, run_id))

    def catch_up(self) -> None:
        """Publish, in the background, what an earlier command could not."""
        if not self.away:
            waiting = self.pending()
            self._caught_up = len(waiting)
            if len(waiting) > 1:
                log.info("publishing %d runs that were pending for %s", len(waiting), self.shown)
            for run in waiting:
                self.soon(run.info.run_id)

    def settle(self) -> None:
        """Wait for all that was asked for, and try once more what a single broken connection has left."""
        try:
            self._wait()
            for run in [] if self.away else self.pending():
                self.soon(run.info.run_id)
            self._wait()
        except BaseException:  # Ctrl-C, while we wait
            self.stop()
            raise

    def _wait(self) -> None:
        while self._soon:
            self._soon.pop(0).result()

    def pending(self) -> list[Run]:
        """Ended runs of the local store that are not on this server, the oldest first."""
        everywhere = [experiment.experiment_id for experiment in self._local.search_experiments()]
        waiting = (
            f"tags.`{STATE}` = '{PENDING}' and tags.`{SERVER}` = '{self.shown}' and attributes.status != 'RUNNING'"
        )
        return list(_all_runs(self._local, everywhere, waiting, order_by=["start_time ASC"]))

    def now(self, run_id: str) -> None:
        """Publish an ended run; one that could not be stays pending, and why is said."""
        with self._trying():
            run = find_run(self._local, run_id)
            if run and not self.away:  # None: of another machine's store, which that machine publishes
                self._publish(run)

    @contextmanager
    def _trying(self) -> Iterator[None]:
        """Whatever goes wrong in here, the run is whole in the local store, and stays pending."""
        try:
            with self._lock, _no_fork:
                if not self.away:
                    self.away = self._health()
                yield
        except Exception as error:
            self._trouble = without_secrets(f"{type(error).__name__}: {error}").partition("\n")[0][:200]
            try:
                uri, name = str(self._destination.server), self._destination.experiment_name
                self.away = self.away or server.outage(uri, name)  # else it is this run's own affair
            except ServerRefuses as refused:
                self.away = refused.faults[0].says

    def _health(self) -> str | None:
        """Why the server is lost, if it is; asked before each run, as MLflow itself waits far longer."""
        answer = server.ask(str(self._destination.server), "/health")
        if answer.away or answer.status >= 500:
            return f"{self.shown} {answer.away or f'answers {answer.status}'}"
        return None

    def copy_of(self, run_id: str) -> str | None:
        """The id on the server of a run that is whole there."""
        tags = self._local.get_run(run_id).data.tags
        return tags[COPY] if tags.get(STATE) == PUBLISHED else None

    def url(self, copy_id: str) -> str:
        return self._urls.get(copy_id, self.shown)

    def says(self, copy_id: str | None) -> str:
        """One line for the summary: it is there, or what keeps it here."""
        why = self._destination.why
        caught_up = f", with {self._caught_up} that had been pending" if self._caught_up else ""
        if copy_id:
            return f"published to {self.shown} ({why}){caught_up}"
        waiting = len(self.pending())
        what = f"{waiting} run{'s' * (waiting != 1)} pending for {self.shown} ({why})"
        return f"{what}: {self.away or self._trouble}; the next command with this server publishes"

    def open_copy(self, run_id: str) -> None:
        """Let a run that goes on, the parent of others, be seen on the server from now on, by its children, too."""
        if not self.away:
            self._thread.submit(self._open_now, run_id).result()

    def _open_now(self, run_id: str) -> None:
        with self._trying():
            if not self.away:
                run = self._local.get_run(run_id)
                self._write_params(run, self._copy_of(run))

    def stop(self) -> None:
        """Leave what is not begun for the next command."""
        self._stopped = True
        for pool in (self._thread, self._uploads):
            pool.shutdown(wait=False, cancel_futures=True)

    # -- one run ------------------------------------------------------------------------------------------------

    def _publish(self, run: Run) -> None:
        copy = self._copy_of(run)
        whole = copy.data.tags.get(COMPLETE) == str(run.info.end_time) and copy.info.status == run.info.status
        if not whole:
            self._write(run, copy)
        place = f"#/experiments/{copy.info.experiment_id}/runs/{copy.info.run_id}"
        self._urls[copy.info.run_id] = f"{self.shown}/{place}"
        tags = [RunTag(COPY, copy.info.run_id), RunTag(STATE, PUBLISHED), RunTag(SERVER, self.shown)]
        self._local.log_batch(run.info.run_id, tags=tags)

    def _copy_of(self, run: Run) -> Run:
        """The run's copy, made if there is none: found by the source's id, which it got when it was made."""
        local_id = run.info.run_id
        experiment_id = self._experiment_id(run)
        if local_id not in self._copies:
            # may publish its parent, and that its best child, which may be this run
            tags = {**self._tags(run, "mlflow.parentRunId"), SOURCE: local_id}
        if local_id in self._copies:
            return self._server.get_run(self._copies[local_id])
        found = self._server.search_runs([experiment_id], f"tags.`{SOURCE}` = '{local_id}'", max_results=1)
        if found:
            (copy,) = found
        else:
            named, begun = run.info.run_name, run.info.start_time
            copy = self._server.create_run(experiment_id, start_time=begun, tags=tags, run_name=named)
        self._copies[local_id] = copy.info.run_id
        return copy

    def _tags(self, run: Run, *pointers: str) -> dict[str, str]:
        """Its tags, ids of runs as they are there; of those only the pointers that are asked for.

        A parent points at its best child, and that one at its parent: a new copy is told of its parent alone.
        """
        tags = {name: value for name, value in run.data.tags.items() if name not in (*OWN, *POINTS_AT_RUNS)}
        ids = {name: run.data.tags[name] for name in pointers if run.data.tags.get(name)}
        return tags | {name: self._id_on_server(local_id) for name, local_id in ids.items()}

    def _id_on_server(self, local_id: str) -> str:
        if local_id not in self._copies:
            pointed_at = find_run(self._local, local_id)
            if pointed_at:
                if STATE not in pointed_at.data.tags and pointed_at.info.status != "RUNNING":
                    self._publish(pointed_at)  # recorded before there was a server, reused now
                return str(self._copy_of(pointed_at).info.run_id)
            # of another machine's store, or already the id of a copy
            experiments = list(self._experiments.values())
            found = self._server.search_runs(experiments, f"tags.`{SOURCE}` = '{local_id}'", max_results=1)
            return str(found[0].info.run_id) if found else local_id
        return self._copies[local_id]

    def _write_params(self, run: Run, copy: Run) -> None:
        if copy.data.params != run.data.params:
            log_params(self._server, copy.info.run_id, run.data.params)

    def _write(self, run: Run, copy: Run) -> None:
        copy_id, info = copy.info.run_id, run.info
        self._write_params(run, copy)
        inputs = run.inputs.dataset_inputs if run.inputs else []
        if inputs:
            log_datasets(self._server, copy_id, inputs)
        if self._local.list_artifacts(info.run_id):  # a run that failed may have none
            self._upload(
                Path(self._local.download_artifacts(info.run_id, "")),
                lambda file, folder: self._server.log_artifact(copy_id, file, folder),
            )
        outputs = run.outputs.model_outputs if run.outputs else []
        model_ids = [self._publish_model(output.model_id, copy) for output in outputs]
        origin = {"model_id": model_ids[-1] if model_ids else None}
        if inputs:
            origin |= {"dataset_name": inputs[0].dataset.name, "dataset_digest": inputs[0].dataset.digest}
        log_metrics(self._server, copy_id, run.data.metrics, at=info.end_time, **origin)
        tags = {**self._tags(run, *POINTS_AT_RUNS), COMPLETE: str(info.end_time)}
        self._server.log_batch(copy_id, tags=[RunTag(name, value) for name, value in tags.items()])
        self._server.set_terminated(copy_id, info.status, info.end_time)

    def _publish_model(self, model_id: str, copy: Run) -> str:
        source = self._local.get_logged_model(model_id)
        there = self._server.search_logged_models(
            [copy.info.experiment_id], f"tags.`{SOURCE_MODEL}` = '{model_id}'", max_results=1
        )
        if there:
            model = there[0]
        else:
            model = self._server.create_logged_model(
                copy.info.experiment_id,
                name=source.name,
                source_run_id=copy.info.run_id,
                tags={**source.tags, SOURCE_MODEL: model_id},
                params=source.params,
                model_type=source.model_type,
            )
        known = [output.model_id for output in copy.outputs.model_outputs] if copy.outputs else []
        if model.model_id not in known:
            self._server.log_outputs(copy.info.run_id, [LoggedModelOutput(model.model_id, step=0)])
        if str(model.status) == str(source.status):
            return str(model.model_id)
        with tempfile.TemporaryDirectory(prefix="boston_exp-") as name:
            folder = Path(name) / "model"
            copy_model(source, model, folder)
            self._upload(folder, lambda file, inside: self._server.log_model_artifact(model.model_id, file, inside))
        self._server.finalize_logged_model(model.model_id, source.status)
        return str(model.model_id)

    def _upload(self, root: Path, put: Callable[[str, str | None], None]) -> None:
        files = [file for file in root.rglob("*") if file.is_file()]
        inside = [file.parent.relative_to(root).as_posix() for file in files]
        places = [(str(file), None if folder == "." else folder) for file, folder in zip(files, inside, strict=True)]
        with _patience_for(max((file.stat().st_size for file in files), default=0)):
            for first in places[:1]:  # alone: MLflow looks up, once, where this run's files belong
                put(*first)
            list(self._uploads.map(lambda place: put(*place), places[1:]))

    def _experiment_id(self, run: Run) -> str:
        local_id = run.info.experiment_id
        if local_id not in self._experiments:
            self._experiments[local_id] = self._experiment_named(self._local.get_experiment(local_id).name)
        return self._experiments[local_id]

    def _experiment_named(self, name: str) -> str:
        experiment = experiment_on(self._server, name, self.shown)
        if experiment.artifact_location.startswith("s3://") and self._destination.s3:  # no server hands them through
            credentials.into_environment(self._destination.s3.variables())
        return str(experiment.experiment_id)


@contextmanager
def _patience_for(size: int) -> Iterator[None]:
    """A server answers when a file is in its object store: a second more for every megabyte."""
    name = "MLFLOW_HTTP_REQUEST_TIMEOUT"
    before = os.environ[name]  # always set: see tracking/__init__.py
    os.environ[name] = str(int(before) + size // 1_000_000)
    try:
        yield
    finally:
        os.environ[name] = before


def _all_runs(client: MlflowClient, experiments: list[str], having: str, order_by: list[str]) -> Iterator[Run]:
    token = None
    while token != "":
        page = client.search_runs(experiments, having, max_results=1000, order_by=order_by, page_token=token)
        yield from page
        token = page.token or ""
