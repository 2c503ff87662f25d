"""The model that `from_model=` names, with what was recorded beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.base import BaseEstimator

from boston_exp.config.invocation import again, for_services
from boston_exp.errors import Fault, InvalidConfig, did_you_mean
from boston_exp.experiment.grouping import COLUMN
from boston_exp.lifecycle import evidence, selection
from boston_exp.lifecycle.promise import Promise, promise
from boston_exp.lifecycle.promotion.bundle import OUT_OF_FOLD, PROFILE, PROMISE
from boston_exp.process import temporary_folder
from boston_exp.tracking import backends
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.model_files import loaded
from boston_exp.tracking.recorded import RecordedRun, Registry, Version

NUMBERS = ("integer", "number", "boolean")


@dataclass(frozen=True, eq=False)
class Source:
    """A fitted model. `profile` is that of its training rows, `out_of_fold` has residuals for intervals, `promise` what
    its card allows; each is None where it was not recorded. `run` and `version` are None for a file."""

    shown: str
    estimator: BaseEstimator
    profile: Mapping[str, Any] | None
    out_of_fold: pd.DataFrame | None
    promise: Promise | None
    target: str
    unit: str
    run: RecordedRun | None = None
    version: Version | None = None

    @property
    def features(self) -> list[str]:
        """The columns that it takes, in its order."""
        if self.profile:
            return [str(name) for name in self.profile["columns"] if name != self.profile["target"]]
        return [str(name) for name in getattr(self.estimator, "feature_names_in_", ())]

    def column(self, name: str) -> Mapping[str, Any]:
        """What the training rows had in a column."""
        columns: Mapping[str, Mapping[str, Any]] = self.profile["columns"] if self.profile else {}
        return columns.get(name, {})

    def is_number(self, name: str) -> bool:
        return self.profile is None or self.column(name).get("type") in NUMBERS


def opened(text: str, cwd: Path, destination: Destination, trusted: list[str]) -> Source:
    """Find the model, check what it is made of, load it.

    Raises InvalidConfig for a model that cannot be found, is damaged or of types that are not trusted here.
    """
    if text.startswith(("models:/", "runs:/")):
        return _recorded(text, destination, trusted)
    place = (cwd / Path(text).expanduser()).resolve()
    if not place.exists():
        says = (
            f"from_model={text} is neither a model of a store (models:/<name>@champion, runs:/<id>/model) nor a file."
        )
        raise InvalidConfig(Fault(says, for_services("promote", "history=true") + "   (says what was promoted)"))
    return _file(text, place, trusted)


def _recorded(text: str, destination: Destination, trusted: list[str]) -> Source:
    history, registry = backends.open_history(destination), backends.open_registry(destination)
    version = None
    if text.startswith("models:/"):
        version = _version(text, registry)
        if version is None:
            run = selection.identified(history, text, "from_model")
        else:
            run_of_version = history.run(version.run_id)
            if run_of_version is None:
                says = f"The run {version.run_id} of {text} is not in this store."
                raise InvalidConfig(Fault(says, for_services("promote", "history=true")))
            run = run_of_version
        uri = text
    else:
        run = selection.identified(history, text.removeprefix("runs:/").partition("/")[0], "from_model")
        uri = selection.model_of(history, run) or f"runs:/{run.run_id}/model"
    with temporary_folder() as name:
        folder = Path(name)
        place = history.model(uri, folder / "model")
        if place is None:
            says = f"{text}: the run {run.run_id} ({run.name}) has no model."
            raise InvalidConfig(Fault(says, for_services("run", f"base={run.run_id}", "evaluation=cv")))
        estimator = loaded(place, text, tuple(trusted))
        profile = _json(history.artifact(run.run_id, PROFILE, folder))
        out_of_fold = _residuals(history.artifact(run.run_id, OUT_OF_FOLD, folder))
    held_out = evidence.tables(history, [run.run_id], evidence.HELD_OUT)[run.run_id]
    promised = promise(held_out, out_of_fold) if held_out is not None else None
    target, unit = run.param("data.target"), run.param("data.target_unit")
    return Source(text, estimator, profile, out_of_fold, promised, target, unit, run, version)


def _version(text: str, registry: Registry) -> Version | None:
    """Of `models:/<name>@<alias>` and `models:/<name>/<number>`; None for a logged model, `models:/m-…`."""
    name, at, alias = text.removeprefix("models:/").partition("@")
    if not at:
        name, slash, alias = name.partition("/")
        if not slash:
            return None
    found = registry.version(name, alias)
    if found is None:
        aliases = registry.aliases(name)
        known = ", ".join(f"{each} (version {number})" for each, number in aliases.items())
        says = f"{text}: " + (
            f"{name} has no {alias}; it has {known or 'no alias'}.{did_you_mean(alias, aliases)}"
            if aliases or registry.versions(name)
            else f"there is no registered model {name}."
        )
        raise InvalidConfig(Fault(says, for_services("promote", "run_id=best", *([f"alias={alias}"] if at else []))))
    return found


def _file(text: str, place: Path, trusted: list[str]) -> Source:
    estimator = loaded(place, text, tuple(trusted))
    folder = place if place.is_dir() else place.parent
    told = _json(folder / PROMISE) or {}
    profile = _json(folder / PROFILE)
    try:
        promised = Promise(**told["promise"])
    except (KeyError, TypeError):
        promised = None
    target = str(told.get("target") or (profile or {}).get("target", ""))
    return Source(
        text, estimator, profile, _residuals(folder / OUT_OF_FOLD), promised, target, str(told.get("unit", ""))
    )


def _json(file: Path | None) -> dict[str, Any] | None:
    try:
        found = json.loads(file.read_text(encoding="utf-8")) if file else None
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _residuals(file: Path | None) -> pd.DataFrame | None:
    """Rows with actual and predicted values; the names of groups stay text."""
    if file is None:
        return None
    try:
        found = pd.read_csv(file)
    except (OSError, ValueError):
        return None
    if not {"actual", "predicted"} <= set(found.columns):
        return None
    labels = {name: str for name in found.columns if name.startswith(COLUMN)}
    return pd.read_csv(file, dtype=labels, keep_default_na=False) if labels else found


def refuse_foreign_profile(source: Source) -> None:
    """Raise InvalidConfig where the profile is that of another model."""
    known = [str(name) for name in getattr(source.estimator, "feature_names_in_", ())]
    if source.profile is not None and known and known != source.features:
        says = f"{PROFILE} beside {source.shown} is of a model with other columns."
        raise InvalidConfig(Fault(says, again("from_model=models:/<name>@champion") + "   (or get both by dvc pull)"))
