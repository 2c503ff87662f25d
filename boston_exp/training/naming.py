"""The name of a run: what distinguishes it at a glance."""

from __future__ import annotations

from collections.abc import Mapping

from boston_exp.config.settings import Typed


def run_name(choices: Mapping[str, str], typed: Typed) -> str:
    """The preset or the model, and what was changed in the model: `random_forest max_depth=15`."""
    changed = [
        override.lstrip("+").removeprefix("model.")
        for override in typed.overrides
        if override.lstrip("+").startswith("model.")
    ]
    return " ".join([choices.get("experiment") or choices.get("model") or "model", *changed])
