"""Copies one run from a store to another: whole, idempotent, raises what goes wrong.

The copy carries the source run's id from its first moment, `sync.complete` from its last, once its files were compared;
whatever is written in between may be written twice. So a run in the target is whole, or visibly not finished and
finished by the next call.

A request that creates something and is not answered in time may still arrive: it is not sent again by this process, and
whoever finds two copies of one source keeps the same one and deletes the other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelInput, Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from boston_exp.storage.s3 import Access
from boston_exp.tracking.destination import NOTE, SOURCE
from boston_exp.tracking.mlflow.runs import COMPLETE, MODEL, find_run, log_datasets, log_values, outputs_of, tags_of
from boston_exp.tracking.mlflow.store import experiment_named
from boston_exp.tracking.publishing import arrived
from boston_exp.tracking.publishing.files import Upload, Uploads, below
from boston_exp.tracking.publishing.ledger import Ledger, Unwritten
from boston_exp.tracking.publishing.models import ModelCopier
from boston_exp.tracking.publishing.once import Once
from boston_exp.tracking.publishing.shared import PARENT, POINTS_AT_RUNS, SharedPages, goes_along, translated
from boston_exp.tracking.publishing.source import Source, origin_id, passed

STEP = 20.0  # seconds that a few small requests may take together; a time-out of MLflow's is between bytes
READING = 600.0  # seconds for a source to hand out what a run has
SLOWEST = 100_000  # bytes a second of an upload that is waited for


def copy_run(run: Run, source: MlflowClient, target: MlflowClient, shown_target: str) -> Run:
    """Copy one run, and the parent or best child that it points at. Idempotent; raises what the stores do."""

    def experiment(name: str) -> str:
        return str(experiment_named(target, name, shown_target).experiment_id)

    with closing(RunCopier(Source(source), target, experiment)) as copier:
        return copier.copy(run)


class RunCopier:
    """Copies runs from `source` to `target`, and remembers which copy is whose.

    `experiment` gives the id in the target of an experiment by its name; `ledger` has what is known of the copies;
    `access` is the way to artifacts in S3. Several threads may copy at once, each a run that no other one copies.
    """

    def __init__(
        self,
        source: Source,
        target: MlflowClient,
        experiment: Callable[[str], str],
        ledger: Ledger | None = None,
        access: Access | None = None,
    ) -> None:
        self._source = source
        self.target = target
        self._experiment = experiment
        self._ledger = ledger or Unwritten()
        self._once = Once(target, self._ledger)
        self.uploads = Uploads(partial(arrived.check, access=access))
        self._models = ModelCopier(source, target, self._once, partial(self._step, READING), self._upload)
        self._deadlines: dict[int, float] = {}  # on the monotonic clock, of the present step of each thread
        self._experiments: dict[str, str] = {}  # ids in the target by ids in the source
        self._copies: dict[str, str] = {}  # likewise, of runs
        self._pages = SharedPages(source.client, target)
        self._whole: dict[str, str] = {}  # likewise, of those that were brought now
        self._pointed_at = threading.RLock()  # two runs may point at one that is not copied yet
        self._pointing: list[str] = []  # ids in the source of runs that are created, each pointing at the next
        self._translated = partial(translated, id_of=self._known_id, places=self._experiments)

    @property
    def deadline(self) -> float:
        """When the steps that are under way have to end, on the monotonic clock."""
        return min([*self._deadlines.values()], default=float("inf"))

    def close(self) -> None:
        """Start no more uploads; those under way are not waited for."""
        self.uploads.close()

    def copy(self, run: Run) -> Run:
        """Make the run's copy whole: params, inputs, artifacts, models, metrics, tags, status and times."""
        try:
            copy = self._copy_of(run)
            whole = copy.data.tags.get(COMPLETE) == str(run.info.end_time) and copy.info.status == run.info.status
            if copy.info.run_id == origin_id(run):  # it was recorded there
                self._whole[run.info.run_id] = copy.info.run_id
                return copy
            if not whole:
                self._write(run, copy)
            elif self._ledger.doubted(run):
                for output in outputs_of(run):
                    self._models.keep_one(output.model_id, copy)
            self._step()
            self._pages.share(run.info.experiment_id, self._experiment_of(run), self._translated)
            self._ledger.published(run, copy)
            self._whole[run.info.run_id] = copy.info.run_id
            return copy
        finally:
            self._deadlines.pop(threading.get_ident(), None)

    def open(self, run: Run) -> None:
        """Make the copy of a run that goes on, such as the parent of others, with its params alone."""
        try:
            copy = self._copy_of(run)
            if copy.data.params != run.data.params:
                log_values(self.target, copy.info.run_id, params=run.data.params)
        finally:
            self._deadlines.pop(threading.get_ident(), None)

    def whole_copy(self, run: Run) -> str | None:
        """The id of a run's copy, if it has a whole one that was brought now or is known."""
        return self._whole.get(run.info.run_id) or self._ledger.copy_of(run)

    def give_up(self, run: Run) -> None:
        """End the copy of a run that cannot be brought: nobody should take it for one that goes on."""
        copy_id = self._copies.get(run.info.run_id)
        if copy_id is not None and run.info.run_id not in self._whole:
            self.target.set_terminated(copy_id, "FAILED")

    def _id_of(self, source_id: str) -> str:
        """The id in the target of a run that another one points at, which is copied if it was not."""
        with self._pointed_at:
            return self._id_in_target(source_id)

    def copy_model(self, model_id: str, run: Run, copy: Run) -> LoggedModel | None:
        """A model that belongs to the run and is none of its outputs; None where it was deleted."""
        return self._models.copy(model_id, copy, partial(self._once.creating, run), step=None)

    def _step(self, seconds: float = STEP) -> None:
        self._deadlines[threading.get_ident()] = time.monotonic() + seconds

    def _copy_of(self, run: Run) -> Run:
        """The run's copy, created if there is none: found by the source's id, a tag of `create_run` itself."""
        source_id, origin = run.info.run_id, origin_id(run)
        self._step()
        experiment_id = self._experiment_of(run)
        if source_id not in self._copies:
            # Recursive: copying the parent copies its best child, possibly this run. Check the cache again afterwards.
            with self._pointed_at:
                self._pointing.append(source_id)
                try:  # a run may be its own parent, by way of others perhaps: it is pointed at once it is there
                    first = () if run.data.tags.get(PARENT) in self._pointing else (PARENT,)
                    tags = {**self._tags(run, *first), **passed(run)}
                finally:
                    self._pointing.pop()
        if source_id in self._copies:
            return self.target.get_run(self._copies[source_id])
        copy = find_run(self.target, origin) if origin != source_id else None
        copy = copy or self._once.run(experiment_id, origin)
        if copy is None:
            self._once.refuse_again(origin)
            name, start = run.info.run_name, run.info.start_time
            with self._once.creating(run, origin):
                self.target.create_run(experiment_id, start_time=start, tags=tags, run_name=name)
            copy = self._once.run(experiment_id, origin)
            if copy is None:
                raise MlflowException(f"the copy of run {source_id} was created and cannot be found")
            self._once.created(copy)
        self._once.check_place(copy.info.artifact_uri)
        self._copies[source_id] = copy.info.run_id
        return copy

    def _tags(self, run: Run, *pointers: str) -> dict[str, str]:
        """The run's tags, and of those that hold a run's id the `pointers`, translated to ids in the target: a parent
        points at its best child, which points at its parent, so a new copy is created with its parent alone."""
        tags = {name: value for name, value in run.data.tags.items() if goes_along(name)}
        note = {NOTE: self._translated(tags[NOTE])} if NOTE in tags else {}
        ids = {name: run.data.tags[name] for name in pointers if run.data.tags.get(name)}
        return tags | note | {name: self._id_of(source_id) for name, source_id in ids.items()}

    def _id_in_target(self, source_id: str) -> str:
        if source_id not in self._copies:
            pointed_at = self._source.run(source_id)
            if pointed_at:
                if known := self._ledger.copy_of(pointed_at):
                    return self._copies.setdefault(source_id, known)
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
        if source_id not in self._copies and (run := self._source.run(source_id)):
            return self._ledger.copy_of(run) or source_id
        return self._copies.get(source_id, source_id)

    def _write(self, run: Run, copy: Run) -> None:
        copy_id, info = copy.info.run_id, run.info
        self._step()
        inputs = run.inputs.dataset_inputs if run.inputs else []
        if inputs:
            log_datasets(self.target, copy_id, inputs)
        models = self._write_files(run, copy)
        used = [each.model_id for each in (run.inputs and run.inputs.model_inputs) or [] if each.model_id in models]
        if used:
            self.target.log_inputs(copy_id, models=[LoggedModelInput(models[each]) for each in used])
        self._step()
        metrics = self._source.metrics(run, copy_id, models)
        tags = {**self._tags(run, *POINTS_AT_RUNS), COMPLETE: str(info.end_time)}
        self._step()
        params = {} if copy.data.params == run.data.params else run.data.params
        changed = {name: value for name, value in tags.items() if copy.data.tags.get(name) != value}
        log_values(self.target, copy_id, params, metrics, tags_of(changed))
        self.target.set_terminated(copy_id, info.status, info.end_time)

    def _write_files(self, run: Run, copy: Run) -> dict[str, str]:
        """Artifacts, then models; returns the ids of their copies by those in the source."""
        copied: dict[str, str] = {}
        outputs = outputs_of(run)
        place = get_artifact_repository(copy.info.artifact_uri, tracking_uri=self.target.tracking_uri)
        self._step(READING)
        with self._source.artifacts(run) as root:
            # the only model's files are below `model/` of the run as well, and name it
            is_twice = len(outputs) == 1 and (root / MODEL / "MLmodel").is_file()
            self._upload(below(root, place, without=MODEL if is_twice else ""))
        for output in outputs:
            self._step()
            creating, also = partial(self._once.creating, run), copy.info.artifact_uri if is_twice else None
            model = self._models.copy(output.model_id, copy, creating, output.step, also)
            if model is not None:
                copied[output.model_id] = model.model_id
        return copied

    def _upload(self, uploads: list[Upload]) -> None:
        """Send files and compare what has arrived; both takes a time that goes with their size."""
        self._step(STEP + 2 * sum(upload.file.stat().st_size for upload in uploads) / SLOWEST)
        self.uploads.put(uploads)

    def _experiment_of(self, run: Run) -> str:
        source_id = run.info.experiment_id
        if source_id not in self._experiments:
            self._experiments[source_id] = self._experiment(self._source.client.get_experiment(source_id).name)
        return self._experiments[source_id]
