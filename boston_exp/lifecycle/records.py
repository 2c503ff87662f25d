"""Text and YAML that a run has recorded. A record is data, maybe another person's: what cannot be read is not there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from boston_exp.process import temporary_folder
from boston_exp.tracking.recorded import History

CONFIG, OVERRIDES = "config/config.yaml", "config/overrides.yaml"


def text(history: History, run_id: str, path: str) -> str | None:
    """An artifact's content; None where the run has none that is text."""
    with temporary_folder() as folder:
        file = history.artifact(run_id, path, Path(folder))
        try:
            return file.read_text(encoding="utf-8") if file else None
        except UnicodeDecodeError:
            return None


def parsed(history: History, run_id: str, path: str) -> Any:
    """A YAML or JSON artifact as plain objects; None where the run has none that can be read."""
    try:
        return yaml.safe_load(text(history, run_id, path) or "")
    except yaml.YAMLError:
        return None


def literal(node: Any) -> Any:
    """A recorded configuration for OmegaConf: it is resolved, so a `${` in it is text, and looks nothing up here."""
    if isinstance(node, dict):
        return {key: literal(value) for key, value in node.items()}
    if isinstance(node, list):
        return [literal(value) for value in node]
    return re.sub(r"(\\*)\$\{", lambda found: 2 * found[1] + r"\${", node) if isinstance(node, str) else node
