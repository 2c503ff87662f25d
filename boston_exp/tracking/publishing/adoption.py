"""A run of a store that is about to go, copied to where others are: it is never there without its tags."""

from __future__ import annotations

from contextlib import suppress

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from boston_exp.errors import RecordingFailed
from boston_exp.tracking.destination import SOURCE, Destination
from boston_exp.tracking.mlflow.failures import raised_as
from boston_exp.tracking.mlflow.runs import COMPLETE, tags_of
from boston_exp.tracking.publishing.copy import copy_run
from boston_exp.tracking.recorded import Adopted


def adopt(source: Destination, run_id: str, target: Destination, as_what: Adopted) -> str:
    """Copy a run of `source`, once it is there what it is to be here; returns the copy's id. Raises RecordingFailed."""
    uri = target.server or target.uri
    with raised_as(RecordingFailed, target):
        ours, theirs = MlflowClient(source.uri), MlflowClient(uri)
        experiment = theirs.get_experiment(theirs.get_run(as_what.beside).info.experiment_id)
        own = ours.get_experiment(ours.get_run(run_id).info.experiment_id)
        for tag in own.tags:  # description and views: the other experiment has its own
            ours.delete_experiment_tag(own.experiment_id, tag)
        if own.name != experiment.name:
            ours.rename_experiment(own.experiment_id, experiment.name)
        ours.update_run(run_id, name=as_what.name)
        ours.log_batch(run_id, tags=tags_of(as_what.tags))
        ours.log_artifacts(run_id, str(as_what.files))
        run = ours.get_run(run_id)
        run.data.params.update(as_what.params)
        copy = copy_run(run, ours, theirs, target.shown_server if target.server else target.shown_uri)
        if not target.server:  # it is no copy of anything that anybody can ask for
            for tag in (SOURCE, COMPLETE):
                with suppress(MlflowException):
                    theirs.delete_tag(copy.info.run_id, tag)
        return str(copy.info.run_id)
