"""Brings registered models: versions of runs that are in the target, and aliases that nobody has moved there."""

from __future__ import annotations

from collections.abc import Iterator

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException

from boston_exp.redaction import redact
from boston_exp.tracking.mlflow.registry import EVENT, as_default, is_unknown
from boston_exp.tracking.mlflow.runs import of_all_pages
from boston_exp.tracking.publishing.copy import RunCopier
from boston_exp.tracking.publishing.source import Source
from boston_exp.tracking.recorded import LOGGED, MODELS, RUNS
from boston_exp.tracking.synchronization import Left

VERSION = "sync.source_version"  # tag of a version: the run and the number that it was made with
ALIAS = "sync.alias."  # and an alias; tag of a registered model: the version that this alias was last given here


class RegisteredModels:
    """Of `source`, to be in `target` too; runs and models that versions are of come by the copier."""

    def __init__(self, source: Source, target: MlflowClient, copier: RunCopier) -> None:
        self._source = source
        self._target = target
        self._copier = copier

    def bring(self) -> Iterator[Left | None]:
        """None for each version that was brought; what is left."""
        for model in _registered_models(self._source.client):
            try:
                yield from self._model(model)
            except Exception as error:  # one that cannot be read or written is no reason to leave the others
                yield Left(model.name, "registered model", _reason(error))

    def _model(self, model: RegisteredModel) -> Iterator[Left | None]:
        theirs = self._registered(model.name)
        if theirs is None:
            theirs = self._target.create_registered_model(model.name, dict(model.tags), model.description)
            for key in [key for key in model.tags if key.startswith(EVENT)]:
                self._target.delete_registered_model_tag(model.name, key)  # until the versions have their numbers
        known = self._known(model.name)
        numbers: dict[str, str] = {}
        for version in sorted(_versions(self._source.client, model.name), key=lambda each: int(each.version)):
            origin = version.tags.get(VERSION, f"{version.run_id or version.source}#{version.version}")
            try:
                if origin not in known:
                    copy_id = self._copy_of(version)
                    if copy_id is None:  # of a run that nobody asked for
                        continue
                    known[origin] = self._create(version, origin, copy_id)
                    yield None
                numbers[str(version.version)] = known[origin]
            except Exception as error:
                yield Left(f"{model.name}/{version.version}", "version", _reason(error))
        if all(ours == number for ours, number in numbers.items()):
            for key, value in model.tags.items():
                if key.startswith(EVENT) and key not in theirs.tags:
                    self._target.set_registered_model_tag(model.name, key, value)
        yield from self._aliases(model, theirs, numbers)

    def _registered(self, name: str) -> RegisteredModel | None:
        try:
            return self._target.get_registered_model(name)
        except MlflowException as error:
            if is_unknown(error):
                return None
            raise

    def _known(self, name: str) -> dict[str, str]:
        """Numbers in the target by the origins of versions: of several the first, and none of them is touched."""
        known: dict[str, str] = {}
        for version in sorted(_versions(self._target, name), key=lambda each: int(each.version)):
            if VERSION in version.tags:
                known.setdefault(version.tags[VERSION], str(version.version))
        return known

    def _copy_of(self, version: ModelVersion) -> str | None:
        run = self._source.run(version.run_id) if version.run_id else None
        if run is None:
            raise MlflowException("the run that it is of is not there")
        return self._copier.whole_copy(run)

    def _create(self, version: ModelVersion, origin: str, copy_id: str) -> str:
        run, copy = self._source.client.get_run(version.run_id), self._target.get_run(copy_id)
        if str(version.source).startswith(LOGGED):
            model = self._copier.copy_model(str(version.source).removeprefix(MODELS), run, copy)
            if model is None:
                raise MlflowException("its model was deleted")
            source, model_id = f"{MODELS}{model.model_id}", model.model_id
        else:
            source, model_id = _moved(str(version.source), (run.info, copy.info)), None
        with as_default(str(self._target.tracking_uri)):
            made = self._target.create_model_version(
                version.name,
                source,
                copy.info.run_id,
                tags={**version.tags, VERSION: origin},
                description=version.description,
                model_id=model_id,
            )
        return str(made.version)

    def _aliases(self, model: RegisteredModel, theirs: RegisteredModel, numbers: dict[str, str]) -> Iterator[Left]:
        """An alias that somebody has moved there since it was last brought is left where it is."""
        for alias, number in model.aliases.items():
            wanted, now = numbers.get(str(number)), theirs.aliases.get(alias)
            last = theirs.tags.get(ALIAS + alias)
            if wanted is None or (now is not None and str(now) == wanted):
                continue
            if now is not None and str(now) != last:
                yield Left(
                    f"{model.name}@{alias}", "alias", f"it names version {now} there, which was not set from here"
                )
                continue
            self._target.set_registered_model_alias(model.name, alias, wanted)
            self._target.set_registered_model_tag(model.name, ALIAS + alias, wanted)


def _registered_models(client: MlflowClient) -> Iterator[RegisteredModel]:
    yield from of_all_pages(lambda token: client.search_registered_models(max_results=100, page_token=token))


def _versions(client: MlflowClient, name: str) -> Iterator[ModelVersion]:
    where = "name = '{}'".format(name.replace("'", "''"))
    yield from of_all_pages(lambda token: client.search_model_versions(where, max_results=1000, page_token=token))


def _moved(source: str, infos: tuple) -> str:
    """Where the files of a version are in the run's copy."""
    run, copy = infos
    for ours, theirs in ((f"{RUNS}{run.run_id}", f"{RUNS}{copy.run_id}"), (run.artifact_uri, copy.artifact_uri)):
        if source.startswith(f"{ours}/"):
            return f"{theirs}{source.removeprefix(ours)}"
    raise MlflowException(f"its files are at {source}, which is not part of its run")


def _reason(error: Exception) -> str:
    return redact(str(error)).partition("\n")[0][:300]
