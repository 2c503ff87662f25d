"""A headless Chromium that opens a page, says what a person sees of it, and takes its picture.

Spoken to in the DevTools protocol, through aiohttp, which comes with DVC: https://chromedevtools.github.io/devtools-protocol
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

START = 60.0  # seconds for the browser to listen
SHOW = 90.0  # seconds for a page to show what is waited for
PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")


class Browser:
    """One tab. `errors` are what the page's scripts have thrown."""

    def __init__(self, port: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._numbers = itertools.count(1)
        self._session, self._socket = self._run(self._connect(port))
        self.errors: list[str] = []
        for name in ("Page.enable", "Runtime.enable"):
            self._ask(name)

    async def _connect(self, port: int) -> tuple[aiohttp.ClientSession, aiohttp.ClientWebSocketResponse]:
        session = aiohttp.ClientSession()
        async with session.get(f"http://127.0.0.1:{port}/json") as answer:
            (page,) = [each for each in await answer.json() if each["type"] == "page"]
        return session, await session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0)

    def _run(self, work: Any) -> Any:
        return self._loop.run_until_complete(asyncio.wait_for(work, SHOW))

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        return self._run(self._asked(method, params))  # type: ignore[no-any-return]

    async def _asked(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            said = json.loads((await self._socket.receive()).data)
            if said.get("method") == "Runtime.exceptionThrown":
                self.errors.append(json.dumps(said["params"])[:500])
            if said.get("id") == number:
                if "error" in said:
                    raise RuntimeError(f"{method}: {said['error']}")
                result: dict[str, Any] = said["result"]
                return result

    def size(self, width: int, height: int = 900) -> None:
        """Of the window, in pixels."""
        self._ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def prefer(self, scheme: str) -> None:
        """`light` or `dark`."""
        self._ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, address: str, until: Callable[[str], bool]) -> str:
        """Open a page and wait until its text meets the condition; returns that text. Raises TimeoutError."""
        self.errors.clear()
        self._ask("Page.navigate", url="about:blank")
        self._ask("Page.navigate", url=address)
        text, end = "", time.monotonic() + SHOW
        while time.monotonic() < end:
            text = self.text()
            if until(text):
                time.sleep(0.5)  # what is drawn after the text
                return self.text()
            time.sleep(0.2)
        raise TimeoutError(f"{address} shows:\n{text[:3000]}")

    def text(self) -> str:
        """What the page says, as a person reads it."""
        return str(self.evaluated("document.body ? document.body.innerText : ''"))

    def evaluated(self, expression: str) -> Any:
        """The value of an expression of JavaScript in the page."""
        return self._ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def picture(self, file: Path) -> None:
        """Write what the window shows, as PNG."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(self._ask("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        self._run(self._session.close())
        self._loop.close()


@contextmanager
def browser(width: int = 1400) -> Iterator[Browser]:
    """A browser with a profile of its own, ended by its pid."""
    assert PROGRAM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--lang=en-US"]
        process = subprocess.Popen(
            [PROGRAM, *flags, "--no-first-run", "--disable-background-networking", f"--user-data-dir={profile}",
             "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            tab = Browser(_port(Path(profile) / "DevToolsActivePort", process))
            tab.size(width)
            try:
                yield tab
            finally:
                tab.close()
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait(10)


def _port(file: Path, process: subprocess.Popen[bytes]) -> int:
    end = time.monotonic() + START
    while time.monotonic() < end and process.poll() is None:
        lines = file.read_text().splitlines() if file.exists() else []
        if len(lines) > 1:
            return int(lines[0])
        time.sleep(0.1)
    raise RuntimeError(f"{PROGRAM} does not listen")
