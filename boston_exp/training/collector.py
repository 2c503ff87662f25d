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


def start(thoroughly: bool = False) -> None:
    """Enable the collector, exempting every object that exists by now; `thoroughly` without the 10 MB that imports
    leave in cycles, which takes half a second to find."""
    if not gc.isenabled():
        if thoroughly:
            gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        gc.enable()
