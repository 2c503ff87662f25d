"""How much CPU the processes of a sweep's workers use, for a screen: a few system calls a second, no more."""

from __future__ import annotations

from contextlib import suppress

import psutil

EVERY = 1.0  # seconds between two looks
SEARCH = 5.0  # seconds between two searches for processes: that looks at every process of the machine


class Load:
    """Of the processes that this one has started; with one worker this process may be it, and counts as well."""

    def __init__(self, workers: int) -> None:
        self._known: dict[int, psutil.Process] = {}
        self._alone = workers == 1
        self._looked = self._searched = float("-inf")
        self._percent: float | None = None

    def percent(self, now: float) -> float | None:
        """100 is one core; None until it can be told. `now` is what time.monotonic() says."""
        if now - self._looked < EVERY:
            return self._percent
        self._looked = now
        if now - self._searched > SEARCH:
            self._searched = now
            self._search()
        used = []
        for process in list(self._known.values()):
            with suppress(psutil.Error):
                used.append(process.cpu_percent())  # since the last look; 0.0 at the first
        self._percent = sum(used) if used else None
        return self._percent

    def _search(self) -> None:
        with suppress(psutil.Error):
            me = psutil.Process()
            found = [*me.children(recursive=True), *([me] if self._alone else [])]
            self._known = {each.pid: self._known.get(each.pid, each) for each in found}
