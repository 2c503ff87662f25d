"""A store that runs are copied from: what each of them holds, read only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, Metric, Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from boston_exp.process import temporary_folder
from boston_exp.redaction import printable
from boston_exp.storage.folders import bytes_in
from boston_exp.tracking.destination import CLOUD, SOURCE, VIA, foreign_place
from boston_exp.tracking.mlflow import compat
from boston_exp.tracking.mlflow.runs import find_model, find_run, outputs_of

AT_ONCE = 8  # questions to a server
OWNER = r"(m-)?[0-9a-f]{32}"  # ids of runs and models
Series = dict[tuple[str, int, int], list[Metric]]


class Source:
    """Runs of a database or a server. `beside` is a folder that its artifacts may have been moved along with."""

    def __init__(self, client: MlflowClient, beside: Path | None = None) -> None:
        self.client = client
        self._beside = beside
        uri = str(client.tracking_uri)
        self._server = uri if uri.startswith("http") else None
        self._uri = uri

    def run(self, run_id: str) -> Run | None:
        """None where this store has no such run."""
        return find_run(self.client, run_id)

    def metrics(self, run: Run, copy_id: str, models: Mapping[str, str]) -> list[Metric]:
        """Every value that was logged, with its step and time, the oldest first, as values of a copy of the run: of the
        data set and the model that they were logged of, `models` being ids of copies by those of models here."""
        run_id = run.info.run_id
        if self._server is None:
            found = compat.metrics_of(self._uri, run_id)
        else:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                series = pool.map(lambda key: self.client.get_metric_history(run_id, key), run.data.metrics)
                found = [metric for one in series for metric in one]
        of_models: Series = {}
        for output in outputs_of(run):
            model = self.model(output.model_id)
            for metric in (model.metrics if model else None) or []:
                if metric.run_id in (run_id, None):
                    of_models.setdefault((metric.key, metric.step, metric.timestamp), []).append(metric)
        values = [each for metric in found for each in _attributed(metric, of_models)]
        return [
            Metric(
                each.key,
                each.value,
                each.timestamp,
                each.step,
                models.get(str(each.model_id)),
                each.dataset_name,
                each.dataset_digest,
                copy_id,
            )
            for each in sorted(values, key=lambda metric: (metric.timestamp, metric.step))
        ]

    def model(self, model_id: str) -> LoggedModel | None:
        """None where it was deleted."""
        return find_model(self.client, model_id)

    @contextmanager
    def artifacts(self, run: Run) -> Iterator[Path]:
        """A folder with the run's artifacts; without any, an empty one. Raises MlflowException where a run that has to
        have some has none here."""
        with self._folder(str(run.info.artifact_uri), run.info.run_id) as folder:
            if folder is None and _has_files(run):
                raise MlflowException(f"its artifacts are not at {run.info.artifact_uri}")
            if folder is not None:
                yield folder
            else:
                with temporary_folder() as empty:
                    yield Path(empty)

    @contextmanager
    def model_files(self, model: LoggedModel) -> Iterator[Path]:
        """A folder with the model's files; raises MlflowException where they are not here."""
        with self._folder(str(model.artifact_location), model.model_id) as folder:
            if folder is None:
                raise MlflowException(f"the files of its model are not at {model.artifact_location}")
            yield folder

    def size(self, run_ids: Sequence[str]) -> int | None:
        """Bytes of the artifacts and models of runs; None where they are not on this machine."""
        if self._server is not None:
            return None
        total = 0
        for owner, location in compat.locations(self._uri, run_ids):
            parts = urlsplit(location)
            if self._wrong(location, owner):  # such a run is left
                continue
            if parts.scheme not in ("", "file"):
                return None
            folder = self._found(Path(unquote(parts.path)))
            total += bytes_in(folder) if folder else 0
        return total

    @contextmanager
    def _folder(self, location: str, owner: str) -> Iterator[Path | None]:
        """What lies there: on this machine as it is, from elsewhere as a copy; None where there is nothing."""
        wrong = self._wrong(location, owner)
        if wrong:
            says = f"its files are said to be at {printable(location)}, and nothing is read from there: {wrong}"
            raise MlflowException(says)
        parts = urlsplit(location)
        if parts.scheme in ("", "file"):
            yield self._found(Path(unquote(parts.path)))
            return
        place = get_artifact_repository(location, tracking_uri=self._uri)
        with temporary_folder() as name:
            yield Path(place.download_artifacts("", name)) if place.list_artifacts("") else None

    def _wrong(self, location: str, owner: str) -> str | None:
        """What is wrong with a place that MLflow does not make for this run or model.

        A store says where its files are, and may be another person's: it could name any folder of this machine, a
        bucket that our keys open, or a server that would be sent our login.
        """
        wrong = self._server and foreign_place(location, self._server)
        parts = urlsplit(location)
        path = PurePosixPath(unquote(parts.path))
        places = ("", "file", *CLOUD) if self._server is None else ("", "file", "mlflow-artifacts", *CLOUD)
        made = re.fullmatch(OWNER, owner) and path.parts[-2:] == (owner, "artifacts") and ".." not in path.parts
        if made and parts.scheme in places and (parts.scheme != "file" or not parts.netloc):
            return wrong or None
        return wrong or "which is no place that MLflow makes for it"

    def _found(self, path: Path) -> Path | None:
        """The folder; where the store was moved to another place, the one of the same name beside it."""
        if path.is_dir():
            return path
        tails = [Path(*path.parts[first:]) for first in range(1, len(path.parts) - 1)] if self._beside else []
        return next((found for tail in tails if (found := Path(str(self._beside)) / tail).is_dir()), None)


def origin_id(run: Run) -> str:
    """The id that a run had where it was recorded: of a copy, that of what it is a copy of."""
    return str(run.data.tags.get(SOURCE, run.info.run_id))


def passed(run: Run) -> dict[str, str]:
    """Tags of a copy that say where it comes from, so that every id that it ever had can be asked for."""
    tags, run_id = run.data.tags, run.info.run_id
    if SOURCE not in tags:
        return {SOURCE: run_id}
    return {SOURCE: tags[SOURCE], VIA: " ".join([*tags.get(VIA, "").split(), run_id])}


def _has_files(run: Run) -> bool:
    """Whether its record cannot do without files of the run's own: this project's runs that ended well, and runs of
    MLflow 2 with a model. Models of MLflow 3 have a place of their own, and that of a run that was killed none."""
    ours = "record.version" in run.data.tags and run.info.status == "FINISHED"
    return ours or ("mlflow.log-model.history" in run.data.tags and not outputs_of(run))


def _attributed(metric: Metric, of_models: Series) -> list[Metric]:
    """As it was logged of each model; of none, the value alone."""
    return of_models.get((metric.key, metric.step, metric.timestamp)) or [metric]
