"""How many rows are held out."""

from __future__ import annotations

import math


def held_out(n_samples: int, share: float) -> int:
    """A share of the rows, at least the two that a score takes."""
    return max(2, math.ceil(n_samples * share))
