"""The short form of the full disks in `make faults` (docs/proofs/disk.md), where a disk of its own can be mounted."""

from __future__ import annotations

import pytest

from tests.conftest import ROOT, python
from tests.faults import mounts
from tests.services import Service

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(mounts.obstacle()), reason=str(mounts.obstacle()))]


@pytest.mark.timeout(600)
def test_a_full_disk_ends_a_command_with_a_message_and_the_store_is_whole(server: Service) -> None:
    how = ("--only", "run", "--shares", "0,0.1,0.5", "--server", server.url)
    result = python("-m", "tests.faults.disk", *how, cwd=ROOT)
    assert result.code == 0, result.out + result.err
    assert "8 times" in result.out
    assert "0 not as expected" in result.out
