"""Which files of a record go to another store, how long that may take to answer for one, and that they have arrived."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlflow.store.artifact.artifact_repo import ArtifactRepository

log = logging.getLogger(__name__)
AT_ONCE = 8  # uploads; each is a request of its own
TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"


@dataclass(frozen=True)
class Upload:
    """A file of this machine, and where it belongs: a folder below a place for artifacts, "" for the place itself."""

    file: Path
    place: ArtifactRepository
    folder: str
    is_model: bool = False

    @property
    def path(self) -> str:
        """Of the artifact, in its place."""
        return f"{self.folder}/{self.file.name}".lstrip("/")


Check = Callable[[list[Upload], Executor], None]


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


def below(
    root: Path, place: ArtifactRepository, inside: str = "", without: str = "", model: bool = False
) -> list[Upload]:
    """Uploads of all files of a folder, to be found again at the same paths in a folder `inside` of the place."""

    def folder(file: Path) -> str:
        return "/".join(filter(None, [inside, file.parent.relative_to(root).as_posix().removeprefix(".")]))

    return [Upload(file, place, folder(file), model) for file in own_files(root, without)]


class Uploads:
    """Uploads several files at once, for however many runs. `bytes` have arrived."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="upload")
        self._counting = threading.Lock()
        self.bytes = 0

    def put(self, uploads: list[Upload]) -> None:
        """Returns once all of them are there, and the check has found nothing wrong with them."""
        with time_for(max((upload.file.stat().st_size for upload in uploads), default=0)):
            list(self._threads.map(self._put, uploads))
            self._check(uploads, self._threads)

    def _put(self, upload: Upload) -> None:
        upload.place.log_artifact(str(upload.file), upload.folder or None)
        with self._counting:
            self.bytes += upload.file.stat().st_size

    def close(self) -> None:
        """Start no more uploads; those under way are not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


_allowed: list[int] = []  # seconds beyond MLflow's time-out, of each set of files that is under way
_changing = threading.Lock()


@contextmanager
def time_for(size: int) -> Iterator[None]:
    """Extend MLflow's time-out by a second a megabyte: a server answers once the file is in its object store."""
    more = size // 1_000_000
    _allow(more)
    try:
        yield
    finally:
        _allow(more, over=True)


def _allow(seconds: int, over: bool = False) -> None:
    """Several threads may have files under way: the largest decides, and the last one puts the time-out back."""
    with _changing:
        base = int(os.environ[TIMEOUT]) - max(_allowed, default=0)  # always set: see tracking/mlflow/__init__.py
        if over:
            _allowed.remove(seconds)
        else:
            _allowed.append(seconds)
        os.environ[TIMEOUT] = str(base + max(_allowed, default=0))
