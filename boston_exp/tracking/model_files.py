"""Reads a model's skops file: what it is made of is checked before anything of it is made."""

from __future__ import annotations

from pathlib import Path

from sklearn.base import BaseEstimator

from boston_exp.config.invocation import again
from boston_exp.errors import Fault, InvalidConfig
from boston_exp.redaction import redact
from boston_exp.tracking.model_types import check_loadable


def loaded(place: Path, shown: str, trusted_packages: tuple[str, ...]) -> BaseEstimator:
    """The estimator in a model's folder or skops file, checked before anything of it is made."""
    import skops.io

    file = skops_file(place, shown, trusted_packages)
    try:
        estimator: BaseEstimator = skops.io.load(file, trusted=skops.io.get_untrusted_types(file=file))
    except Exception as error:  # a member of the file that was cut short, a state that its class does not take
        raise InvalidConfig(_damaged(file, shown, error)) from error
    if not hasattr(estimator, "predict"):
        says = f"{shown} is no model: it has no predict."
        raise InvalidConfig(Fault(says, again("from_model=models:/<name>@champion")))
    return estimator


def skops_file(place: Path, shown: str, trusted_packages: tuple[str, ...]) -> Path:
    """The file of a model in a folder (or that file), checked against our own list of types.

    MLflow's `load_model` trusts the list inside of the model, which whoever made it has written (GHSA-w582-9x45-8mpx).
    Raises InvalidConfig for foreign types, for a model that is not in skops format, and for one that is damaged.
    """
    import skops.io

    file = place / "model.skops" if place.is_dir() else place
    if not file.is_file() or file.is_symlink():
        says = f"{shown} has no model.skops: it is in a format that can run code when it is loaded."
        raise InvalidConfig(Fault(says, f"ls {place}   (only if you trust it: mlflow.pyfunc.load_model)"))
    try:
        found = skops.io.get_untrusted_types(file=file)
    except Exception as error:  # a zip file of another kind, a schema with anything in it
        raise InvalidConfig(_damaged(file, shown, error)) from error
    check_loadable(found, trusted_packages)
    return file


def _damaged(file: Path, shown: str, error: Exception) -> Fault:
    says = f"{shown} is not a model in skops format that can be read: {type(error).__name__}: {error}"
    return Fault(redact(says.partition("\n")[0]), f"ls -l {file}   (get it anew, by dvc pull or from the registry)")
