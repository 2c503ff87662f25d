"""Names of code in a configuration: which of them may be imported at all, known before anything is.

What each names once it is imported is checked in experiment/targets.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from boston_exp.config.invocation import again, quoted_list
from boston_exp.config.schema import Config
from boston_exp.errors import Fault

UFUNCS = tuple(
    f"numpy.{name}"
    for name in (
        "log1p", "expm1", "log", "exp", "log2", "exp2", "log10", "sqrt", "square", "cbrt", "arcsinh", "sinh",
    )
)  # fmt: skip
# Functions that a selector takes, given as they are.
SCORES = tuple(
    f"sklearn.feature_selection.{name}" for name in ("f_regression", "r_regression", "mutual_info_regression")
)
LOADER = re.compile(r"sklearn\.datasets\.load_\w+")
EXAMPLES = {
    "model": "sklearn.linear_model.Ridge",
    "preprocess": "sklearn.preprocessing.StandardScaler",
    "data.loader": "sklearn.datasets.load_diabetes",
}


def faults(config: Config) -> Iterator[Fault]:
    """Targets that are not imported, and folders that are not read."""
    yield from _untrusted(config)
    yield from _caches(config)


def _untrusted(config: Config) -> Iterator[Fault]:
    loader = {"_target_": config.data.loader} if config.data.loader else {}
    for key, node in (("model", config.model), ("preprocess", config.preprocess), ("data.loader", loader)):
        for target in _targets(node):
            package, dot, rest = str(target).partition(".")
            if not dot:
                yield Fault(
                    f"{key}: {target!r} is not the full, dotted name of a class.",
                    again(f"{key if key == 'data.loader' else key + '._target_'}={EXAMPLES[key]}"),
                )
            elif target in UFUNCS and key != "data.loader":
                continue
            elif any(part.startswith("_") for part in rest.split(".")):
                says = f"{key}: {target!r} goes through a private name, which is not imported."
                yield Fault(says, again(f"{key if key == 'data.loader' else key + '._target_'}={EXAMPLES[key]}"))
            elif key == "data.loader" and package == "sklearn" and not LOADER.fullmatch(str(target)):
                says = f"{key}: {target!r} is not one of sklearn.datasets.load_*."
                yield Fault(says, again(f"{key}={EXAMPLES[key]}"))
            elif package not in config.trusted_packages:
                trusted = quoted_list([*config.trusted_packages, package])
                yield Fault(
                    f"{key}: {target!r} is outside of trusted_packages {config.trusted_packages}, "
                    "so it is not imported.",
                    again(f"trusted_packages={trusted}") + "   (only if you trust that code)",
                )


def _caches(config: Config) -> Iterator[Fault]:
    """scikit-learn's `memory` would load what it finds in a folder, and a pickle can run code."""
    for group, node in (("model", config.model), ("preprocess", config.preprocess)):
        for part in _mappings(node):
            for name, value in part.items():
                if str(name).rpartition("__")[2] == "memory" and value is not None:
                    says = f"{group}: {name}={value} would load pickles from that folder, which can run code."
                    yield Fault(says, again(without=[f"{group}.{name}"]))


def _targets(node: Any) -> Iterator[object]:
    """Every `_target_` in a nested configuration."""
    yield from (part["_target_"] for part in _mappings(node) if "_target_" in part)


def _mappings(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _mappings(child)
