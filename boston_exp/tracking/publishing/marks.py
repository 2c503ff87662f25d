"""What a run in the local store carries of its publication: where its copy is, on which server, what is in doubt."""

from __future__ import annotations

import time
from collections.abc import Mapping

from mlflow import MlflowClient
from mlflow.entities import Run, RunTag

from boston_exp.tracking.destination import COPY, PUBLISHED, SERVER, STATE
from boston_exp.tracking.publishing.shared import IN_DOUBT, SERVER_ID

DOUBT = 600.0  # seconds for which a request that was not answered may still be carried out


class Marks:
    """Tags of the runs of a store, for one server. `ids` has its identity by the name of an experiment."""

    def __init__(self, local: MlflowClient, server: str, ids: Mapping[str, str]) -> None:
        self._local = local
        self._server = server
        self.ids = ids
        self._names: dict[str, str] = {}  # of experiments, by their local ids

    def copy_of(self, run: Run, doubted: bool = False) -> str | None:
        """The id of a run's copy, where it is known to be whole on this server; `doubted`: also if there may be two."""
        tags = run.data.tags
        here = tags.get(STATE) == PUBLISHED and tags.get(SERVER_ID, "") == self.ids.get(self.name_of(run), "-")
        return tags.get(COPY) if here and (doubted or not self.doubted(run)) else None

    def published(self, run: Run, copy: Run) -> None:
        server_id = self.ids[self.name_of(run)]
        tags = {COPY: copy.info.run_id, STATE: PUBLISHED, SERVER: self._server, SERVER_ID: server_id}
        self._local.log_batch(run.info.run_id, tags=[RunTag(key, value) for key, value in tags.items()])
        since = run.data.tags.get(self._tag(run))
        if since and time.time() - float(since) > DOUBT:
            self.settle(run)

    def doubted(self, run: Run) -> bool:
        """Whether a request that creates its copy was sent to this server, and not answered."""
        return self._tag(run) in run.data.tags

    def doubt(self, run: Run) -> None:
        self._local.set_tag(run.info.run_id, self._tag(run), f"{time.time():.0f}")

    def settle(self, run: Run) -> None:
        self._local.delete_tag(run.info.run_id, self._tag(run))

    def name_of(self, run: Run) -> str:
        """Of the run's experiment."""
        key = run.info.experiment_id
        if key not in self._names:
            self._names[key] = str(self._local.get_experiment(key).name)
        return self._names[key]

    def _tag(self, run: Run) -> str:
        return IN_DOUBT + self.ids.get(self.name_of(run), "-")
