"""One copy of each run and model: what is created is found by its source's id, and a second one goes.

Looking and creating are two requests, and one that is not answered in time may still be carried out, so two copies can
come to be: whoever finds them keeps the same one and deletes the other.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelStatus, Run
from mlflow.exceptions import MlflowException

from boston_exp.errors import Fault, ServerRefuses
from boston_exp.tracking.destination import SOURCE, foreign_place
from boston_exp.tracking.mlflow.runs import COMPLETE, find_model, outputs_of
from boston_exp.tracking.publishing.ledger import Ledger

log = logging.getLogger(__name__)
SOURCE_MODEL = "sync.source_model"  # tag of a copied model: the id of what it is a copy of
SERVES = "start it with: mlflow server --artifacts-destination <where> …   (it then hands artifacts through)"


class Once:
    """Copies in `target`. The ledger is told of a run whose copy, or that of its model, may or may not be created, and
    when that was answered."""

    def __init__(self, target: MlflowClient, ledger: Ledger) -> None:
        self._target = target
        self._ledger = ledger
        self._unanswered: set[str] = set()  # ids of runs and models in the source
        self._new: set[str] = set()  # ids of copies that this process has created, and that have no model yet

    def run(self, experiment_id: str, source_id: str) -> Run | None:
        """The copy of a run, if there is one. Of several the whole one is kept, or the first by id; no other is."""
        found = list(self._target.search_runs([experiment_id], f"tags.`{SOURCE}` = '{source_id}'", max_results=50))
        found.sort(key=lambda run: (COMPLETE not in run.data.tags, run.info.run_id))
        for extra in found[1:]:
            for output in outputs_of(extra):
                if find_model(self._target, output.model_id):
                    self._target.delete_logged_model(output.model_id)
            self._target.delete_run(extra.info.run_id)
            log.warning("two copies of run %s were created: %s is deleted", source_id, extra.info.run_id)
        return found[0] if found else None

    @contextmanager
    def creating(self, run: Run, source_id: str) -> Iterator[None]:
        """A request that creates the copy of `source_id`, the id of the run or of one of its models.

        In doubt from before it is sent: this process may be gone when it is carried out.
        """
        doubted = self._ledger.doubted(run)
        self._ledger.doubt(run)
        try:
            yield
        except Exception as error:
            if not 400 <= getattr(error, "get_http_status_code", lambda: 0)() < 500:
                self._unanswered.add(source_id)
                raise
            if not doubted:
                self._ledger.settle(run)
            raise
        if not doubted:
            self._ledger.settle(run)

    def created(self, copy: Run) -> None:
        self._new.add(copy.info.run_id)

    def is_new(self, copy: Run) -> bool:
        """Whether there is no need to look for a copy of its model; true once for each copy."""
        is_new = copy.info.run_id in self._new
        self._new.discard(copy.info.run_id)
        return is_new

    def refuse_again(self, source_id: str) -> None:
        if source_id in self._unanswered:
            raise MlflowException("the request that creates its copy was not answered, and may still be carried out")

    def check_place(self, location: str) -> None:
        wrong = foreign_place(location, str(self._target.tracking_uri))
        if wrong:
            raise ServerRefuses(Fault(f"Nothing is published there: {wrong}.", SERVES))

    def model(self, experiment_id: str, model_id: str) -> LoggedModel | None:
        """The copy of a model, if there is one. Of several the ready one is kept, or the first by id; no other is."""
        condition = f"tags.`{SOURCE_MODEL}` = '{model_id}'"
        found = list(self._target.search_logged_models([experiment_id], condition, max_results=50))
        found.sort(key=lambda model: (model.status != LoggedModelStatus.READY, model.model_id))
        for extra in found[1:]:
            self._target.delete_logged_model(extra.model_id)
        return found[0] if found else None
