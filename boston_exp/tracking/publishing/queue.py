"""Publishes ended runs in the background, beside the next fit; what cannot be published stays pending."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from boston_exp import process
from boston_exp.config.invocation import command_line
from boston_exp.errors import Fault, ServerRefuses, StoreUnusable
from boston_exp.process import remembered
from boston_exp.redaction import redact
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.mlflow import compat, pages
from boston_exp.tracking.mlflow.runs import COMPLETE, all_runs, find_run
from boston_exp.tracking.mlflow.store import connect
from boston_exp.tracking.publishing import health
from boston_exp.tracking.publishing.copy import RunCopier
from boston_exp.tracking.publishing.experiments import ServerExperiments
from boston_exp.tracking.publishing.lock import HeldError, PublishLock
from boston_exp.tracking.publishing.marks import Marks
from boston_exp.tracking.publishing.source import Source

log = logging.getLogger(__name__)
BACKLOG = 25  # runs that a command publishes of those that earlier ones could not, the oldest first
OPENING = 10.0  # seconds for the experiment on the server


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

    `outage` says why nothing more is tried by this process: the server does not answer, or another process publishes.
    A server is known by `server_id`, a tag of its experiment: where that is another, its database is another.
    """

    def __init__(self, destination: Destination, outage: str | None) -> None:
        assert destination.sqlite_path is not None
        self.outage = outage
        self._path = destination.sqlite_path
        self._destination = destination
        self._local = connect(destination)[0]
        self._server = MlflowClient(destination.server)
        self._experiments = ServerExperiments(self._server, destination)
        self._marks = Marks(self._local, self.shown, self._experiments.ids)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="publish")
        self.copier = RunCopier(Source(self._local), self._server, self._experiments.id_of, self._marks, destination.s3)
        self._submitted: list[tuple[str, Future[None]]] = []
        self._there: set[str] = set()  # ids of the runs that this process has published, or found published
        self._places: dict[str, str] = {}  # id of the experiment there, by the copy's id
        self._trouble = "it was interrupted"
        self._stopped = False
        self._backlog = 0
        self._points: dict[str, set[str]] = {}  # ids of whole copies of a sweep's points, by its parent here
        self._lock = PublishLock(self._path)
        if not outage:
            try:
                process.within(OPENING, lambda: self._experiments.id_of(destination.experiment_name))
            except (MlflowException, TimeoutError) as error:  # it answered a moment ago
                self.outage = f"{self.shown} {health.reason(error)}"

    @property
    def shown(self) -> str:
        """The server's address, without a user."""
        return self._destination.shown_server

    def submit(self, run_id: str | None) -> None:
        """Publish an ended run, in the background."""
        if run_id is not None and not self.outage and not self._stopped:
            self._submitted.append((run_id, self._thread.submit(self.publish, run_id)))

    def submit_backlog(self) -> None:
        """Publish, in the background, a share of what earlier commands could not."""
        if not self.outage:
            waiting, count = self._waiting(BACKLOG)
            self._backlog = min(count, len(waiting))  # those in doubt are there, and looked at again
            if count > 1:
                log.info("publishing %d of %d runs that were pending for %s", self._backlog, count, self.shown)
            for run_id in waiting:
                self.submit(run_id)

    def drain(self) -> None:
        """Wait for all that was submitted, and retry once what a single broken connection has left pending."""
        try:
            tried = self._wait()
            for run_id in [] if self.outage else [run_id for run_id in tried if run_id not in self._there]:
                self.submit(run_id)
            self._wait()
        except BaseException:  # Ctrl-C, while we wait
            self.stop()
            raise

    def _wait(self) -> list[str]:
        tried = []
        while self._submitted:
            run_id, future = self._submitted.pop(0)
            self._finish(future)
            tried.append(run_id)
        return tried

    def _finish(self, future: Future[None]) -> None:
        """Wait for what the thread does, as long as its steps end in time."""
        while not self._stopped and not wait([future], timeout=0.2).done:
            if time.monotonic() > self.copier.deadline:
                self.outage = f"{self.shown} takes too long to answer"
                self.stop()

    def _waiting(self, top: int) -> tuple[list[str], int]:
        """Ended runs of the local store that are not on this server, the oldest first, and how many there are."""
        name = self._destination.experiment_name
        return compat.to_publish(self._path, self.shown, self._marks.ids.get(name, ""), name, top)

    def publish(self, run_id: str) -> None:
        """Publish an ended run now; one that cannot be stays pending, and `says` tells why."""
        run = find_run(self._local, run_id)  # None: in another machine's store, which that machine publishes
        if run:
            self._locked(lambda: self._copied(run))

    def _copied(self, run: Run) -> None:
        copy_id = self._marks.copy_of(run)
        if copy_id and copy_id in self._present(run, copy_id):
            self._there.add(run.info.run_id)
        else:
            copy = self.copier.copy(run)
            self._places[copy.info.run_id] = copy.info.experiment_id
            self._there.add(run.info.run_id)

    def _present(self, run: Run, copy_id: str) -> set[str]:
        """Ids of whole copies on the server, this one among them if it is there: of a sweep's points all at once."""
        parent = run.data.tags.get("mlflow.parentRunId")
        if parent is None:
            copy = find_run(self._server, copy_id)
            active = copy and copy.info.lifecycle_stage == "active" and COMPLETE in copy.data.tags
            return {copy_id} if active else set()
        if parent not in self._points:
            there = str(self._server.get_run(copy_id).data.tags.get("mlflow.parentRunId"))
            place = self._experiments.id_of(self._marks.name_of(run))
            found = all_runs(self._server, [place], f"tags.mlflow.parentRunId = '{there}'")
            self._points[parent] = {each.info.run_id for each in found if COMPLETE in each.data.tags}
        return self._points[parent]

    def open_copy(self, run_id: str) -> None:
        """Show a run that goes on, the parent of others, on the server from now on; its children point at it."""
        if not self.outage and not self._stopped:
            opened = self._thread.submit(self._locked, lambda: self.copier.open(self._local.get_run(run_id)))
            self._finish(opened)

    def _locked(self, act: Callable[[], None]) -> None:
        """Act as the only process that publishes. Whatever goes wrong, the run is whole here, and stays pending."""
        if self.outage or self._stopped:
            return
        try:
            with self._lock.held():
                self.outage = health.lost(str(self._destination.server), self.shown)
                if not self.outage:
                    act()
        except HeldError as held:
            self.outage = str(held)
        except Exception as error:
            self._trouble = redact(f"{type(error).__name__}: {error}").partition("\n")[0][:200]
            try:
                self.outage = self.outage or health.outage(self._destination)  # else it concerns this run alone
            except ServerRefuses as refused:
                self.outage = refused.faults[0].says

    def published_id(self, run_id: str) -> str | None:
        """The id on the server of a run that is whole there."""
        return self._marks.copy_of(self._local.get_run(run_id), doubted=True)

    def page(self, copy_id: str, view: str) -> str:
        """The list of runs that shows a copy which this process has published, else the server's first page."""
        place = self._places.get(copy_id)
        return pages.address(self.shown, place, view) if place else self.shown

    def says(self, copy_id: str | None) -> str:
        """One line for the summary: the run is there, or what keeps it, or others, here."""
        why = self._destination.why
        waiting = self._waiting(1)[1]
        left = f"{waiting} run{'s' * (waiting != 1)} pending for {self.shown} ({why})"
        if copy_id and not waiting:
            backlog = f", with {self._backlog} that had been pending" if self._backlog else ""
            return f"published to {self.shown} ({why}) as {copy_id}{backlog}"
        if copy_id:
            reason = self.outage or "each command publishes some"
            return f"published to {self.shown} ({why}) as {copy_id}; {left}: {reason}"
        return f"{left}: {self.outage or self._trouble}; the next command with this server publishes"

    def says_of_open(self) -> str:
        """The same of a run that goes on: what belongs to it is published as it ends."""
        if self.outage:
            return self.says(None)
        return f"what has ended is published to {self.shown} ({self._destination.why})"

    def stop(self) -> None:
        """Leave what has not begun for the next command, and do not wait for what hangs."""
        self._stopped = True
        self._thread.shutdown(wait=False, cancel_futures=True)
        self.copier.close()
        process.abandon_threads()
