"""A command on a real terminal: a pty that is its controlling one, what stands on its screen, keys that are pressed.

The screen is what a VT100 makes of the bytes, as far as programs of this project write them: text, line ends, moves of
the cursor, erasing, whether the cursor is shown. Colours are taken no notice of.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

CTRL_C = b"\x03"
CONTROL = re.compile(r"\x1b\[(\??)([\d;]*)([A-Za-z])|\x1b\](?:[^\x07\x1b]*)(?:\x07|\x1b\\)|[\r\n\b]")


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str], columns: int, lines: int) -> None:
        self.columns, self.height = columns, lines
        self.shown: list[str] = [""]  # all lines since the beginning, those that have scrolled away included
        self.cursor_is_shown = True
        self.written = b""
        self._row = self._column = 0
        self._pending = ""
        self._main, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        own = {
            name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES")
        }  # of this process
        self.process = subprocess.Popen(
            command, cwd=folder, env=own | {"TERM": "xterm"}, stdin=terminal, stdout=terminal, stderr=terminal,
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(terminal)

    @property
    def text(self) -> str:
        """All lines, as a person who scrolls up reads them."""
        return "\n".join(line.rstrip() for line in self.shown).rstrip()

    def press(self, key: bytes) -> None:
        os.write(self._main, key)

    def wait_for(self, condition: Callable[[str], bool], seconds: float = 60) -> str:
        """Read until the text meets the condition; raises TimeoutError, also if the command ends before."""
        end = time.monotonic() + seconds
        while not condition(self.text):
            if time.monotonic() > end or not self._read(0.1):
                raise TimeoutError(f"the terminal shows:\n{self.text}")
        return self.text

    def read_to_the_end(self, seconds: float = 60) -> int:
        """Returns the exit code."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._read(0.1):
            pass
        return self.process.wait(max(0.1, end - time.monotonic()))

    def close(self) -> None:
        self.process.kill()
        self.process.wait(10)
        with suppress(OSError):
            os.close(self._main)

    def _read(self, seconds: float) -> bool:
        """Whether there may be more."""
        ready = select.poll()  # `select` knows no descriptor above 1023, which a process of many tests has
        ready.register(self._main, select.POLLIN)
        if not ready.poll(1000 * seconds):
            return True
        try:
            part = os.read(self._main, 65536)
        except OSError:  # Linux's way to say that the other end was closed
            return False
        self.written += part
        self._take(part.decode(errors="replace"))
        return True

    def _take(self, text: str) -> None:
        text, place = self._pending + text, 0
        cut = text.rfind("\x1b")
        whole = cut < 0 or CONTROL.match(text, cut) is not None
        text, self._pending = (text, "") if whole else (text[:cut], text[cut:])
        for found in CONTROL.finditer(text):
            self._write(text[place : found.start()])
            self._control(found)
            place = found.end()
        self._write(text[place:])

    def _write(self, text: str) -> None:
        for character in text:
            if self._column == self.columns:
                self._move(self._row + 1, 0)
            line = self.shown[self._row].ljust(self._column)
            self.shown[self._row] = line[: self._column] + character + line[self._column + 1 :]
            self._column += 1

    def _control(self, found: re.Match[str]) -> None:
        whole, (private, given, kind) = found[0], found.groups(default="")
        number = int(given) if given.isdigit() else 1
        if whole == "\r":
            self._column = 0
        elif whole == "\n":
            self._move(self._row + 1, self._column)
        elif whole == "\b":
            self._column = max(0, self._column - 1)
        elif private and given == "25":
            self.cursor_is_shown = kind == "h"
        elif kind == "A":
            top = max(0, len(self.shown) - self.height)  # what has scrolled away cannot be reached
            self._move(max(top, self._row - number), self._column)
        elif kind == "K":
            self.shown[self._row] = "" if given == "2" else self.shown[self._row][: self._column]
        elif kind == "J":
            self.shown[self._row] = self.shown[self._row][: self._column]
            del self.shown[self._row + 1 :]
        elif kind not in ("m", ""):
            raise NotImplementedError(repr(whole))

    def _move(self, row: int, column: int) -> None:
        self._row, self._column = row, column
        self.shown += [""] * (row + 1 - len(self.shown))
