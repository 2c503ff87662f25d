"""Writing a run through MLflow's client: few calls, each of them public, and none leaves a run half-way."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from mlflow import MlflowClient
from mlflow.entities import (
    DatasetInput,
    LoggedModel,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
    Param,
    Run,
    RunInfo,
    RunTag,
)
from mlflow.exceptions import MlflowException
from mlflow.store.entities import PagedList
from sqlalchemy.exc import SQLAlchemyError

from boston_exp.errors import Detached, Pruned, RecordingFailed, traced
from boston_exp.redaction import redact
from boston_exp.tracking import liveness
from boston_exp.tracking.destination import NOTE, Destination
from boston_exp.tracking.mlflow import rows
from boston_exp.tracking.mlflow.failures import raised_as, written_meanwhile
from boston_exp.tracking.recorded import PRUNED, PRUNED_AFTER, PRUNED_TREES

log = logging.getLogger(__name__)
Entity = TypeVar("Entity")
MAX_PARAM = 6000  # characters; MLflow refuses more
MAX_TAG = 8000
MODEL = "model"  # artifact path of a run's model
OF_OPEN = (liveness.PROCESS, liveness.HEARTBEAT)  # tags of an open run
COMPLETE = "sync.complete"  # tag that a copy on a server gets last: when the run that it is of ended


def create_run(client: MlflowClient, experiment_id: str, name: str, tags: dict[str, str]) -> RunInfo:
    """Open a run that carries the process it belongs to."""
    clean = {tag.key: tag.value for tag in tags_of({**tags, **liveness.tags()})}
    info: RunInfo = client.create_run(experiment_id, run_name=redact(name), tags=clean).info
    return info


def log_params(client: MlflowClient, run_id: str, params: dict[str, str]) -> None:
    """Any number of them."""
    log_values(client, run_id, params)


def log_metrics(
    client: MlflowClient,
    run_id: str,
    metrics: dict[str, float],
    at: int | None = None,
    tags: dict[str, str] | None = None,
    **origin: Any,
) -> None:
    """Metrics, and tags in the same request. `at` is a time in ms, now by default; `origin` is model and data set."""
    at = int(time.time() * 1000) if at is None else at
    entities = [Metric(name, value, at, 0, run_id=run_id, **origin) for name, value in metrics.items()]
    log_values(client, run_id, {}, entities, tags_of(tags or {}))


def log_values(
    client: MlflowClient,
    run_id: str,
    params: dict[str, str],
    metrics: Sequence[Metric] = (),
    tags: Sequence[RunTag] = (),
) -> None:
    """In as few requests as MLflow takes them in: 100 params, 100 tags, 1,000 of all. The last tags are there last."""
    left = params_of(params)
    numbers, words = [*metrics], [*tags]
    while left or numbers or words:
        now = words[:100] if len(left) <= 100 and len(numbers) <= 800 else []  # once all else is there
        client.log_batch(run_id, numbers[:800], left[:100], now)
        left, numbers, words = left[100:], numbers[800:], words[len(now) :]


def params_of(params: dict[str, str]) -> list[Param]:
    """As entities, without secrets, cut to the length that MLflow takes."""
    return [Param(name, redact(value)[:MAX_PARAM]) for name, value in params.items()]


def tags_of(tags: dict[str, str]) -> list[RunTag]:
    """As entities, without secrets, cut to the length that MLflow takes."""
    return [RunTag(name, redact(value)[:MAX_TAG]) for name, value in tags.items()]


def log_datasets(client: MlflowClient, run_id: str, inputs: list[DatasetInput]) -> None:
    """Retries once when another process was adding the same data set at this moment: it is there now."""
    try:
        client.log_inputs(run_id, datasets=inputs)
    except MlflowException as error:
        if not written_meanwhile(error):
            raise
        client.log_inputs(run_id, datasets=inputs)


def origin_of(model_id: str | None, inputs: list[DatasetInput]) -> dict[str, Any]:
    """Of metrics: the model that has them, and the first data set that it was scored on."""
    if not inputs:
        return {"model_id": model_id}
    dataset = inputs[0].dataset
    return {"model_id": model_id, "dataset_name": dataset.name, "dataset_digest": dataset.digest}


@contextmanager
def open_run(client: MlflowClient, run_id: str, destination: Destination, overrides: str = "") -> Iterator[None]:
    """A run from here to FINISHED, or to FAILED or KILLED by whatever ends it; one that fails keeps the traceback and
    its overrides. It may be opened inside, so that no signal comes in between: one that is not there is not closed."""
    try:
        with liveness.Heartbeat(lambda key, value: client.set_tag(run_id, key, value)):
            yield
        with raised_as(RecordingFailed, destination):
            rows.finish(client, run_id, OF_OPEN)
    except Detached:
        with raised_as(RecordingFailed, destination):
            _forget_process(client, run_id)
        raise
    except Pruned as pruned:  # KILLED is what MLflow's own Optuna storage makes of a pruned trial
        # under names of their own: scores of some folds are not to be ranked among those of all
        log_metrics(client, run_id, {f"{PRUNED}_{name}": value for name, value in pruned.metrics.items()})
        where = (PRUNED_AFTER, pruned.fold) if pruned.trees is None else (PRUNED_TREES, pruned.trees)
        told = {PRUNED: "true", where[0]: str(where[1]), NOTE: f"**Pruned**: {pruned}."}
        close_run(client, run_id, "KILLED", "", told)
        raise
    except BaseException as error:
        if not _is_there(client, run_id):
            raise
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
        if status == "FAILED":
            with suppress(Exception):  # no room for artifacts, perhaps
                log_failure(client, run_id, traced(error), overrides)
        with suppress(Exception):  # the store may be what failed; the next command closes the run then
            close_run(client, run_id, status, f"{type(error).__name__}: {error}")
        log.error("run %s is recorded as %s", run_id, status)
        raise


def _is_there(client: MlflowClient, run_id: str) -> bool:
    with suppress(MlflowException, SQLAlchemyError):  # a store that cannot be read is not written to either
        return find_run(client, run_id) is not None
    return False


def close_run(
    client: MlflowClient,
    run_id: str,
    status: str,
    message: str,
    tags: dict[str, str] | None = None,
    end_time: int | None = None,
) -> None:
    """End a run that did not finish, and the model that it may have been writing."""
    told = {"error": message, NOTE: f"**{status.capitalize()}**: {message}"} if message else {}
    client.log_batch(run_id, tags=tags_of({**told, **(tags or {})}))
    for model in models_of(client, client.get_run(run_id).info):
        if model.status == LoggedModelStatus.PENDING:
            client.finalize_logged_model(model.model_id, "FAILED")
    client.set_terminated(run_id, status, end_time)
    _forget_process(client, run_id)


def log_failure(client: MlflowClient, run_id: str, trace: str, overrides: str) -> None:
    """What ended a run that failed, and with which overrides: `error.txt` and `config/overrides.yaml`."""
    client.log_text(run_id, trace, "error.txt")
    if overrides:
        client.log_text(run_id, overrides, "config/overrides.yaml")


def _forget_process(client: MlflowClient, run_id: str) -> None:
    """Which process has a run, and when it was last seen, is told of an open one."""
    for tag in OF_OPEN:
        with suppress(MlflowException):  # it is gone
            client.delete_tag(run_id, tag)


def find_run(client: MlflowClient, run_id: str) -> Run | None:
    """The run, or None where the store has no such run."""
    return _found(client.get_run, run_id)


def find_model(client: MlflowClient, model_id: str) -> LoggedModel | None:
    """The model, or None where it was deleted."""
    return _found(client.get_logged_model, model_id)


def _found(get: Callable[[str], Entity], wanted: str) -> Entity | None:
    try:
        return get(wanted)
    except MlflowException as error:
        if error.get_http_status_code() != 404:
            raise
        return None


def all_runs(
    client: MlflowClient, experiments: list[str], condition: str, order_by: list[str] | None = None
) -> Iterator[Run]:
    """Every run that meets the condition, page by page; the newest first unless told otherwise."""
    yield from of_all_pages(
        lambda token: client.search_runs(experiments, condition, max_results=1000, order_by=order_by, page_token=token)
    )


def of_all_pages(search: Callable[[str | None], PagedList[Entity]]) -> Iterator[Entity]:
    """What a search of MLflow's finds, which gives a page and the token of the next."""
    token: str | None = None
    while token != "":
        page = search(token)
        yield from page
        token = page.token or ""


def models_of(client: MlflowClient, run: RunInfo) -> list[LoggedModel]:
    """The models that name this run, whatever their state: one that was made a moment ago may not be among the run's
    outputs yet."""
    return list(client.search_logged_models([run.experiment_id], filter_string=f"source_run_id = '{run.run_id}'"))


def outputs_of(run: Run) -> list[LoggedModelOutput]:
    """The models that a run says it has made, each with its step."""
    return list(run.outputs.model_outputs) if run.outputs else []


def stored_model(client: MlflowClient, run: Run) -> LoggedModel | None:
    """A model of the run that is whole, and was not deleted."""
    return next(iter(stored_models(client, run)), None)


def stored_models(client: MlflowClient, run: Run) -> list[LoggedModel]:
    """The models of the run that are whole, and were not deleted."""
    found = [find_model(client, output.model_id) for output in outputs_of(run)]
    return [model for model in found if model and model.status == LoggedModelStatus.READY]
