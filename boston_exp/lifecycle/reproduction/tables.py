"""The file whose md5 is the recorded one: where the run had it, in the project, or in DVC's cache or remote."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from boston_exp.config.invocation import again
from boston_exp.errors import DataUnavailable, Fault
from boston_exp.lifecycle.reproduction.asked import Asked
from boston_exp.lifecycle.reproduction.original import Original
from boston_exp.storage import dvc_remote
from boston_exp.storage.dvc_file import md5_of

MD5 = "data.md5"


def found(original: Original, asked: Asked, folder: Path) -> Path | None:
    """The table, if need be as a copy in `folder`; None for one that a loader makes. Raises DataUnavailable."""
    composed = (original.config.get("data") or {}).get("path")
    if not composed:
        return None
    recorded, md5 = original.run.params.get("data.path", str(composed)), original.run.tags.get(MD5)
    looked: list[str] = []
    for place in _places(recorded, str(composed), asked.root):
        if place.is_file() and (md5 is None or md5_of(place) == md5):
            return place
        looked.append(f"{place} ({'has another md5' if place.is_file() else 'is not there'})")
    said = ""
    if md5 is not None:
        try:
            kept = dvc_remote.cached(asked.root, md5, asked.config.storage, asked.typed)
        except DataUnavailable as failure:
            kept, said = None, f" {failure.faults[0].says}"
        if kept is not None:
            # under its own name: its ending says how it is read. A copy: what is trained cannot touch DVC's cache
            return Path(shutil.copyfile(kept, folder / Path(recorded).name))
    looked.append(f"DVC's cache and its remote {asked.config.storage.dvc_remote}")
    says = f"The table of {original.shown}, md5 {md5}, is in none of: {', '.join(looked)}.{said}"
    mend = f"cp <that version of the table> {recorded}   (or, where another remote has it: {again('storage=minio')})"
    raise DataUnavailable(Fault(says, mend))


def _places(recorded: str, composed: str, root: Path) -> Iterator[Path]:
    """Without repetition: where the run had it, then within the project."""
    yield from dict.fromkeys([Path(recorded), root / composed])
