"""Keeps secrets out of all text that leaves the process: screen, logs, messages, records.

Everything passes through `redact`: what is printed (`streams`), what is logged (`log_records`), what a job tells the
main process (sweep/mailbox.py), what is recorded (tracking/protocol.py, tracking/mlflow/runs.py, training/record.py).
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO
from urllib.parse import quote

from boston_exp import process

_secrets: set[str] = set()
process.on_reset(_secrets.clear)

NAME = r"(?:password|passwd|passphrase|secret\w{0,30}|token|access_?key\w{0,8}|(?:api|private)_?key)"
# a user, with a password or without; not the @ of a path, and not a port
_URI_USER = re.compile(r"(\w://)(?:[^\s'\"/@:]{1,100}:(?!\d{1,5}(?:/|$))[^\s'\"]{0,300}|[^\s'\"/@:]{1,300})@")
_ASSIGNED = re.compile(rf"({NAME}['\"]?=)(?:(['\"])[^'\"\n]*\2|(?![…<*])[^&\s'\"]+)", re.IGNORECASE)
# in YAML or JSON: quoted, or with a digit in it, which `token: str` in a line of code has not
_MAPPED = re.compile(
    rf"({NAME}['\"]?\s{{0,3}}:[ \t]{{0,20}})(?:(['\"])[^'\"\n]+\2|(?=[^\s,}}'\"]{{0,200}}\d)[^\s,}}'\"]{{6,}})",
    re.IGNORECASE,
)
# what files of settings and source have besides: spaces around a sign, words, headers, keys
_WRITTEN = re.compile(
    rf"({NAME}['\"]?[ \t]{{0,20}}[=:][ \t]{{0,20}})(?!['\"]?(?:None|True|False|null|str|bool|int|bytes)\b)"
    r"(?:(['\"])[^'\"\n]+\2|(?![\w.]{0,100}[(\[|])[^\s,;)}'\"]{4,})",
    re.IGNORECASE,
)
_BEARER = re.compile(r"((?:Bearer|Basic)\s+)[\w+/=.-]{8,}")
_KEY_BLOCK = re.compile(r"(-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----).*?(-----END|\Z)", re.DOTALL)


def hide(*secrets: str) -> None:
    """From here on `redact` replaces these values, as they are and as a URI has them, wherever they stand."""
    long = [secret for secret in secrets if len(secret) > 7]  # a short one would blank out words
    _secrets.update(long, (quote(secret, safe="") for secret in long))


def printable(text: str) -> str:
    """A text that somebody else may have written, as a terminal may show it: without control characters."""
    return "".join(filter(str.isprintable, text))


def redact(text: str) -> str:
    """The text without hidden values, without the users and passwords of the URIs in it, and without values that are
    named as secrets."""
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    text = _URI_USER.sub(r"\1***@", text)
    return _MAPPED.sub(r"\1***", _ASSIGNED.sub(r"\1***", text))


def redact_source(text: str) -> str:
    """The same, stricter, for source and files of settings: rather a line that does not apply than a key."""
    text = _KEY_BLOCK.sub(r"\1***\2", _BEARER.sub(r"\1***", redact(text)))
    return _WRITTEN.sub(r"\1***", text)


def has_password(text: str) -> bool:
    """Whether a URI in the text carries more than the name of a user."""
    user = r"\w://[^\s'\"/@:]*:(?!\d{1,5}(?:/|$))[^\s'\"]+@|https?://[^\s'\"/]+@|[?&;](password|token)="
    return bool(re.search(user, text, re.IGNORECASE))


class _Redacted:
    """A text stream that redacts what is written to it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(redact(text))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def streams() -> Iterator[None]:
    """In here nothing is printed, nor told by a traceback, that is not redacted."""
    before = sys.stdout, sys.stderr
    if sys.stdout is None or sys.stderr is None:  # closed by the shell: nothing is printed
        yield
        return
    sys.stdout, sys.stderr = _Redacted(sys.stdout), _Redacted(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def log_records() -> None:
    """From here on every log record is redacted as it is made, whatever handler writes it."""
    logging.setLogRecordFactory(_record)


process.on_reset(lambda: logging.setLogRecordFactory(logging.LogRecord))


def _record(*arguments: Any, **named: Any) -> logging.LogRecord:
    record = logging.LogRecord(*arguments, **named)
    record.msg, record.args = redact(record.getMessage()), None
    if record.exc_info and record.exc_info[0]:
        record.exc_text = redact("".join(traceback.format_exception(*record.exc_info)).rstrip())
    return record
