"""A proxy of the tests' own: hands requests to a server, and does harm to the one that it is told to."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

FAULTS = ("refused", "hangs", "drips", "500", "reset", "late", "lost")
HANG = 30.0  # seconds that a request is held which is never answered


@dataclass
class Proxy:
    """`fault` befalls the requests whose number is in `at`, from 1; `seen` lists them all, by method and path.

    - refused: the connection is closed before the request is read, as a port where nobody listens
    - hangs: it is never answered, nor handed on
    - drips: it is answered a byte a second
    - 500: it is answered 500, and not handed on
    - reset: it is handed on, and the connection is reset instead of an answer
    - late: it is handed on after `delay` seconds, and answered then; who waits has gone by then
    - lost: it is handed on, and answered 500
    """

    url: str
    fault: str = ""
    at: range = range(0)
    delay: float = 8.0
    only: str = ""  # a part of method and path that the request has to have, to be counted
    seen: list[str] = field(default_factory=list)
    struck: list[str] = field(default_factory=list)
    late: list[threading.Event] = field(default_factory=list)

    def plan(self, fault: str, at: range, only: str = "", delay: float = 8.0) -> None:
        self.fault, self.at, self.only, self.delay = fault, at, only, delay
        self.seen.clear()
        self.struck.clear()

    def settle(self, patience: float = 30.0) -> None:
        """Wait until every request that is late has been carried out."""
        for event in self.late:
            assert event.wait(patience)


@contextmanager
def proxied(target: str) -> Iterator[Proxy]:
    """A proxy in front of `target`, on a port of its own."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            name = f"{self.command} {self.path}"
            with lock:
                counted = proxy.only in name
                if counted:
                    proxy.seen.append(name)
                strikes = counted and len(proxy.seen) in proxy.at and bool(proxy.fault)
                if strikes:
                    proxy.struck.append(name)
            with suppress(OSError):
                self.strike(proxy.fault if strikes else "", body)

        def strike(self, fault: str, body: bytes) -> None:
            if fault in ("refused", "reset"):
                if fault == "reset":
                    self.hand_on(body)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.close()
            elif fault == "hangs":
                closing.wait(HANG)
                self.close_connection = True
            elif fault in ("500", "lost"):
                if fault == "lost":
                    self.hand_on(body)
                self.answer(500, {}, b"{}")
            elif fault == "late":
                arrived = threading.Event()
                proxy.late.append(arrived)
                try:
                    closing.wait(proxy.delay)
                    answer = self.hand_on(body)
                finally:
                    arrived.set()
                self.answer(*answer)
            else:
                self.answer(*self.hand_on(body), drips=fault == "drips")

        def hand_on(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
            parts = urlsplit(target)
            connection = http.client.HTTPConnection(str(parts.hostname), parts.port or 80, timeout=60)
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            connection.request(self.command, self.path, body, {**headers, "Connection": "close"})
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            kept = {name: value for name, value in answer.getheaders() if name.lower() in ("content-type",)}
            return answer.status, kept, content

        def answer(self, status: int, headers: dict[str, str], content: bytes, drips: bool = False) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(max(len(content), 100 * drips)))
            self.end_headers()
            if drips:
                for byte in content.ljust(100):
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    if closing.wait(1.0):
                        return
            elif self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = handle_any  # noqa: N815 (http.server's names)

        def log_message(self, *arguments: object) -> None: ...

    closing = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy = Proxy(f"http://127.0.0.1:{server.server_address[1]}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield proxy
    finally:
        closing.set()
        server.shutdown()
        server.server_close()
        time.sleep(0)
