"""Copies one run from a store to another: whole, idempotent, raises what goes wrong.

The copy carries the source run's id from its first moment, `sync.complete` from its last; whatever is written in
between may be written twice. So a run in the target is whole, or visibly not finished and finished by the next call.

A request that creates something and is not answered in time may still arrive: it is not sent again by this process, and
whoever finds two copies of one source keeps the same one and deletes the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, Run
from mlflow.exceptions import MlflowException

from boston_exp.process import temporary_folder
from boston_exp.tracking.destination import NOTE, SOURCE
from boston_exp.tracking.mlflow.runs import (
    COMPLETE,
    MODEL,
    find_run,
    log_datasets,
    log_metrics,
    log_params,
    origin_of,
    tags_of,
)
from boston_exp.tracking.mlflow.store import experiment_named
from boston_exp.tracking.publishing.files import Put, Uploads, own_files
from boston_exp.tracking.publishing.once import SOURCE_MODEL, Once
from boston_exp.tracking.publishing.shared import POINTS_AT_RUNS, SharedPages, goes_along, translated

STEP = 20.0  # seconds that a few small requests may take together; a time-out of MLflow's is between bytes
SLOWEST = 100_000  # bytes a second of an upload that is waited for


def copy_run(run: Run, source: MlflowClient, target: MlflowClient, shown_target: str) -> None:
    """Copy one run, and the parent or best child that it points at. Idempotent; raises what the stores do."""

    def experiment(name: str) -> str:
        return str(experiment_named(target, name, shown_target).experiment_id)

    with closing(RunCopier(source, target, experiment)) as copier:
        copier.copy(run)


class RunCopier:
    """Copies runs from `source` to `target`, and remembers which copy is whose.

    `experiment` gives the id in the target of an experiment by its name, `copied` is told of each run and its whole
    copy, `known` gives the id of a run's copy where that is known to be whole there. `in_doubt` is told of a run whose
    copy may or may not be created, `settled` if that was answered; `doubted` tells which were in doubt before.
    `deadline`, on the monotonic clock, is when the present step has to end.
    """

    def __init__(
        self,
        source: MlflowClient,
        target: MlflowClient,
        experiment: Callable[[str], str],
        copied: Callable[[Run, Run], None] = lambda run, copy: None,
        known: Callable[[Run], str | None] = lambda run: None,
        in_doubt: Callable[[Run], None] = lambda run: None,
        settled: Callable[[Run], None] = lambda run: None,
        doubted: Callable[[Run], bool] = lambda run: False,
    ) -> None:
        self._source = source
        self.target = target
        self._experiment = experiment
        self._copied = copied
        self._known = known
        self._doubted = doubted
        self._once = Once(target, in_doubt, settled)
        self.deadline = float("inf")
        self._uploads = Uploads()
        self._experiments: dict[str, str] = {}  # ids in the target by ids in the source
        self._copies: dict[str, str] = {}  # likewise, of runs
        self._pages = SharedPages(source, target)
        self._translated = partial(translated, id_of=self._known_id, places=self._experiments)

    def close(self) -> None:
        """Start no more uploads; those under way are not waited for."""
        self._uploads.close()

    def copy(self, run: Run) -> None:
        """Make the run's copy whole: params, inputs, artifacts, models, metrics, tags, status and times."""
        try:
            copy = self._copy_of(run)
            whole = copy.data.tags.get(COMPLETE) == str(run.info.end_time) and copy.info.status == run.info.status
            if not whole:
                self._write(run, copy)
            elif self._doubted(run):
                for output in run.outputs.model_outputs if run.outputs else []:
                    self._once.model(copy.info.experiment_id, output.model_id)
            self._step()
            self._pages.share(run.info.experiment_id, self._experiment_of(run), self._translated)
            self._copied(run, copy)
        finally:
            self.deadline = float("inf")

    def open(self, run: Run) -> None:
        """Make the copy of a run that goes on, such as the parent of others, with its params alone."""
        try:
            self._write_params(run, self._copy_of(run))
        finally:
            self.deadline = float("inf")

    def _step(self, seconds: float = STEP) -> None:
        self.deadline = time.monotonic() + seconds

    def _copy_of(self, run: Run) -> Run:
        """The run's copy, created if there is none: found by the source's id, a tag of `create_run` itself."""
        source_id = run.info.run_id
        self._step()
        experiment_id = self._experiment_of(run)
        if source_id not in self._copies:
            # Recursive: copying the parent copies its best child, possibly this run. Check the cache again afterwards.
            tags = {**self._tags(run, "mlflow.parentRunId"), SOURCE: source_id}
        if source_id in self._copies:
            return self.target.get_run(self._copies[source_id])
        copy = self._once.run(experiment_id, source_id)
        if copy is None:
            self._once.refuse_again(source_id)
            name, start = run.info.run_name, run.info.start_time
            with self._once.creating(run, source_id, self._doubted(run)):
                self.target.create_run(experiment_id, start_time=start, tags=tags, run_name=name)
            copy = self._once.run(experiment_id, source_id)
            if copy is None:
                raise MlflowException(f"the copy of run {source_id} was created and cannot be found")
        self._once.check_place(copy.info.artifact_uri)
        self._copies[source_id] = copy.info.run_id
        return copy

    def _tags(self, run: Run, *pointers: str) -> dict[str, str]:
        """The run's tags, and of those that hold a run's id the `pointers`, translated to ids in the target.

        A parent points at its best child, which points at its parent: a new copy is created with its parent alone.
        """
        tags = {name: value for name, value in run.data.tags.items() if goes_along(name)}
        note = {NOTE: self._translated(tags[NOTE])} if NOTE in tags else {}
        ids = {name: run.data.tags[name] for name in pointers if run.data.tags.get(name)}
        return tags | note | {name: self._id_in_target(source_id) for name, source_id in ids.items()}

    def _id_in_target(self, source_id: str) -> str:
        if source_id not in self._copies:
            pointed_at = find_run(self._source, source_id)
            if pointed_at:
                known = self._known(pointed_at)
                if known:
                    self._copies[source_id] = known
                    return known
                if pointed_at.info.status != "RUNNING":
                    self.copy(pointed_at)  # recorded without this server, reused now
                return str(self._copy_of(pointed_at).info.run_id)
            # in another machine's store, or already the id of a copy
            experiments = list(self._experiments.values())
            found = self.target.search_runs(experiments, f"tags.`{SOURCE}` = '{source_id}'", max_results=1)
            return str(found[0].info.run_id) if found else source_id
        return self._copies[source_id]

    def _known_id(self, source_id: str) -> str:
        """The id of a run's copy where there is one, else its own, which every command takes as well."""
        if source_id not in self._copies and (run := find_run(self._source, source_id)):
            return self._known(run) or source_id
        return self._copies.get(source_id, source_id)

    def _write_params(self, run: Run, copy: Run) -> None:
        if copy.data.params != run.data.params:
            log_params(self.target, copy.info.run_id, run.data.params)

    def _write(self, run: Run, copy: Run) -> None:
        copy_id, info = copy.info.run_id, run.info
        self._step()
        self._write_params(run, copy)
        inputs = run.inputs.dataset_inputs if run.inputs else []
        if inputs:
            log_datasets(self.target, copy_id, inputs)
        if self._source.list_artifacts(info.run_id):  # a run that failed may have none
            self._upload(
                Path(self._source.download_artifacts(info.run_id, "")),
                lambda file, folder: self.target.log_artifact(copy_id, file, folder),
                without=MODEL,
            )
        outputs = run.outputs.model_outputs if run.outputs else []
        model_ids = [self._copy_model(output.model_id, run, copy) for output in outputs]
        self._step()
        origin = origin_of(model_ids[-1] if model_ids else None, inputs)
        known = copy.data.metrics if set(model_ids) <= set(_models_of(copy)) else {}  # a new model gets all of them
        changed = {name: value for name, value in run.data.metrics.items() if known.get(name) != value}
        log_metrics(self.target, copy_id, changed, at=info.end_time, **origin)
        tags = {**self._tags(run, *POINTS_AT_RUNS), COMPLETE: str(info.end_time)}
        self._step()
        self.target.log_batch(copy_id, tags=tags_of(tags))
        self.target.set_terminated(copy_id, info.status, info.end_time)

    def _copy_model(self, model_id: str, run: Run, copy: Run) -> str:
        self._step()
        source = self._source.get_logged_model(model_id)
        model = self._once.model(copy.info.experiment_id, model_id)
        if model is None:
            self._once.refuse_again(model_id)
            with self._once.creating(run, model_id, self._doubted(run)):
                self.target.create_logged_model(
                    copy.info.experiment_id,
                    name=source.name,
                    source_run_id=copy.info.run_id,
                    tags={**source.tags, SOURCE_MODEL: model_id},
                    params=source.params,
                    model_type=source.model_type,
                )
            model = self._once.model(copy.info.experiment_id, model_id)
            if model is None:
                raise MlflowException(f"the copy of model {model_id} was created and cannot be found")
        self._once.check_place(model.artifact_location)
        if model.model_id not in _models_of(copy):
            self.target.log_outputs(copy.info.run_id, [LoggedModelOutput(model.model_id, step=0)])
        if str(model.status) == str(source.status):
            return str(model.model_id)
        with temporary_folder() as name:
            from boston_exp.tracking.mlflow.models import copy_model  # imports mlflow.sklearn and skops: 0.5 s

            folder = Path(name) / MODEL
            copy_model(source, model, folder)
            self._upload(folder, lambda file, inside: self.target.log_model_artifact(model.model_id, file, inside))
            self._upload(folder.parent, lambda file, inside: self.target.log_artifact(copy.info.run_id, file, inside))
        self.target.finalize_logged_model(model.model_id, source.status)
        return str(model.model_id)

    def _upload(self, root: Path, put: Put, without: str = "") -> None:
        files = own_files(root, without)
        self._step(STEP + sum(file.stat().st_size for file in files) / SLOWEST)
        self._uploads.put(root, files, put)

    def _experiment_of(self, run: Run) -> str:
        source_id = run.info.experiment_id
        if source_id not in self._experiments:
            self._experiments[source_id] = self._experiment(self._source.get_experiment(source_id).name)
        return self._experiments[source_id]


def _models_of(run: Run) -> list[str]:
    return [str(output.model_id) for output in run.outputs.model_outputs] if run.outputs else []
