"""A worker may be killed at any moment: no hang, the other points finish, nothing is recorded twice.

The short form of `make proof` (docs/proofs/worker_kills.md): one kill in each phase, over a grid and over a search.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.worker_kills import PHASES, SEARCHES, killed_sweep

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("search", SEARCHES)
def test_a_sweep_survives_a_kill_in_every_phase_of_a_worker(tmp_path: Path, store: Path, search: str) -> None:
    seen = killed_sweep(tmp_path, store, search, list(PHASES), seed=1)
    assert seen.is_well, seen
    assert dict(seen.kills) == dict.fromkeys(PHASES, 1)
    assert seen.failed <= len(PHASES)
