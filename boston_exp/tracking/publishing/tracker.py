"""Records in the local store, then publishes to an MLflow server: an outage costs nothing but the time to notice it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import requests
from mlflow.exceptions import MlflowException

from boston_exp import process
from boston_exp.errors import Detached, StoreUnusable
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.mlflow.history import MlflowHistory
from boston_exp.tracking.mlflow.sweeps import MlflowSweepRecording
from boston_exp.tracking.mlflow.tracker import MlflowRecording, MlflowTracker
from boston_exp.tracking.protocol import Failure, Finished, Outcome, Plan, Refit, SweepPlan
from boston_exp.tracking.publishing.queue import PublishingQueue, queue_for

LOOK = 10.0  # seconds for a finished run on the server


def find_on_server(
    destination: Destination, fingerprint: str, with_model: bool, metrics: Sequence[str]
) -> Finished | None:
    """A finished run that somebody published; None, too, where the server does not answer: training again loses
    nothing."""
    destination.login.into_environment()
    try:
        history = MlflowHistory(destination, on_server=True)
        return process.within(LOOK, lambda: history.finished(fingerprint, with_model, metrics))
    except (MlflowException, requests.RequestException, StoreUnusable, TimeoutError):
        return None


class LocalFirstTracker:
    """An MLflow tracker whose runs are published as they end, after the backlog of earlier commands."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._local = MlflowTracker(destination)
        self._queue = queue_for(destination)

    @property
    def outage(self) -> str | None:
        return self._queue.outage

    @contextmanager
    def start(self, plan: Plan) -> Iterator[PublishedRecording]:
        with _publishing(self._queue) as opened, self._local.start(plan) as local:
            recording = PublishedRecording(local, self._queue)
            opened(recording)
            yield recording

    def find_finished(self, fingerprint: str, with_model: bool, metrics: Sequence[str]) -> Finished | None:
        done = self._local.find_finished(fingerprint, with_model, metrics)
        if done:  # it may have been recorded without this server
            self._queue.submit(done.run_id)
            self._queue.drain()
        if done or self._queue.outage:
            return done
        return find_on_server(self._destination, fingerprint, with_model, metrics)

    @contextmanager
    def sweep(self, plan: SweepPlan) -> Iterator[PublishedSweepRecording]:
        with _publishing(self._queue) as opened, self._local.sweep(plan) as local:
            self._queue.open_copy(local.run_id)
            recording = PublishedSweepRecording(local, self._queue)
            opened(recording)
            yield recording


class WorkerTracker(MlflowTracker):
    """Of a worker in a sweep: the main process publishes, but a finished run may be on the server alone."""

    def find_finished(self, fingerprint: str, with_model: bool, metrics: Sequence[str]) -> Finished | None:
        done = super().find_finished(fingerprint, with_model, metrics)
        if done or not self._destination.asks:
            return done
        return find_on_server(self._destination, fingerprint, with_model, metrics)


class _Published:
    """What is said of a record that is in the local store, and on the server or still to be brought there."""

    def __init__(self, local: MlflowRecording | MlflowSweepRecording, queue: PublishingQueue) -> None:
        self.run_id: str = local.run_id
        self._local = local
        self._queue = queue
        self._copy_id: str | None = None
        self.goes_on = False  # when the command ends

    def publish(self) -> None:
        self._queue.submit(self.run_id)
        self._queue.drain()
        self._copy_id = self._queue.published_id(self.run_id)

    @property
    def where(self) -> str:
        said = self._queue.says_of_open() if self.goes_on else self._queue.says(self._copy_id)
        return f"{self._local.where}; {said}"

    @property
    def next_command(self) -> str | None:
        if self._copy_id:
            return f"open {self._queue.page(self._copy_id, self._local.view)}"
        return self._local.next_command


@contextmanager
def _publishing(queue: PublishingQueue) -> Iterator[Callable[[_Published], None]]:
    """Once a recording is opened, publish the backlog in the background; on exit, publish that recording.

    A run that failed is published as FAILED; after Ctrl-C nothing is: who presses it wants to leave.
    """
    recordings: list[_Published] = []

    def opened(recording: _Published) -> None:
        recordings.append(recording)
        queue.submit_backlog()

    try:
        yield opened
    except Detached:  # points that have ended are on their way
        queue.drain()
        recordings[0].goes_on = True
        raise
    except BaseException as error:
        if recordings and isinstance(error, Exception):
            recordings[0].publish()
        else:
            queue.stop()
        raise
    recordings[0].publish()


class PublishedRecording(_Published):
    _local: MlflowRecording

    def log(self, outcome: Outcome) -> None:
        self._local.log(outcome)

    def log_files(self, files: Path) -> None:
        self._local.log_files(files)


class PublishedSweepRecording(_Published):
    _local: MlflowSweepRecording

    def link(self, run_id: str) -> str:
        return self._local.link(run_id)

    @property
    def elsewhere(self) -> str | None:
        return self._local.elsewhere

    def note_elsewhere(self, note: str | None) -> None:
        self._local.note_elsewhere(note)

    def finished_points(self) -> dict[str, Finished]:
        return self._local.finished_points()

    def finished(self, run_id: str) -> Finished | None:
        return self._local.finished(run_id)

    def fail(self, run_id: str | None, failure: Failure) -> str:
        return self._local.fail(run_id, failure)

    def point_ended(self, run_id: str | None, reused: bool) -> None:
        self._local.point_ended(run_id, reused)
        self._queue.submit(run_id)

    def log(self, metrics: dict[str, float], tags: dict[str, str], files: Path) -> None:
        self._local.log(metrics, tags, files)

    def store_model(self, best: Finished, refit: Refit) -> None:
        self._local.store_model(best, refit)
