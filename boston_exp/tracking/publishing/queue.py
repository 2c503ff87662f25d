"""Publishes ended runs in the background, beside the next fit; what cannot be published stays pending."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Run, RunTag
from mlflow.exceptions import MlflowException

from boston_exp.config.invocation import command_line
from boston_exp.errors import Fault, ServerRefuses, StoreUnusable
from boston_exp.process import remembered
from boston_exp.redaction import redact
from boston_exp.storage import credentials
from boston_exp.tracking.destination import PENDING, PUBLISHED, SERVER, STATE, Destination, without_user
from boston_exp.tracking.mlflow.runs import all_runs, find_run
from boston_exp.tracking.mlflow.store import connect, experiment_named
from boston_exp.tracking.publishing import health
from boston_exp.tracking.publishing.copy import COPY, RunCopier

log = logging.getLogger(__name__)
LOCK_TIMEOUT = 60.0  # seconds to wait for another process to finish the run that it is publishing


@remembered()
def queue_for(destination: Destination) -> PublishingQueue:
    """One per process and server; the server is asked once.

    Raises ServerRefuses if it is there and does not accept us, StoreUnusable if it is away and on_outage is `fail`.
    """
    assert destination.server is not None
    outage = health.outage(destination)
    if outage and destination.on_outage == "fail":
        mend = command_line("doctor", f"tracking.uri={destination.server}")
        raise StoreUnusable(Fault(f"{outage}, and tracking.on_outage is fail.", mend))
    return PublishingQueue(destination, outage)


class PublishingQueue:
    """A thread that copies ended runs of the local store to the server, one at a time, and their state.

    `outage` says why the server does not answer; once it is set, nothing more is tried by this process.
    """

    def __init__(self, destination: Destination, outage: str | None) -> None:
        assert destination.sqlite_path is not None
        self.outage = outage
        self._destination = destination
        self._local = connect(destination)[0]
        self._server = MlflowClient(destination.server)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="publish")
        self.copier = RunCopier(self._local, self._server, self._experiment_on_server, self._mark_published)
        self._submitted: list[Future[None]] = []
        self._urls: dict[str, str] = {}  # by the copy's id
        self._trouble = "another process is publishing"
        self._stopped = False
        self._backlog = 0
        if not outage:
            try:
                self._experiment_on_server(destination.experiment_name)
            except MlflowException as error:  # it answered a moment ago
                self.outage = f"{self.shown} {health.reason(error)}"
        path = destination.sqlite_path
        self._lock = FileLock(path.with_name(f".{path.name}.publish.lock"), timeout=LOCK_TIMEOUT)

    @property
    def shown(self) -> str:
        """The server's address, without a user."""
        return without_user(str(self._destination.server))

    def submit(self, run_id: str | None) -> None:
        """Publish an ended run, in the background."""
        if run_id is not None and not self.outage and not self._stopped:
            self._submitted.append(self._thread.submit(self.publish, run_id))

    def submit_backlog(self) -> None:
        """Publish, in the background, what earlier commands could not."""
        if not self.outage:
            waiting = self.pending()
            self._backlog = len(waiting)
            if len(waiting) > 1:
                log.info("publishing %d runs that were pending for %s", len(waiting), self.shown)
            for run in waiting:
                self.submit(run.info.run_id)

    def drain(self) -> None:
        """Wait for all that was submitted, and retry once what a single broken connection has left pending."""
        try:
            self._wait()
            for run in [] if self.outage else self.pending():
                self.submit(run.info.run_id)
            self._wait()
        except BaseException:  # Ctrl-C, while we wait
            self.stop()
            raise

    def _wait(self) -> None:
        while self._submitted:
            self._submitted.pop(0).result()

    def pending(self) -> list[Run]:
        """Ended runs of the local store that are not on this server, the oldest first."""
        everywhere = [experiment.experiment_id for experiment in self._local.search_experiments()]
        condition = (
            f"tags.`{STATE}` = '{PENDING}' and tags.`{SERVER}` = '{self.shown}' and attributes.status != 'RUNNING'"
        )
        return list(all_runs(self._local, everywhere, condition, order_by=["start_time ASC"]))

    def publish(self, run_id: str) -> None:
        """Publish an ended run now; one that cannot be stays pending, and `says` tells why."""
        with self._failures_noted():
            run = find_run(self._local, run_id)
            if run and not self.outage:  # None: in another machine's store, which that machine publishes
                self.copier.copy(run)

    def open_copy(self, run_id: str) -> None:
        """Show a run that goes on, the parent of others, on the server from now on; its children point at it."""
        if not self.outage:
            self._thread.submit(self._open_now, run_id).result()

    def _open_now(self, run_id: str) -> None:
        with self._failures_noted():
            if not self.outage:
                self.copier.open(self._local.get_run(run_id))

    @contextmanager
    def _failures_noted(self) -> Iterator[None]:
        """Whatever goes wrong in here, the run is whole in the local store, and stays pending."""
        try:
            with self._lock:
                if not self.outage:
                    self.outage = health.lost(str(self._destination.server), self.shown)
                yield
        except Exception as error:
            self._trouble = redact(f"{type(error).__name__}: {error}").partition("\n")[0][:200]
            try:
                self.outage = self.outage or health.outage(self._destination)  # else it concerns this run alone
            except ServerRefuses as refused:
                self.outage = refused.faults[0].says

    def published_id(self, run_id: str) -> str | None:
        """The id on the server of a run that is whole there."""
        tags = self._local.get_run(run_id).data.tags
        return tags[COPY] if tags.get(STATE) == PUBLISHED else None

    def url(self, copy_id: str) -> str:
        """The page of a copy that this process has published, else the server's."""
        return self._urls.get(copy_id, self.shown)

    def says(self, copy_id: str | None) -> str:
        """One line for the summary: the run is there, or what keeps it here."""
        why = self._destination.why
        backlog = f", with {self._backlog} that had been pending" if self._backlog else ""
        if copy_id:
            return f"published to {self.shown} ({why}){backlog}"
        waiting = len(self.pending())
        what = f"{waiting} run{'s' * (waiting != 1)} pending for {self.shown} ({why})"
        return f"{what}: {self.outage or self._trouble}; the next command with this server publishes"

    def stop(self) -> None:
        """Leave what has not begun for the next command."""
        self._stopped = True
        self._thread.shutdown(wait=False, cancel_futures=True)
        self.copier.close()

    def _mark_published(self, run: Run, copy: Run) -> None:
        place = f"#/experiments/{copy.info.experiment_id}/runs/{copy.info.run_id}"
        self._urls[copy.info.run_id] = f"{self.shown}/{place}"
        tags = {COPY: copy.info.run_id, STATE: PUBLISHED, SERVER: self.shown}
        self._local.log_batch(run.info.run_id, tags=[RunTag(name, value) for name, value in tags.items()])

    def _experiment_on_server(self, name: str) -> str:
        experiment = experiment_named(self._server, name, self.shown)
        if (
            experiment.artifact_location.startswith("s3://") and self._destination.s3
        ):  # clients write artifacts directly
            credentials.into_environment(self._destination.s3.variables())
        return str(experiment.experiment_id)
