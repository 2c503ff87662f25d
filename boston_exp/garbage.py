"""When garbage is looked for: after the imports, whose half a million objects stay, and not when the process ends.

Python's own way costs a command 1.2 s.
"""

from __future__ import annotations

import atexit
import gc


def wait() -> None:
    """Look for none until `collect` is called; at exit the memory goes with the process."""
    gc.disable()
    atexit.register(gc.freeze)


def collect() -> None:
    """Look for garbage from here on, though never among what is here already."""
    if not gc.isenabled():
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        gc.enable()
