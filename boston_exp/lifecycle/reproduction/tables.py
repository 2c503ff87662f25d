"""The file whose md5 is the recorded one: where the run had it, in the project, or in DVC's cache or remote."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from boston_exp.config.invocation import again, for_services
from boston_exp.errors import DataUnavailable, Fault, InvalidConfig
from boston_exp.lifecycle.reproduction.asked import Asked
from boston_exp.lifecycle.reproduction.original import Original
from boston_exp.storage import dvc_remote
from boston_exp.storage.dvc_file import md5_of

MD5 = "data.md5"
DIGEST = re.compile(r"[0-9a-f]{32}")
LONG = 40  # characters of what is none


def found(original: Original, asked: Asked, folder: Path) -> Path | None:
    """The table, if need be as a copy in `folder`; None for one that a loader makes.

    Raises InvalidConfig for a record that does not say which content it had: any file here would be trained on, and
    read out in what is recorded. Raises DataUnavailable where that content is not to be had.
    """
    composed = (original.config.get("data") or {}).get("path")
    if not composed:
        return None
    recorded, md5 = original.run.params.get("data.path", str(composed)), original.run.tags.get(MD5)
    if md5 is not None and not DIGEST.fullmatch(md5):
        says = f"{original.shown} has recorded no md5 of its table, but {md5[:LONG]!r}."
        raise InvalidConfig(Fault(says, for_services("leaderboard") + "   (lists other runs)"))
    if md5 is None and not asked.config.trust:
        says = f"{original.shown} has not recorded the md5 of its table, so any file could be taken for {recorded}."
        raise InvalidConfig(Fault(says, again("trust=true") + "   (once you know that this file may be trained on)"))
    looked: list[str] = []
    for place in _places(recorded, str(composed), asked.root):
        content = _md5(place)
        if content is not None and md5 in (content, None):
            return place
        looked.append(f"{place} ({'has another md5' if content else 'is not there'})")
    said = ""
    if md5 is not None:
        try:
            kept = dvc_remote.cached(asked.root, md5, asked.config.storage, asked.typed)
        except DataUnavailable as failure:
            kept, said = None, f" {failure.faults[0].says}"
        if kept is not None:
            # under its own name: its ending says how it is read. A copy: what is trained cannot touch DVC's cache
            (folder / "table").mkdir()
            name = Path(recorded).name
            return Path(shutil.copyfile(kept, folder / "table" / (name if name.strip(".") else "table")))
    looked.append(f"DVC's cache and its remote {asked.config.storage.dvc_remote}")
    says = f"The table of {original.shown}, md5 {md5}, is in none of: {', '.join(looked)}.{said}"
    mend = f"cp <that version of the table> {recorded}   (or, where another remote has it: {again('storage=minio')})"
    raise DataUnavailable(Fault(says, mend))


def _md5(place: Path) -> str | None:
    """Of a file; None where there is none that this user may read."""
    try:
        return md5_of(place) if place.is_file() else None
    except OSError:  # in another user's folder, or a name that no file can have
        return None


def _places(recorded: str, composed: str, root: Path) -> Iterator[Path]:
    """Without repetition: where the run had it, then within the project."""
    yield from dict.fromkeys([Path(recorded), root / composed])
