"""Whether files have arrived as they were sent: by md5 where the store tells it, else by size, models by their bytes.

A folder and S3 (the ETag of what was sent in one part) tell the md5. A server that hands artifacts through tells sizes
alone: what it has of a model is read back.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from itertools import groupby
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository

from boston_exp.process import temporary_folder
from boston_exp.storage.dvc_file import md5_of
from boston_exp.storage.s3 import Access
from boston_exp.tracking.publishing.files import Upload

Told = dict[str, tuple[int, str | None]]  # size, and md5 where it is known, by path


def check(uploads: list[Upload], threads: Executor, access: Access | None) -> None:
    """Raise MlflowException if some are not there as they are here; `access` is the way to S3."""
    places = [list(group) for _, group in groupby(uploads, lambda upload: id(upload.place))]
    wrong = [each for group in places for each in _wrong(group, access, threads)]
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise MlflowException(f"after the upload {wrong[0]} is not there as it is here{more}")


def _wrong(uploads: list[Upload], access: Access | None, threads: Executor) -> Iterator[str]:
    place = uploads[0].place
    models = [upload for upload in uploads if upload.is_model]
    if models == uploads and _tells_sizes_alone(place, access):
        yield from _differing(place, models, "")
        return
    told = _told(place, {upload.folder for upload in uploads}, access, threads)
    for upload in uploads:
        size, md5 = told.get(upload.path, (-1, None))
        if size != upload.file.stat().st_size or (md5 is not None and md5 != md5_of(upload.file)):
            yield upload.path
        elif md5 is None and upload.is_model:
            yield from _differing(place, [upload], upload.path)


def _told(place: ArtifactRepository, folders: set[str], access: Access | None, threads: Executor) -> Told:
    parts = urlsplit(place.artifact_uri)
    if parts.scheme in ("", "file"):
        root = Path(unquote(parts.path))
        files = [file for folder in folders for file in (root / folder).iterdir() if file.is_file()]
        return {file.relative_to(root).as_posix(): (file.stat().st_size, md5_of(file)) for file in files}
    if parts.scheme == "s3" and access is not None:
        return _objects(access, parts.netloc, parts.path.strip("/"))
    lists = threads.map(lambda folder: place.list_artifacts(folder or None), folders)
    # a server leaves out the size of an empty file, as protobuf does with every zero
    return {item.path: (item.file_size or 0, None) for items in lists for item in items if not item.is_dir}


def _objects(access: Access, bucket: str, prefix: str) -> Told:
    told: Told = {}
    for page in access.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/"):
        for item in page.get("Contents", []):
            md5 = item["ETag"].strip('"')  # of an upload in parts it is none of the whole
            told[item["Key"].removeprefix(f"{prefix}/")] = (item["Size"], None if "-" in md5 else md5)
    return told


def _tells_sizes_alone(place: ArtifactRepository, access: Access | None) -> bool:
    scheme = urlsplit(place.artifact_uri).scheme
    return scheme not in ("", "file") and (scheme != "s3" or access is None)


def _differing(place: ArtifactRepository, uploads: list[Upload], path: str) -> Iterator[str]:
    """Read what is there back, a file or all of it, and compare the bytes."""
    with temporary_folder() as name:
        place.download_artifacts(path, name)
        for upload in uploads:
            theirs = Path(name) / upload.path
            if not theirs.is_file() or md5_of(theirs) != md5_of(upload.file):
                yield upload.path
