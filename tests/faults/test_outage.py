"""The short form of the runs kept during an outage in `make faults` (docs/proofs/outage.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.outage import outage
from tests.services import Service


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_runs_that_were_kept_during_an_outage_are_brought_once(server: Service, tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    found = outage(tmp_path, tmp_path / "mlflow.db", server.url, runs=20, real=2)
    assert found.wrong == []
    assert (found.runs, found.copies, found.models) == (20, 20, 4)
