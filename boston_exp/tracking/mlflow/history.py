"""The recorded runs of experiments, read only: opening it creates nothing and closes nothing.

Everything is a search of MLflow's. Ranking by a metric takes MLflow a second for 2,500 runs, and reading a run 2-4 ms,
so a database is asked for ids (compat.py), and a server's runs are narrowed down until they are few (narrowing.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException

from boston_exp.config.invocation import again, quoted
from boston_exp.errors import Fault, InvalidConfig, StoreUnusable, did_you_mean, nearest
from boston_exp.redaction import printable
from boston_exp.tracking import sqlite_store
from boston_exp.tracking.destination import COPY, SOURCE, VIA, Destination
from boston_exp.tracking.mlflow import compat, downloads, narrowing, registry
from boston_exp.tracking.mlflow.failures import raised_as
from boston_exp.tracking.mlflow.runs import COMPLETE, all_runs, find_run, stored_model, stored_models
from boston_exp.tracking.protocol import Finished
from boston_exp.tracking.recorded import COMPETES, FINISHED, MODELS, RecordedRun, joined


class MlflowHistory:
    """Of some experiments in a sqlite file, a database or on a server; empty where there are no such experiments."""

    def __init__(self, destination: Destination, on_server: bool = False, experiments: Sequence[str] = ()) -> None:
        if on_server:
            destination = replace(destination, uri=str(destination.server))
        self._on_server = on_server
        self._destination = destination
        self._named = experiments
        path = destination.sqlite_path
        self._client: MlflowClient | None = None
        if path is None or (path.exists() and path.stat().st_size > 0):  # MLflow would create what is not there
            faults = sqlite_store.faults(path) if path is not None else []
            if faults:
                raise StoreUnusable(*faults)
            with raised_as(StoreUnusable, destination):
                self._client = MlflowClient(destination.uri)
        self._experiments: list[str] | None = None

    def best(self, metric: str, direction: str, top: int, where: str = "") -> list[RecordedRun]:
        with raised_as(StoreUnusable, self._destination):
            return [_recorded(run) for run in self._best(metric, direction == "maximize", top, joined(FINISHED, where))]

    def _best(self, metric: str, descending: bool, top: int, where: str) -> list[Run]:
        if self._on_server or not self.experiment_ids():
            return narrowing.best(self._search, metric, descending, top, where)
        with self._readable(where):
            ids = compat.best_ids(self._destination.uri, self.experiment_ids(), where, metric, descending, top)
        runs = {run.info.run_id: run for run in self._search(f"attributes.run_id IN {_listed(ids)}")} if ids else {}
        return [runs[run_id] for run_id in ids if run_id in runs]

    def newest(self, where: str = "", top: int | None = None) -> list[RecordedRun]:
        with raised_as(StoreUnusable, self._destination):
            return [_recorded(run) for run in self._search(where, top=top)]

    def deleted(self) -> list[RecordedRun]:
        """Runs that were deleted and that MLflow's garbage collection has not removed."""
        with raised_as(StoreUnusable, self._destination):
            return [_recorded(run) for run in self._search("", top=1000, view=ViewType.DELETED_ONLY)]

    def count(self, where: str = "", expected: int = 0) -> int:
        def are_more_than(number: int) -> bool:
            token = compat.page_from(number)
            return bool(self._search(where, top=1, token=token, view=ViewType.ALL))

        with raised_as(StoreUnusable, self._destination):
            if self._on_server or not self.experiment_ids():
                return narrowing.count(are_more_than, expected) if self.experiment_ids() else 0
            with self._readable(where):
                return compat.number_of(self._destination.uri, self.experiment_ids(), where)

    def named(self, text: str) -> list[str]:
        if self._client is None or not text.replace("-", "").isalnum():
            return []
        with raised_as(StoreUnusable, self._destination):
            everywhere = [each.experiment_id for each in self._client.search_experiments()]
            found = []
            for place in ("attributes.run_id", f"tags.`{SOURCE}`", f"tags.`{COPY}`", f"tags.`{VIA}`"):
                known = f"%{text}%" if VIA in place else f"{text}%"
                found += self._client.search_runs(everywhere, f"{place} LIKE '{known}'", max_results=20)
            return list(dict.fromkeys(run.info.run_id for run in found))

    def registered(self, uri: str) -> str | None:
        if self._client is None:
            return None
        name, at, alias = uri.removeprefix(MODELS).partition("@")
        with raised_as(StoreUnusable, self._destination):
            try:
                if at:
                    return str(self._client.get_model_version_by_alias(name, alias).run_id or "") or None
                name, _, version = name.rpartition("/")
                return str(self._client.get_model_version(name, version).run_id or "") or None
            except MlflowException as error:
                if error.get_http_status_code() in (400, 404):
                    return None
                raise

    def run(self, run_id: str) -> RecordedRun | None:
        with raised_as(StoreUnusable, self._destination):
            run = find_run(self._client, run_id) if self._client else None
            return run and _recorded(run)

    def children(self, parent_id: str) -> list[RecordedRun]:
        with raised_as(StoreUnusable, self._destination):
            parent = find_run(self._client, parent_id) if self._client else None
            if parent is None:
                return []
            condition = f"tags.mlflow.parentRunId = '{parent_id}'"
            return [_recorded(run) for run in all_runs(self._client, [parent.info.experiment_id], condition)]

    def models(self, run_id: str) -> list[str]:
        with raised_as(StoreUnusable, self._destination):
            run = find_run(self._client, run_id) if self._client else None
            return [f"{MODELS}{model.model_id}" for model in stored_models(self._client, run)] if run else []

    def model(self, run_id: str, uri: str | None, folder: Path) -> Path | None:
        with raised_as(StoreUnusable, self._destination):
            return downloads.model(self._client, run_id, uri, folder, self._server) if self._client else None

    def aliases(self) -> dict[str, list[str]]:
        with raised_as(StoreUnusable, self._destination):
            return registry.aliases_by_run(self._client) if self._client else {}

    def artifact(self, run_id: str, path: str, folder: Path) -> Path | None:
        with raised_as(StoreUnusable, self._destination):
            return downloads.artifact(self._client, run_id, path, folder, self._server) if self._client else None

    @property
    def _server(self) -> str | None:
        return self._destination.server if self._on_server else None

    def finished(self, fingerprint: str, with_model: bool, metrics: Sequence[str]) -> Finished | None:
        """The newest whole run with that fingerprint, as Tracker.find_finished says."""
        for run in self._search(joined(f"tags.fingerprint = '{fingerprint}'", FINISHED, COMPETES), top=20):
            published = COMPLETE in run.data.tags or not self._on_server
            if published and is_whole(run, metrics) and (not with_model or stored_model(self._client, run)):
                return finished(run)
        return None

    def _search(
        self,
        where: str,
        order_by: list[str] | None = None,
        top: int | None = None,
        token: str | None = None,
        view: int = ViewType.ACTIVE_ONLY,
    ) -> list[Run]:
        experiments = self.experiment_ids()
        if self._client is None or not experiments:
            return []
        with self._readable(where):
            if top is None:
                return list(all_runs(self._client, experiments, where, order_by))
            return list(self._client.search_runs(experiments, where, view, top, order_by, token))

    @contextmanager
    def _readable(self, where: str) -> Iterator[None]:
        """Raise InvalidConfig for a condition that MLflow cannot read."""
        try:
            yield
        except MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            says = f"MLflow cannot read the condition {where}: {error.message.partition(chr(10))[0]}"
            example = quoted("metrics.rmse < 3 and params.`model.max_depth` = '10'")
            mend = again(f"filter={example}") + "   (Hydra's quotes inside of the shell's)"
            raise InvalidConfig(Fault(says, mend)) from error

    def experiment_ids(self) -> list[str]:
        """Of the experiments that there are."""
        if self._client is None:
            return []
        if self._experiments is None:
            names = self._named or [self._destination.experiment_name]
            found = {name: self._client.get_experiment_by_name(name) for name in names}
            self._refuse_unknown([name for name in self._named if found[name] is None])
            if not all(found.values()):
                return []  # asked for again: it may be created
            self._experiments = [experiment.experiment_id for experiment in found.values()]
        return self._experiments

    def _refuse_unknown(self, names: list[str]) -> None:
        if not names or self._client is None:
            return
        known = [each.name for each in self._client.search_experiments()]
        mend = again(f"experiments=[{quoted(nearest(names[0], known) or known[0])}]")
        raise InvalidConfig(
            *(
                Fault(
                    f"{self._destination.shown_uri} has no experiment {name}.{did_you_mean(name, known)} "
                    f"There are: {', '.join(known)}.",
                    mend,
                )
                for name in names
            )
        )


def is_whole(run: Run, metrics: Sequence[str]) -> bool:
    """Whether it has all of these metrics: what anybody wrote by hand is no result."""
    return set(metrics) <= run.data.metrics.keys()


def finished(run: Run) -> Finished:
    """As a result that can be reused."""
    return Finished(run.info.run_id, run.data.metrics)


def _listed(run_ids: list[str]) -> str:
    return f"({', '.join(map(repr, run_ids))})"


def _recorded(run: Run) -> RecordedRun:
    return RecordedRun(
        run_id=run.info.run_id,
        name=printable(run.info.run_name or ""),
        status=run.info.status,
        start_time=run.info.start_time,
        end_time=run.info.end_time,
        params=run.data.params,
        metrics=run.data.metrics,
        tags=run.data.tags,
    )
