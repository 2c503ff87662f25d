"""Gets a file that is under DVC from its remote, with DVC's own Python API, imported only when a file is missing."""

from __future__ import annotations

import logging
from pathlib import Path

from boston_exp.errors import DataUnavailable, Fault

log = logging.getLogger(__name__)


def fetch_if_missing(path: Path, remote: str) -> None:
    """Pull `path` from the DVC remote of that name, unless it is there; processes that start at once take turns.

    Raises DataUnavailable if the remote cannot be reached or does not hold the file.
    """
    if path.exists():
        return
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from filelock import FileLock
    from scmrepo.exceptions import SCMError

    pointer = path.with_name(path.name + ".dvc")
    with FileLock(path.with_name(f".{path.name}.lock")):
        if path.exists():
            return
        log.info("fetching %s from the DVC remote %s", path.name, remote)
        try:
            root = Path(Repo.find_root(str(path.parent)))
            # a zip file of the project has no .git, and DVC would refuse to look at it
            with_git = any((folder / ".git").exists() for folder in (root, *root.parents))
            with Repo(str(root), config={"core": {"no_scm": not with_git}}) as repo:
                repo.pull(targets=[str(pointer)], remote=remote)
        except (DvcException, SCMError, OSError) as error:
            raise DataUnavailable(
                Fault(
                    f"{path} is missing and the DVC remote {remote!r} does not give it: {error}".rstrip(". \n") + ".",
                    f"dvc pull --remote {remote} {pointer}   (shows what DVC says)",
                )
            ) from error
