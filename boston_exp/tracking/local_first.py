"""Records in the local store, then publishes to an MLflow server: an outage costs nothing but the time to notice it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from boston_exp.tracking.destination import Destination
from boston_exp.tracking.mlflow import MlflowRecording, MlflowSweepRecording, MlflowTracker
from boston_exp.tracking.protocol import Finished, Outcome, Plan, SweepPlan
from boston_exp.tracking.publishing import Publisher, find_on_server, publisher


class LocalFirstTracker:
    """An MLflow tracker whose runs are published as they end; opened, it also publishes what is still pending."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._local = MlflowTracker(destination)
        self._publisher = publisher(destination)

    @contextmanager
    def start(self, plan: Plan) -> Iterator[PublishedRecording]:
        with _published(self._publisher) as published, self._local.start(plan) as local:
            recording = PublishedRecording(local, self._publisher)
            published(recording)
            yield recording

    def find_finished(self, fingerprint: str, with_model: bool) -> Finished | None:
        done = self._local.find_finished(fingerprint, with_model)
        if done or self._publisher.away:
            return done
        return find_on_server(self._destination, fingerprint, with_model)

    @contextmanager
    def sweep(self, plan: SweepPlan) -> Iterator[PublishedSweepRecording]:
        with _published(self._publisher) as published, self._local.sweep(plan) as local:
            self._publisher.open_copy(local.run_id)
            recording = PublishedSweepRecording(local, self._publisher)
            published(recording)
            yield recording


class AskingTracker(MlflowTracker):
    """Of a worker in a sweep: the main process publishes, but what is done already may be on the server alone."""

    def find_finished(self, fingerprint: str, with_model: bool) -> Finished | None:
        return super().find_finished(fingerprint, with_model) or find_on_server(
            self._destination, fingerprint, with_model
        )


class _Published:
    """What is told of a record that is here, and there or still to be brought there."""

    def __init__(self, local: MlflowRecording | MlflowSweepRecording, publisher: Publisher) -> None:
        self._publisher = publisher
        self._copy: str | None = None
        self._local = local
        self.run_id: str = local.run_id

    def publish(self) -> None:
        self._publisher.soon(self.run_id)
        self._publisher.settle()
        self._copy = self._publisher.copy_of(self.run_id)

    @property
    def where(self) -> str:
        return f"{self._local.where}; {self._publisher.says(self._copy)}"

    @property
    def next_command(self) -> str | None:
        return f"open {self._publisher.url(self._copy)}" if self._copy else self._local.next_command


@contextmanager
def _published(publisher: Publisher) -> Iterator[Callable[[_Published], None]]:
    """Publishes, when it is left, the recording that it was told of; what is pending meanwhile.

    What failed is published as such; but who presses Ctrl-C wants to leave.
    """
    told: list[_Published] = []

    def tell(recording: _Published) -> None:
        told.append(recording)
        publisher.catch_up()

    try:
        yield tell
    except BaseException as error:
        if told and isinstance(error, Exception):
            told[0].publish()
        else:
            publisher.stop()
        raise
    told[0].publish()


class PublishedRecording(_Published):
    _local: MlflowRecording

    def log(self, outcome: Outcome) -> None:
        self._local.log(outcome)


class PublishedSweepRecording(_Published):
    _local: MlflowSweepRecording

    @property
    def server_answers(self) -> bool:
        return not self._publisher.away

    def finished_points(self) -> dict[str, Finished]:
        return self._local.finished_points()

    def fail(self, run_id: str | None, name: str, params: dict[str, str], tags: dict[str, str], message: str) -> str:
        return self._local.fail(run_id, name, params, tags, message)

    def took(self, run_id: str | None) -> None:
        self._publisher.soon(run_id)

    def log(self, metrics: dict[str, float], tags: dict[str, str], files: Path) -> None:
        self._local.log(metrics, tags, files)

    def get_ready(self) -> None:
        self._local.get_ready()

    def adopt_model(self, run_id: str | None) -> bool:
        return self._local.adopt_model(run_id)

    def log_model(self, best: Outcome, run_id: str) -> None:
        self._local.log_model(best, run_id)
