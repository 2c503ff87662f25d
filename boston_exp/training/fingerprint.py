"""One digest of all that decides a result, and one of the configuration alone: what is the same experiment."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import boston_exp.experiment
from boston_exp.config.schema import Config
from boston_exp.process import remembered

# Libraries that can change the outcome of a fit, besides the package of the estimator itself.
NUMERIC_LIBRARIES = ("numpy", "pandas", "scikit-learn", "scipy")
# Modules of experiment/ whose code decides a result. What checks, describes, draws or prints one is not among them.
DECIDING = (
    "reading/cells",
    "reading/columns",
    "reading/dates",
    "reading/files",
    "reading/header",
    "reading/packaged",
    "reading/sniffing",
    "reading/table",
    "reading/text_table",
    "reading/values",
    "roles",
    "dataset",
    "hold_out",
    "split",
    "metrics",
    "models",
    "targets",
    "evaluation",
    "growing",
    "intervals",
    "units",
    "tilting",
    "importance",
    "spread",
)
# Settings of `data` that name or describe the table: they change no number.
DESCRIBING = ("name", "experiment_name", "path", "target_label", "target_unit", "allow_changed", "slices", "caveats")


def fingerprint(config: Config, data_md5: str) -> str:
    """A digest of all that decides the result; the same one means the same bits on the same kind of machine.

    In it: model, preprocess, evaluation, seeds, how the table is read and split, the data's md5, versions of Python
    and the numeric libraries, code of the trusted packages and of the DECIDING modules. Not in it: paths, names
    and labels, who records, where bytes live, figures, what is selected by.
    """
    return _digest(
        {
            **_deciding(config),
            "seed": config.seed,
            "md5": data_md5,
            "python": platform.python_version_tuple()[:2],
            "libraries": {name: version(name) for name in NUMERIC_LIBRARIES},
            "trusted": {name: _package_state(name) for name in config.trusted_packages if name != "sklearn"},
            "code": code_digest(Path(str(boston_exp.experiment.__file__)).parent),
        }
    )


def config_digest(config: Config) -> str:
    """A digest of the configuration without `seed`, nor the random states that it gives: runs that differ in nothing
    else are repetitions of one experiment."""

    def seedless(node: Any) -> Any:
        if isinstance(node, dict):
            return {
                name: "seed" if name.endswith("random_state") and value == config.seed else seedless(value)
                for name, value in node.items()
            }
        return [seedless(item) for item in node] if isinstance(node, list) else node

    return _digest(seedless(_deciding(config)))


def _deciding(config: Config) -> dict[str, Any]:
    data, evaluation = asdict(config.data), asdict(config.evaluation)
    for key in DESCRIBING:
        del data[key]
    data["drop"] = sorted(data["drop"])
    del evaluation["selection_metric"]
    return {"model": config.model, "preprocess": config.preprocess, "data": data, "evaluation": evaluation}


def _digest(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@remembered()
def code_digest(folder: Path) -> str:
    """One digest over the source of the DECIDING modules in `folder`."""
    return hashlib.sha256("".join(source_digest(folder / f"{name}.py") for name in DECIDING).encode()).hexdigest()


@remembered()
def version(distribution: str) -> str:
    """Of an installed distribution."""
    return metadata.version(distribution)


@remembered()
def distribution(package: str) -> str:
    """What an imported package is installed as, where the two names differ."""
    if package == "xgboost" and not _is_installed(package):
        return "xgboost-cpu"  # the same code without CUDA's libraries
    return package.replace("_", "-")


def _is_installed(distribution: str) -> bool:
    try:
        return bool(metadata.version(distribution))
    except metadata.PackageNotFoundError:
        return False


@remembered()
def _package_state(package: str) -> str:
    """The version of an installed package, or a digest of the source of one that is only on the path."""
    try:
        return metadata.version(distribution(package))
    except metadata.PackageNotFoundError:
        spec = find_spec(package)  # finds it without importing it: it may be named and not used
        if spec is None or spec.origin is None:
            return "not installed"
        file = Path(spec.origin)
        return source_digest(file.parent if file.name == "__init__.py" else file)


@remembered()
def source_digest(place: Path) -> str:
    """Of a module, or of every module in a folder."""
    digest = hashlib.sha256()
    for file in [place] if place.is_file() else sorted(place.rglob("*.py")):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
