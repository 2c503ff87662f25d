"""Which files of a record go to a server, and how long a server may take to answer for one."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)


def own_files(root: Path) -> list[Path]:
    """The files of a folder. What a link leads to is somebody else's, and does not go to a server."""
    found: list[Path] = []
    links = [path for path in (root, root.parent) if path.is_symlink()]
    for folder, inside, names in os.walk(root) if not links else ():
        for path in (Path(folder) / name for name in (*inside, *names)):
            if path.is_symlink():
                links.append(path)
            elif path.is_file():
                found.append(path)
    for link in links:
        log.warning("%s is a link, and is not published", link)
    return found


@contextmanager
def time_for(size: int) -> Iterator[None]:
    """Extend MLflow's time-out by a second a megabyte: a server answers once the file is in its object store."""
    name = "MLFLOW_HTTP_REQUEST_TIMEOUT"
    before = os.environ[name]  # always set: see tracking/mlflow/__init__.py
    os.environ[name] = str(int(before) + size // 1_000_000)
    try:
        yield
    finally:
        os.environ[name] = before
