"""What a check has found: a stable code, a sentence with the number in it, the next command, the number alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    code: str  # stable: BX1 baselines, BX2 leaks, BX3 errors, BX4 searches
    says: str
    mend: str
    value: float


def tags(findings: Iterable[Finding]) -> dict[str, str]:
    """As a run records them: `check.BX201` = what it says; of two parameters at an edge both."""
    found: dict[str, str] = {}
    for finding in findings:
        key = f"check.{finding.code}"
        found[key] = f"{found[key]} {finding.says}" if key in found else finding.says
    return found
