"""The short form of `make faults`, with a fixed seed: one request for each kind of harm, and two publishers at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.requests_lost import rows
from tests.services import Service


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_harm_to_a_request_loses_or_doubles_anything(server: Service, tmp_path: Path) -> None:
    found = list(rows(server.url, tmp_path, short=20261125))
    assert len(found) == 8
    assert [row for row in found if not row.well] == []
