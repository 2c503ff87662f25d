"""Keeps secrets out of all text that leaves the process: messages, logs, records."""

from __future__ import annotations

import re

from boston_exp import process

_secrets: set[str] = set()
process.on_reset(_secrets.clear)


def hide(*secrets: str) -> None:
    """From here on `redact` replaces these values, wherever they stand."""
    _secrets.update(secret for secret in secrets if len(secret) > 7)  # a short one would blank out words


def redact(text: str) -> str:
    """The text without hidden values, and without the passwords and tokens of the URIs in it."""
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    text = re.sub(r"(\w://)[^\s'\"]*@", r"\1***@", text)
    return re.sub(r"((?:password|token|secret\w*|access_key)=)[^&\s'\"]+", r"\1***", text, flags=re.IGNORECASE)


def has_password(text: str) -> bool:
    """Whether a URI in the text carries more than the name of a user."""
    return bool(re.search(r"\w://[^\s'\"/@]*:[^\s'\"]+@|https?://[^\s'\"]+@|(password|token)=", text, re.IGNORECASE))
