"""Canaries: an upgrade that moves what compat.py uses has to be looked at."""

from __future__ import annotations

import pytest

from tests.conftest import Command


@pytest.mark.parametrize("overrides", [("hydra.run.dir=/sys/none",), ("-m", "hydra.sweep.dir=/sys/none")])
def test_a_folder_that_hydra_cannot_make_is_an_expected_failure(command: Command, overrides: tuple[str, ...]) -> None:
    """Nobody, root neither, may make a folder there. Hydra would print its own traceback and exit 1."""
    result = command("model=ridge", "figures=none", *overrides)
    assert result.code == 2
    assert "Traceback" not in result.err
    assert "/sys/none cannot be written" in result.err
    assert "next: ls -ld /sys   (once it may be written to: python -m boston_exp.run" in result.err
