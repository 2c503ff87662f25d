"""Copies the logged models of a run: their files as they are, their signature, params and tags."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from boston_exp.process import temporary_folder
from boston_exp.tracking.mlflow.copies import copy_model
from boston_exp.tracking.mlflow.runs import MODEL, outputs_of
from boston_exp.tracking.publishing import files
from boston_exp.tracking.publishing.files import below
from boston_exp.tracking.publishing.once import SOURCE_MODEL, Once
from boston_exp.tracking.publishing.source import Source

Upload = Callable[[list[files.Upload]], None]


class ModelCopier:
    """Copies models from `source` to `target`, their files by `upload`; `reading` is told before they are read."""

    def __init__(
        self, source: Source, target: MlflowClient, once: Once, reading: Callable[[], None], upload: Upload
    ) -> None:
        self._source = source
        self._target = target
        self._once = once
        self._reading = reading
        self._upload = upload

    def copy(
        self,
        model_id: str,
        copy: Run,
        creating: Callable[[str], AbstractContextManager[None]],
        step: int | None = 0,
        also: str | None = None,
    ) -> LoggedModel | None:
        """The model's copy, of the run's; None where it was deleted. `creating` surrounds the request that creates it.

        `step` is that of the run's output, None where it is none. `also` is a place of the run that has the model, too.
        """
        source = self._source.model(model_id)
        if source is None:
            return None
        origin = source.tags.get(SOURCE_MODEL, model_id)
        model = None if self._once.is_new(copy) else self._once.model(copy.info.experiment_id, origin)
        if model is None:
            self._once.refuse_again(origin)
            with creating(origin):
                self._target.create_logged_model(
                    copy.info.experiment_id,
                    name=source.name,
                    source_run_id=copy.info.run_id,
                    tags={**source.tags, SOURCE_MODEL: origin},
                    params=source.params,
                    model_type=source.model_type,
                )
            model = self._once.model(copy.info.experiment_id, origin)
            if model is None:
                raise MlflowException(f"the copy of model {model_id} was created and cannot be found")
        self._once.check_place(model.artifact_location)
        known = [output.model_id for output in outputs_of(copy)]
        if step is not None and model.model_id not in known:
            self._target.log_outputs(copy.info.run_id, [LoggedModelOutput(model.model_id, step=step)])
        if str(model.status) != str(source.status):
            if source.status == LoggedModelStatus.READY:  # one that failed may have no files, or not all
                self._write(source, model, also)
            self._target.finalize_logged_model(model.model_id, source.status)
        return model

    def keep_one(self, model_id: str, copy: Run) -> None:
        """Delete all but one of the model's copies, should a request that was not answered have made a second one."""
        source = self._source.model(model_id)
        self._once.model(copy.info.experiment_id, source.tags.get(SOURCE_MODEL, model_id) if source else model_id)

    def _write(self, source: LoggedModel, model: LoggedModel, also: str | None) -> None:
        self._reading()
        uri = self._target.tracking_uri
        with self._source.model_files(source) as stored, temporary_folder() as name:
            folder = Path(name) / MODEL
            copy_model(stored, source, model, folder)
            uploads = below(folder, get_artifact_repository(model.artifact_location, tracking_uri=uri), model=True)
            if also:
                uploads += below(folder, get_artifact_repository(also, tracking_uri=uri), inside=MODEL)
            self._upload(uploads)
