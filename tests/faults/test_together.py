"""The short form of four sweeps at once in `make faults` (docs/proofs/together.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import services
from tests.faults.together import rows


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_sweeps_that_begin_at_once_on_a_new_store_record_every_point_once(tmp_path: Path) -> None:
    """PostgreSQL, too, where it is installed: three of four ended with a UniqueViolation before there was a lock."""
    found = list(rows(tmp_path, sweeps=4, points=3))
    assert len(found) == 1 + bool(services.postgres_binary("initdb"))
    assert [(seen.store, seen.codes, seen.said, seen.balance.wrong) for seen in found if not seen.well] == []
