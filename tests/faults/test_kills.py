"""The short form of the kills in `make faults` (docs/proofs/kills.md), with a fixed seed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.faults.kills import SUBJECTS, kills
from tests.services import Service


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_command_that_is_killed_is_finished_by_the_same_command(server: Service, tmp_path: Path) -> None:
    subjects = [SUBJECTS[name]() for name in ("run", "promote", "sync")]
    found = list(kills(server.url, tmp_path, 6, 20261126, subjects, wholes=0))
    assert Counter(seen.subject for seen in found) == {"run": 2, "promote": 2, "sync": 2}
    assert [(seen.subject, seen.moment, seen.balance.wrong) for seen in found if not seen.well] == []
