"""The metrics of a point, as a sweep of ten thousand can keep them."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Mapping


class Scores(Mapping[str, float]):
    """The finite ones: R² of a fold of one row is infinite, which is no score, and nothing can be compared with it.

    MLflow gives an infinite one back as the largest float there is. Names are kept once for all points that have the
    same: a dictionary of forty takes 3 kB, this 0.4 kB.
    """

    __slots__ = ("_places", "_values")
    _known: dict[tuple[str, ...], dict[str, int]] = {}  # noqa: RUF012 (of all points)

    def __init__(self, metrics: Mapping[str, float]) -> None:
        kept = {name: value for name, value in metrics.items() if abs(value) < sys.float_info.max}  # nan is not, either
        names = tuple(kept)
        self._places = self._known.setdefault(names, {name: place for place, name in enumerate(names)})
        self._values = array("d", kept.values())

    def __getitem__(self, name: str) -> float:
        return self._values[self._places[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(dict(self))
