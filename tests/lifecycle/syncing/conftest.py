"""A store in a folder of its own, and `sync` between it and the test's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import Command, Result


@pytest.fixture
def other(tmp_path: Path, empty_store: Path) -> Path:
    """A store in a folder of its own."""
    (tmp_path / "laptop").mkdir()
    return Path(shutil.copy(empty_store, tmp_path / "laptop" / "other.db"))


@pytest.fixture
def sync(command: Command) -> Command:
    def call(*overrides: str) -> Result:
        return command(*overrides, program="sync")

    return call
