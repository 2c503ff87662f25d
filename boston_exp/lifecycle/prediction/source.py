"""The model that `from_model=` names, with what was recorded beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from boston_exp.config.invocation import again, for_services
from boston_exp.errors import Fault, InvalidConfig, nearest
from boston_exp.experiment.conformal import once
from boston_exp.experiment.grouping import COLUMN, Grouping
from boston_exp.experiment.units import CLUSTER
from boston_exp.lifecycle import evidence, selection
from boston_exp.lifecycle.evidence import OUT_OF_FOLD
from boston_exp.lifecycle.model_folder import CHECKED, PROFILE, PROMISE
from boston_exp.lifecycle.promise import Promise, promise
from boston_exp.process import temporary_folder
from boston_exp.storage.dvc_file import md5_of
from boston_exp.tracking import backends
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.model_files import loaded
from boston_exp.tracking.recorded import MODELS, RUNS, RecordedRun, Registry, Version

ISO = "ISO8601"  # as pandas names it
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

    @cached_property
    def groupings(self) -> dict[str, Grouping]:
        """How rows are told apart, by `data.slices` of the run."""
        known = (self.profile or {}).get("groups") or {}
        return {name: Grouping.recorded(node) for name, node in known.items()}

    def column(self, name: str) -> Mapping[str, Any]:
        """What the training rows had in a column."""
        columns: Mapping[str, Mapping[str, Any]] = self.profile["columns"] if self.profile else {}
        return columns.get(name, {})

    def is_date(self, name: str) -> bool:
        return self.column(name).get("type") == "datetime"

    def date_format(self, name: str) -> str:
        """Of the file that the model was trained on; ISO 8601 where that had dates of its own."""
        dates = (self.profile or {}).get("read_as", {}).get("dates", {})
        return str(dates.get(name, ISO))

    def is_number(self, name: str) -> bool:
        return self.profile is None or self.column(name).get("type") in NUMBERS


def opened(text: str, cwd: Path, destination: Destination, trusted: list[str]) -> Source:
    """Find the model, check what it is made of, load it.

    Raises InvalidConfig for a model that cannot be found, is damaged or of types that are not trusted here.
    """
    source = _recorded(text, destination, trusted) if text.startswith((MODELS, RUNS)) else _file(text, cwd, trusted)
    known = [str(name) for name in getattr(source.estimator, "feature_names_in_", ())]
    if source.profile is not None and known and known != source.features:
        says = f"{PROFILE} beside {source.shown} is of a model with other columns."
        raise InvalidConfig(Fault(says, again("from_model=models:/<name>@champion") + "   (or get both by dvc pull)"))
    return source


def _recorded(text: str, destination: Destination, trusted: list[str]) -> Source:
    history = backends.open_history(destination)
    version = _version(text, backends.open_registry(destination)) if text.startswith(MODELS) else None
    if version is not None:
        found = history.run(version.run_id)
        if found is None:
            says = f"The run {version.run_id} of {text} is not in this store."
            raise InvalidConfig(Fault(says, for_services("promote", "history=true")))
        run = found
    else:
        named = text if text.startswith(MODELS) else text.removeprefix(RUNS).partition("/")[0]
        run = selection.identified(history, named, "from_model")
    uri = (version.logged if version else None) or selection.model_of(history, run)
    with temporary_folder() as name:
        folder = Path(name)
        (folder / "model").mkdir()
        place = history.model(run.run_id, uri, folder / "model")
        if place is None:
            says = f"{text}: the run {run.run_id} ({run.name}) has no model."
            raise InvalidConfig(Fault(says, for_services("run", f"base={run.run_id}") + "   (trains it again)"))
        estimator = loaded(place, text, tuple(trusted))
        profile = _profile(history.artifact(run.run_id, PROFILE, folder), text)
        out_of_fold = _residuals(history.artifact(run.run_id, OUT_OF_FOLD, folder), text)
    held_out = evidence.tables(history, [run.run_id], evidence.HELD_OUT)[run.run_id]
    promised = promise(held_out, out_of_fold) if held_out is not None else None
    target, unit = run.param("data.target"), run.param("data.target_unit")
    return Source(text, estimator, profile, out_of_fold, promised, target, unit, run, version)


def _version(text: str, registry: Registry) -> Version | None:
    """Of `models:/<name>@<alias>` and `models:/<name>/<number>`; None for a logged model, `models:/m-…`."""
    name, at, alias = text.removeprefix(MODELS).partition("@")
    if not at:
        name, slash, alias = name.partition("/")
        if not slash:
            return None
    found = registry.version(name, alias)
    if found is None:
        raise InvalidConfig(_unknown(text, name, alias, registry))
    return found


def _unknown(text: str, name: str, alias: str, registry: Registry) -> Fault:
    aliases, models = registry.aliases(name), registry.names()
    if name not in models:
        closest = nearest(name, models)
        known = f"it has {', '.join(models)}" if models else "it has none"
        says = f"{text}: there is no registered model {name} in {registry.shown}; {known}."
        mend = again(f"from_model=models:/{closest or '<name>'}@champion") if models else for_services("leaderboard")
        return Fault(says, mend)
    known = ", ".join(f"{each} (version {number})" for each, number in aliases.items()) or "no alias"
    closest = nearest(alias, aliases) or next(iter(aliases), None)
    says = f"{text}: {name} has no {alias} in {registry.shown}; it has {known}."
    return Fault(says, again(f"from_model=models:/{name}{f'@{closest}' if closest else '/<version>'}"))


def _file(text: str, cwd: Path, trusted: list[str]) -> Source:
    place = (cwd / Path(text).expanduser()).resolve()
    if not place.exists():
        pointer = next((each for each in (place, place.parent) if each.with_name(f"{each.name}.dvc").is_file()), None)
        if pointer is not None:
            says = f"from_model={text} is under DVC, and its files are not here."
            raise InvalidConfig(Fault(says, f"dvc pull {pointer}.dvc"))
        says = (
            f"from_model={text} is neither a model of a store (models:/<name>@champion, runs:/<id>/model) nor a file."
        )
        raise InvalidConfig(Fault(says, for_services("promote", "history=true") + "   (says what was promoted)"))
    folder = place if place.is_dir() else place.parent
    told = _json(folder / PROMISE, text) or {}
    _refuse_strangers(told, folder, text)
    estimator = loaded(place, text, tuple(trusted))
    profile = _profile(folder / PROFILE, text)
    out_of_fold = _residuals(folder / OUT_OF_FOLD, text)
    promised = None
    if "promise" in told:
        try:
            promised = Promise.recorded(told["promise"])
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidConfig(_damaged(PROMISE, text)) from error
    target = str(told.get("target") or (profile or {}).get("target", ""))
    return Source(text, estimator, profile, out_of_fold, promised, target, str(told.get("unit", "")))


def _refuse_strangers(told: Mapping[str, Any], folder: Path, text: str) -> None:
    """Raise InvalidConfig where a file beside the card is not the one that the card was written with."""
    files = told.get("files")
    for name, digest in files.items() if isinstance(files, dict) else ():
        if name in CHECKED and (folder / name).is_file() and md5_of(folder / name) != digest:
            says = f"{name} beside {text} is not the one that belongs to {PROMISE}: its md5 differs."
            raise InvalidConfig(Fault(says, f"dvc checkout {folder}.dvc   (gets all of them)"))


def _json(file: Path | None, text: str) -> dict[str, Any] | None:
    if file is None or not file.is_file():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidConfig(_damaged(file.name, text)) from error
    if not isinstance(found, dict):
        raise InvalidConfig(_damaged(file.name, text))
    return found


def _profile(file: Path | None, text: str) -> dict[str, Any] | None:
    found = _json(file, text)
    if found is None:
        return None
    columns: Any = found.get("columns")
    groups: Any = found.get("groups", {})
    whole = isinstance(columns, dict) and isinstance(groups, dict) and "target" in found
    if not whole or not all(isinstance(node, dict) for node in (*columns.values(), *groups.values())):
        raise InvalidConfig(_damaged(PROFILE, text))
    return found


def _residuals(file: Path | None, text: str) -> pd.DataFrame | None:
    """Rows with actual and predicted values; the names of groups stay text."""
    if file is None or not file.is_file():
        return None
    try:
        found = pd.read_csv(file)
        labels = [name for name in found.columns if name.startswith(COLUMN) or name == CLUSTER]
        found = evidence.with_text(found, file, labels)
        numbers = found[["actual", "predicted", *(["spread"] if "spread" in found else [])]].astype("float64")
        whole = len(found) > 0 and bool(np.isfinite(numbers).all(axis=None))
    except (OSError, ValueError, KeyError):
        whole = False
    if not whole:
        raise InvalidConfig(_damaged(OUT_OF_FOLD, text))
    return once(found)


def _damaged(name: str, text: str) -> Fault:
    says = f"{name} of {text} cannot be read: it is damaged."
    return Fault(says, again("from_model=models:/<name>@champion") + "   (or get it anew, by dvc checkout)")
