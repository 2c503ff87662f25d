"""What commands leave in the folder for temporary files: nothing; one that is killed leaves what `clean` finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Command
from tests.integration.test_sweeps import GRID


def test_a_sweep_that_is_given_again_leaves_no_temporary_files(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow downloads into a folder of its own, which nobody removes, unless it is given one."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    for _ in range(2):
        result = command("-m", *GRID)
        assert result.code == 0, result.err
    assert list(place.iterdir()) == []
