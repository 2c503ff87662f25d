"""Where a project keeps promoted models, and a promotion its journal and its lock."""

from __future__ import annotations

from pathlib import Path

MODELS = Path("data/models")
FOLDER = MODELS / ".promotion"
JOURNAL = FOLDER / "journal.json"
LOCK = MODELS / ".promotion.lock"
