"""What a disk refuses, as one clear message: it is full, or a folder may not be written to."""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from boston_exp.config.invocation import again
from boston_exp.errors import DiskRefuses, Fault

FULL = (errno.ENOSPC, errno.EDQUOT)
CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def refusals_expected() -> Iterator[None]:
    """Raise DiskRefuses for a full disk and for a folder that may not be written to, whatever was being written."""
    try:
        yield
    except OSError as error:
        if error.errno not in (*FULL, *CLOSED):
            raise
        raise DiskRefuses(_refusal(error)) from error


def _refusal(error: OSError) -> Fault:
    place = Path(os.fsdecode(error.filename2 or error.filename)) if error.filename else None  # the second is copied to
    says = f"{place or 'A file'} cannot be written: {str(error.strerror).lower()}."
    folder = next((each for each in place.parents if each.is_dir()), Path()) if place else Path()
    if error.errno in FULL:
        where = f" {shlex.quote(str(folder))}" if place else ""
        return Fault(says, f"df -h{where}   (free some space; then: {again()})")
    return Fault(says, f"ls -ld {shlex.quote(str(folder))}   (once it may be written to: {again()})")
