"""The experiments of a target by their names, each with an identity: a server whose database is another is another."""

from __future__ import annotations

import uuid

from mlflow import MlflowClient

from boston_exp.errors import Fault, ServerRefuses
from boston_exp.storage import credentials
from boston_exp.tracking.destination import Destination, foreign_place
from boston_exp.tracking.mlflow.store import experiment_named
from boston_exp.tracking.publishing.once import SERVES
from boston_exp.tracking.publishing.shared import SERVER_ID


class ServerExperiments:
    """Of the server of a destination. `ids` has the identity of each that was asked for."""

    def __init__(self, client: MlflowClient, destination: Destination) -> None:
        self._client = client
        self._destination = destination
        self.ids: dict[str, str] = {}

    def id_of(self, name: str) -> str:
        """The id of the experiment there, which is created if there is none.

        Raises ServerRefuses if its artifacts would be written on this machine.
        """
        experiment = experiment_named(self._client, name, self._destination.shown_server)
        wrong = foreign_place(experiment.artifact_location, str(self._destination.server))
        if wrong:
            raise ServerRefuses(Fault(f"Nothing is published to {self._destination.shown_server}: {wrong}.", SERVES))
        if experiment.artifact_location.startswith("s3://") and self._destination.s3:  # clients write there directly
            credentials.into_environment(self._destination.s3.variables())
        self.ids[name] = experiment.tags.get(SERVER_ID) or self._named(experiment.experiment_id)
        return str(experiment.experiment_id)

    def look(self, name: str) -> str | None:
        """The same without creating anything; None if there is no such experiment."""
        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            return None
        self.ids[name] = experiment.tags.get(SERVER_ID, "-")
        return str(experiment.experiment_id)

    def _named(self, experiment_id: str) -> str:
        """Give the experiment an identity; another client may do so at the same time, and the last one stays."""
        self._client.set_experiment_tag(experiment_id, SERVER_ID, uuid.uuid4().hex)
        return str(self._client.get_experiment(experiment_id).tags[SERVER_ID])
