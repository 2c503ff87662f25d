"""Which files of a record go to a server, and how long a server may take to answer for one."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)
Put = Callable[[str, str | None], None]
AT_ONCE = 8  # uploads; each is a request of its own


def own_files(root: Path, without: str = "") -> list[Path]:
    """The files of a folder, those of one folder inside excepted. What a link leads to is somebody else's, and does not
    go to a server."""
    found: list[Path] = []
    links = [path for path in (root, root.parent) if path.is_symlink()]
    for folder, inside, names in os.walk(root) if not links else ():
        for path in (Path(folder) / name for name in (*inside, *names)):
            if without and path.is_relative_to(root / without):
                continue
            if path.is_symlink():
                links.append(path)
            elif path.is_file():
                found.append(path)
    for link in links:
        log.warning("%s is a link, and is not published", link)
    return found


class Uploads:
    """Uploads the files of a folder, several at once."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="upload")

    def put(self, root: Path, files: list[Path], put: Put) -> None:
        """Give each file to `put`, with the folder that it is in, below `root`."""
        inside = [file.parent.relative_to(root).as_posix() for file in files]
        places = [(str(file), None if folder == "." else folder) for file, folder in zip(files, inside, strict=True)]
        with time_for(max((file.stat().st_size for file in files), default=0)):
            for first in places[:1]:  # alone: MLflow looks up, once, where this run's files belong
                put(*first)
            list(self._threads.map(lambda place: put(*place), places[1:]))

    def close(self) -> None:
        """Start no more uploads; those under way are not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


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
