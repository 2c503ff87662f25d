"""When Python's garbage collector runs: after the imports, whose half a million objects stay, and not at exit.

Left alone, it costs a command 1.2 s.
"""

from __future__ import annotations

import atexit
import gc


def postpone() -> None:
    """Disable the collector until `start`; at exit the memory goes with the process."""
    gc.disable()
    atexit.register(gc.freeze)


def start() -> None:
    """Enable the collector, exempting every object that exists by now."""
    if not gc.isenabled():
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        gc.enable()
