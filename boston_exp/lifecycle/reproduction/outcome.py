"""What came of training a run again."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from boston_exp.errors import ExpectedFailure
from boston_exp.lifecycle.comparing.differences import Differs
from boston_exp.lifecycle.reproduction.matching import Match
from boston_exp.lifecycle.reproduction.original import Original


@dataclass(frozen=True)
class Tried:
    """A training with one thing as it was then; `says` what came of it."""

    name: str
    says: str
    explains: bool


@dataclass(frozen=True)
class Reproduced:
    """`run_id` is that of the new run, None where it is not recorded, and `unrecorded` why it could not be; `tried` is
    what was changed to find the cause."""

    of: Original
    run_id: str | None
    matches: tuple[Match, ...]
    differing: tuple[Differs, ...]
    tolerance: float
    tried: tuple[Tried, ...] = ()
    unrecorded: ExpectedFailure | None = None

    @property
    def is_same(self) -> bool:
        """Whether every number is, within the tolerance."""
        return same(self.matches, self.tolerance)

    @property
    def is_identical(self) -> bool:
        """To the last bit."""
        return same(self.matches, 0.0)

    @property
    def cause(self) -> str | None:
        """Which of the differences explains it, where that was looked for and found."""
        return next((tried.name for tried in self.tried if tried.explains), None)


def same(matches: Iterable[Match], tolerance: float) -> bool:
    """Whether all are, and there are any: to have compared nothing is no agreement."""
    verdicts = [match.is_same(tolerance) for match in matches]
    return bool(verdicts) and all(verdicts)


def largest(matches: Iterable[Match]) -> float:
    """The largest relative difference; infinite where one side has nothing."""
    return max((math.inf if match.missing else match.relative for match in matches), default=0.0)
