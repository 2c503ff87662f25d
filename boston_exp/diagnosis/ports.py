"""Who listens on a port of this machine."""

from __future__ import annotations

import socket
from contextlib import suppress
from urllib.parse import urlsplit

import psutil


def port_of(address: str) -> int:
    parts = urlsplit(address)
    return parts.port or (443 if parts.scheme == "https" else 80)


def listens(address: str, timeout: float = 1.0) -> bool:
    """Whether anybody takes connections there."""
    with suppress(OSError), socket.create_connection((urlsplit(address).hostname, port_of(address)), timeout):
        return True
    return False


def taken(port: int) -> str:
    """`5000 is taken by nginx (pid 123)`, for whoever finds another program there."""
    return f"{port} is taken by {holder(port) or 'another program'}"


def holder(port: int) -> str | None:
    """`name (pid 123)` of the process that listens on a port of this machine, as far as this user may know."""
    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            here = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            if here and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"  # its arguments may be secret
    return None
