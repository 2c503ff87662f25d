"""The bytes of a table's file: unpacked where it is packed, its head alone, and whether it stays as it is."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from boston_exp.config.invocation import again, quoted
from boston_exp.errors import Fault, InvalidData

PACKED = (".gz", ".bz2", ".xz", ".zip")
DAMAGED = (OSError, EOFError, zlib.error, zipfile.BadZipFile, lzma.LZMAError)
HEAD = 1 << 18  # bytes that are looked at
SAMPLES = 8  # more pieces of a large file, from all over it
MAGIC = {
    b"PAR1": ("a Parquet file", ".parquet"),
    b"ARROW1": ("an Arrow file", ".feather"),
    b"\x1f\x8b": ("packed by gzip", ".csv.gz"),
    b"BZh": ("packed by bzip2", ".csv.bz2"),
    b"\xfd7zXZ": ("packed by xz", ".csv.xz"),
    b"PK\x03\x04": ("a zip archive or an Excel file", ".xlsx"),
    b"\xd0\xcf\x11\xe0": ("an old Excel file", ".xls"),
    b"%PDF": ("a PDF file", ""),
    b"SQLite format 3": ("an sqlite database", ""),
    b"\x89HDF": ("an HDF5 file", ""),
}
PAGES = {  # that a server sends in place of a file, for one
    rb"<!doctype html|<html|<head|<body|<table": ("an HTML page", ""),
    rb"<\?xml": ("an XML file", ""),
    rb'\{\s*(?:"[^"]*"\s*:|\}\s*(?:\{|\Z))|\[\s*[\[{]': ("JSON", ""),
}


@contextmanager
def steady(path: Path, setting: str = "data.path") -> Iterator[None]:
    """Raise InvalidData if the file is another after the block than before it."""
    before = _state(path)
    yield
    if _state(path) != before:
        says = f"{setting}={path} changed while it was read: something still writes it."
        raise InvalidData(Fault(says, f"{again()}   (once it is whole)"))


def _state(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


@contextmanager
def unpacked(stream: BinaryIO, path: Path, setting: str = "data.path") -> Iterator[BinaryIO]:
    """The content of a file as its ending says it is packed. Raises InvalidData for an archive of another kind."""
    ending = path.suffix.lower()
    if ending == ".zip":
        with zipfile.ZipFile(stream) as archive, archive.open(_only(archive, path, setting)) as inner:
            yield cast(BinaryIO, inner)
    elif ending == ".gz":
        with gzip.GzipFile(fileobj=stream) as inner:
            yield cast(BinaryIO, inner)
    elif ending in (".bz2", ".xz"):
        with bz2.BZ2File(stream) if ending == ".bz2" else lzma.LZMAFile(stream) as inner:
            yield cast(BinaryIO, inner)
    else:
        yield stream


def _only(archive: zipfile.ZipFile, path: Path, setting: str) -> zipfile.ZipInfo:
    """The one file of an archive; what macOS adds is none."""
    found = [each for each in archive.infolist() if not each.is_dir() and not _is_hidden(each.filename)]
    unzip = f"unzip {path} -d {path.with_suffix('')}"
    if not found:
        raise InvalidData(Fault(f"{setting}={path} is an empty archive.", again(f"{setting}=<another file>")))
    then = again(f"{setting}={quoted(str(path.with_suffix('') / found[0].filename))}")
    if len(found) > 1:
        names = ", ".join(each.filename for each in found[:8])
        raise InvalidData(Fault(f"{setting}={path} has {len(found)} files: {names}.", f"{unzip} && {then}"))
    if found[0].flag_bits & 1:
        says = f"{setting}={path} is encrypted: a password is never asked for here."
        raise InvalidData(Fault(says, f"{unzip} && {then}"))
    return found[0]


def _is_hidden(name: str) -> bool:
    return name.startswith("__MACOSX/") or name.rpartition("/")[2].startswith(".")


def head(stream: BinaryIO) -> tuple[bytes, bool]:
    """The first bytes of a stream, some lines of them however long they are, and whether that is all."""
    content = stream.read(HEAD)
    while len(content) % HEAD == 0 and content.count(b"\n") < 3 and (more := stream.read(HEAD)):
        content += more
    return content, len(content) % HEAD != 0


def pieces(path: Path) -> Iterator[bytes]:
    """Whole lines from all over a file that is not packed; all of a small one."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= HEAD * SAMPLES:
            yield file.read()
            return
        for number in range(SAMPLES):
            file.seek(number * (size - HEAD) // (SAMPLES - 1))
            if number:
                file.readline()
            yield file.read(HEAD).rpartition(b"\n")[0] + b"\n"


def foreign(start: bytes) -> tuple[str, str] | None:
    """What a file that should be text is instead, with the ending that it should have; None where it may be text."""
    written = start[:1000].removeprefix(codecs.BOM_UTF8).lstrip().lower()
    every = [*((start.startswith(magic), what) for magic, what in MAGIC.items()),
             *((re.match(page, written), what) for page, what in PAGES.items())]  # fmt: skip
    return next((what for found, what in every if found), None)


def ending_of(start: bytes) -> str:
    """That a file should have whose name is of another kind; '' where it is not known, or damaged."""
    what = foreign(start)
    if what is not None:
        return what[1]
    return ".csv" if start and b"\0" not in start else ""


class Rejoined(io.RawIOBase):
    """A stream from its start, whose head was read already."""

    def __init__(self, start: bytes, rest: BinaryIO) -> None:
        self._start, self._rest = io.BytesIO(start), rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast(bytearray, buffer))
        content = self._start.read(len(view)) or self._rest.read(len(view))
        view[: len(content)] = content
        return len(content)
