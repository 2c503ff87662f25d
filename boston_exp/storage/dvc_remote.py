"""Gets files that are under DVC from a remote, and puts some there, by DVC's own Python API, imported only then."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from boston_exp.config.schema import Storage
from boston_exp.config.settings import Typed
from boston_exp.errors import DataUnavailable, Fault
from boston_exp.redaction import redact
from boston_exp.storage import s3
from boston_exp.storage.dvc_file import md5_of, recorded_md5

log = logging.getLogger(__name__)
SETTLED = 1.0  # seconds


def fetch_if_missing(path: Path, storage: Storage, typed: Typed) -> None:
    """Pull `path` from the storage group's DVC remote, unless it is there; safe for several processes at once.

    Raises InvalidData for a .dvc file of something else, DataUnavailable if the remote cannot be reached, does not take
    our keys or does not hold the file.
    """
    if path.exists():
        return
    recorded_md5(path)  # refuses a .dvc file that would have DVC write elsewhere
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from filelock import FileLock
    from scmrepo.exceptions import SCMError

    remote = storage.dvc_remote
    pointer = path.with_name(path.name + ".dvc")
    with FileLock(path.with_name(f".{path.name}.lock")):
        if path.exists():
            return
        log.info("fetching %s from the DVC remote %s", path.name, remote)
        try:
            root = Path(Repo.find_root(str(path.parent)))
            with Repo(str(root), config=settings(root, storage, typed)) as repo:
                repo.pull(targets=[str(pointer)], remote=remote)
        except (DvcException, SCMError, OSError) as error:
            said = redact(str(error)).rstrip(". \n")
            raise DataUnavailable(
                Fault(
                    f"{path} is missing and the DVC remote {remote!r} does not give it: {said}.",
                    f"dvc pull --remote {remote} {pointer}   (shows what DVC says)",
                )
            ) from error


def add(folder: Path, storage: Storage, typed: Typed, push: bool) -> None:
    """Put a folder under DVC: its files into the cache, `<folder>.dvc` beside it, and, with `push`, its files into the
    remote for models, which that file names. git is not touched.

    Raises DataUnavailable, and leaves then at most files in the cache or the remote that nothing refers to.
    """
    remote = storage.model_remote or storage.dvc_remote
    pointer = folder.with_name(f"{folder.name}.dvc")
    with _repository(folder, (storage, typed), f"dvc status   (the remote for models is {remote})") as repo:
        repo.add([str(folder)])
        from dvc.utils.serialize import modify_yaml

        with modify_yaml(pointer) as content:
            content["outs"][0]["remote"] = remote  # a plain `dvc push` and `dvc pull` go there, too
        if push:
            repo.push(targets=[str(pointer)], remote=remote)


def pull(folder: Path, storage: Storage, typed: Typed) -> None:
    """Get the files of a folder that `<folder>.dvc` beside it names, from the cache or its remote.

    Raises InvalidData for a .dvc file of something else, DataUnavailable.
    """
    recorded_md5(folder)
    pointer = folder.with_name(f"{folder.name}.dvc")
    with _repository(folder, (storage, typed), f"dvc pull {pointer.name}   (shows what DVC says)") as repo:
        repo.pull(targets=[str(pointer)])


def cached(root: Path, md5: str, storage: Storage, typed: Typed) -> Path | None:
    """The file of that md5 in DVC's cache, got from the storage group's remote where it is not there yet; None where
    neither has it, or the project is not under DVC. Raises DataUnavailable where the remote cannot be reached.

    Whatever .dvc file named it: one of another commit may name any remote.
    """
    if not (root / ".dvc").is_dir():
        return None
    from dvc_data.hashfile.hash_info import HashInfo

    remote = storage.dvc_remote
    with _repository(root / "data", (storage, typed), f"dvc remote list   (the storage group has {remote})") as repo:
        cache = repo.cache.local
        if not cache.exists(md5):
            repo.cloud.pull([HashInfo("md5", md5)], remote=remote)
        return Path(cache.oid_to_path(md5)) if cache.exists(md5) else None


def unknown_files(folder: Path) -> list[str]:
    """Files below a folder that DVC's cache does not have: they would be lost with it. Raises DataUnavailable."""
    with _repository(folder, None, "dvc status") as repo:
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        return [str(file.relative_to(folder)) for file in files if not repo.cache.local.exists(md5_of(file))]


@contextmanager
def _repository(folder: Path, remote: tuple[Storage, Typed] | None, mend: str) -> Iterator[Any]:
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from scmrepo.exceptions import SCMError

    try:
        root = Path(Repo.find_root(str(folder.parent)))
        _forget_broken_list(root)
        config = settings(root, *remote) if remote else {"core": {}}
        config["core"]["no_scm"] = True  # git's part is done elsewhere, at once
        with Repo(str(root), config=config) as repo:
            yield repo
    except (DvcException, SCMError, OSError) as error:
        said = redact(str(error)).rstrip(". \n")
        raise DataUnavailable(Fault(f"DVC cannot keep or get {folder.name}: {said}.", mend)) from error


def _forget_broken_list(root: Path) -> None:
    """Remove DVC's list of who reads and writes what, where a DVC that was killed has left half of it: every later one
    refuses it until it is removed (`RWLockFileCorruptedError`). Another one that writes it takes milliseconds."""
    listed = root / ".dvc" / "tmp" / "rwlock"
    for wait in (SETTLED, 0.0):
        try:
            json.loads(listed.read_text())
        except FileNotFoundError:
            return
        except ValueError:
            time.sleep(wait)
        else:
            return
    listed.unlink(missing_ok=True)


def settings(root: Path, storage: Storage, typed: Typed) -> dict[str, Any]:
    """DVC's configuration on top of its files, kept in memory: keys are written nowhere.

    Raises DataUnavailable if the remote is in S3 and cannot be used: DVC would try for minutes, and not say why.
    """
    # a zip file of the project has no .git, and DVC would refuse to look at it
    with_git = any((folder / ".git").exists() for folder in (root, *root.parents))
    found: dict[str, Any] = {"core": {"no_scm": not with_git}}
    access = s3.access(storage, typed)
    if access is not None and storage.data_bucket is not None:
        fault = s3.fault(access, storage.data_bucket)
        if fault:
            raise DataUnavailable(fault)
        found["remote"] = {storage.dvc_remote: access.dvc_remote(storage.data_bucket)}
    return found
