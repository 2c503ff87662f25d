"""Text in Markdown, which MLflow's descriptions are."""

from __future__ import annotations

import re


def escaped(text: str) -> str:
    """A text that has no meaning in Markdown beyond its letters."""
    return re.sub(r"([\\`*|<>\[\]])", r"\\\1", text)
