"""Text and YAML that a run has recorded. A record is data, maybe another person's: what cannot be read is not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from boston_exp.process import temporary_folder
from boston_exp.tracking.recorded import History

CONFIG, OVERRIDES = "config/config.yaml", "config/overrides.yaml"
LARGEST = 4_000_000  # characters of YAML or JSON; ours have some thousand


def text(history: History, run_id: str, path: str) -> str | None:
    """An artifact's content; None where the run has none that is text."""
    with temporary_folder() as folder:
        file = history.artifact(run_id, path, Path(folder))
        try:
            return file.read_text(encoding="utf-8") if file else None
        except UnicodeDecodeError:
            return None


class _Loader(yaml.SafeLoader):
    """Without aliases, anchors and tags, which a recorded file has none of: 400 bytes of nested aliases are 10^9
    values, and a tag makes tuples, which checks of targets do not look into."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None or getattr(event, "tag", None) is not None:
            raise yaml.YAMLError("an alias, an anchor or a tag")
        return super().compose_node(parent, index)


def parsed(history: History, run_id: str, path: str) -> Any:
    """A YAML or JSON artifact as plain objects; None where the run has none that can be read, or one that is too large
    or has aliases or tags."""
    try:
        content = text(history, run_id, path) or ""
        return yaml.load(content, _Loader) if len(content) <= LARGEST else None  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError):  # ValueError: a date that no calendar has
        return None
