"""A mark that only this user on this machine can make: reproduce runs the code of a record that has it without asking.

A record may be another person's, and everything that it says can be copied or invented. The seal is an HMAC over commit
and patch by a key that never leaves the user's state folder. Copied to another record it speaks for the same code only.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from boston_exp.process import remembered
from boston_exp.storage import state

SEAL = "recorded.by"  # tag
LENGTH = 32  # bytes of the key


def sealed(commit: str, patch: bytes) -> str | None:
    """The seal of this code; None where no key can be read or kept: then the run is one of nobody's."""
    key = _key()
    return _seal(key, commit, patch) if key else None


def holds(seal: str, commit: str, patch: bytes) -> bool:
    """Whether this user has sealed this code on this machine."""
    key = _read(_file())
    return key is not None and hmac.compare_digest(seal.encode(), _seal(key, commit, patch).encode())


def _seal(key: bytes, commit: str, patch: bytes) -> str:
    content = f"boston_exp code 1\n{commit}\n{hashlib.sha256(patch).hexdigest()}\n"
    return hmac.new(key, content.encode(), hashlib.sha256).hexdigest()


@remembered()
def _key() -> bytes | None:
    """Made on first need."""
    file = _file()
    with suppress(OSError):
        return _read(file) or _made(file)
    return None


def _file() -> Path:
    return state.place() / "key"


def _read(file: Path) -> bytes | None:
    """None for a file that is not this user's alone: anybody could have put it there."""
    try:
        with file.open("rb") as content:
            found = os.fstat(content.fileno())
            own = found.st_uid == os.getuid() and not stat.S_IMODE(found.st_mode) & 0o077
            key = content.read(LENGTH + 1)
    except OSError:
        return None
    return key if own and len(key) == LENGTH else None


def _made(file: Path) -> bytes | None:
    """Whole from its first moment, and one for all processes that begin at once: a link fails where there is one."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = file.with_name(f"key.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as content:  # noqa: PTH123
            content.write(secrets.token_bytes(LENGTH))
        with suppress(FileExistsError):
            os.link(new, file)
    finally:
        new.unlink(missing_ok=True)
    return _read(file)
