"""A logged model's files for another place: the stored bytes, with the names that a copy has."""

from __future__ import annotations

import shutil
from pathlib import Path

from mlflow.entities import LoggedModel


def copy_model(stored: Path, source: LoggedModel, copy: LoggedModel, folder: Path) -> None:
    """Copy a model's stored files into a new folder, as they are; only MLmodel, which names model, run and place, is
    rewritten."""
    shutil.copytree(stored, folder, symlinks=True)
    described = folder / "MLmodel"
    if described.is_symlink() or not described.is_file():
        return
    text = described.read_text(encoding="utf-8")
    for old, new in (
        (source.artifact_location, copy.artifact_location),
        (source.model_id, copy.model_id),
        (str(source.source_run_id), str(copy.source_run_id)),
    ):
        text = text.replace(old, new)
    described.write_text(text, encoding="utf-8")
