"""Records runs in an MLflow store."""

from __future__ import annotations

import json
import logging
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import Dataset, DatasetInput, InputTag, RunInfo
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from sqlalchemy.exc import SQLAlchemyError

from boston_exp import process
from boston_exp.errors import RecordingFailed, StoreUnusable
from boston_exp.redaction import redact
from boston_exp.tracking import liveness
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.mlflow import compat, pages, rows
from boston_exp.tracking.mlflow.failures import raised_as
from boston_exp.tracking.mlflow.history import MlflowHistory
from boston_exp.tracking.mlflow.places import Placed
from boston_exp.tracking.mlflow.runs import log_metrics, open_run, params_of, tags_of
from boston_exp.tracking.mlflow.store import connect
from boston_exp.tracking.mlflow.sweeps import MlflowSweepRecording, close_children, open_parent
from boston_exp.tracking.protocol import Finished, Outcome, Plan, SweepPlan

log = logging.getLogger(__name__)
SAMPLE, WIDE = 1000, 1000  # rows and columns of a table that MLflow's description of it rests on


class MlflowTracker:
    """A store and an experiment in it, ready to be written to.

    Opening it creates a local store where there is none and, except in a worker, closes the runs of dead processes.
    """

    outage: str | None = None

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        with raised_as(StoreUnusable, destination):
            self._client, self._experiment = connect(destination)
        self._experiment_id = str(self._experiment.experiment_id)

    @contextmanager
    def start(self, plan: Plan) -> Iterator[MlflowRecording]:
        tags, view = plan.tags | self._destination.tags, pages.of_runs(plan.selected_by)
        if not self._destination.worker:  # the main process has done so
            with raised_as(StoreUnusable, self._destination):
                pages.share(self._client, self._experiment, [view])
        run_id = uuid.uuid4().hex
        with open_run(self._client, run_id, self._destination, plan.overrides):
            with raised_as(StoreUnusable, self._destination):
                words, params = tags_of({**tags, **liveness.tags()}), params_of(plan.params)
                name, data = redact(plan.name), _described(plan)
                info = rows.begin(self._client, self._experiment_id, run_id, name, words, params, data)
            yield MlflowRecording(self._client, info, self._destination, plan, view)

    def find_finished(self, fingerprint: str, with_model: bool, metrics: Sequence[str]) -> Finished | None:
        path = self._destination.sqlite_path
        with raised_as(StoreUnusable, self._destination):
            if path is not None and not compat.may_have(path, fingerprint):
                return None
            return MlflowHistory(self._destination).finished(fingerprint, with_model, metrics)

    @contextmanager
    def sweep(self, plan: SweepPlan) -> Iterator[MlflowSweepRecording]:
        with raised_as(StoreUnusable, self._destination):
            run_id = open_parent(self._client, self._experiment_id, plan, self._destination)
            pages.share(self._client, self._experiment, map(pages.of_runs, plan.metrics))
        with open_run(self._client, run_id, self._destination):
            try:
                yield MlflowSweepRecording(self._client, self._experiment, run_id, self._destination, plan)
            finally:
                with suppress(MlflowException, SQLAlchemyError):  # the next command on this store would do it
                    close_children(self._client, self._experiment_id, run_id)


class MlflowRecording(Placed):
    """A run that is open in the store."""

    def __init__(
        self, client: MlflowClient, info: RunInfo, destination: Destination, plan: Plan, view: pages.View
    ) -> None:
        super().__init__(destination, info.run_id, info.experiment_id, view.key)
        self._client = client
        self._info = info
        self._plan = plan

    def log(self, outcome: Outcome) -> None:
        origin: dict[str, Any] = {"dataset_name": self._plan.dataset_name, "dataset_digest": self._plan.dataset_md5}
        with raised_as(RecordingFailed, self._destination):
            model_id = None
            try:
                self._put(outcome.files)
                if outcome.store_model:
                    from boston_exp.tracking.mlflow import models  # imports mlflow.sklearn and skops: 0.5 s

                    model_id = models.save(self._client, self._info, self._plan.name, self._plan.params, outcome)
            finally:  # a full disk under the artifacts is no reason to lose the scores
                if model_id is None:  # else MLflow keeps them with the model, too
                    rows.log(self._client, self.run_id, outcome.metrics, tags_of(outcome.tags))
                else:
                    log_metrics(
                        self._client, self.run_id, outcome.metrics, tags=outcome.tags, model_id=model_id, **origin
                    )

    def log_files(self, files: Path) -> None:
        with raised_as(RecordingFailed, self._destination):
            self._put(files)

    def _put(self, files: Path) -> None:
        """Not through the client, which would ask the store where the run's artifacts belong."""
        place = get_artifact_repository(self._info.artifact_uri, tracking_uri=self._client.tracking_uri)
        place.log_artifacts(str(files))


_latest: list[tuple[pd.DataFrame, DatasetInput]] = []  # one: the points of a sweep share their table
process.on_reset(_latest.clear)


def _described(plan: Plan) -> DatasetInput:
    """Schema and profile of the table, found once for all points of a sweep that share it."""
    if not _latest or _latest[0][0] is not plan.table:
        entity = DatasetInput(_schema_and_size(plan), [InputTag("mlflow.data.context", "training")])
        _latest[:] = [(plan.table, entity)]
    return _latest[0][1]


def _schema_and_size(plan: Plan) -> Dataset:
    """As MLflow's `from_pandas` has them, which looks at every value in Python: 20 s for a million rows of 22 columns.

    So it is given the first rows, and where there are gaps is asked of pandas. MLflow's limit for a schema is some
    20,000 columns: of wide tables it has the first.
    """
    features = [name for name in plan.table.columns if name != plan.target]
    if len(features) > WIDE:
        log.warning("the data set's schema has the first %s of %s columns", f"{WIDE:,}", f"{len(features):,}")
    columns = [*features[:WIDE], plan.target]
    with warnings.catch_warnings():  # two of MLflow's source classes could read the path; integers may have gaps
        warnings.simplefilter("ignore", UserWarning)
        described = from_pandas(
            plan.table[columns].head(SAMPLE),
            source=plan.dataset_source,
            targets=plan.target,
            name=plan.dataset_name,
            digest=plan.dataset_md5,
        ).to_dict()
    gaps, schema = plan.table[columns].isna().any(), json.loads(described["schema"])
    for column in schema["mlflow_colspec"]:
        column["required"] = not gaps[column["name"]]
    size = {"num_rows": len(plan.table), "num_elements": int(plan.table.size)}
    return Dataset(**described | {"schema": json.dumps(schema), "profile": json.dumps(size)})
