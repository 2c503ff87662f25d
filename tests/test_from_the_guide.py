"""docs/from_the_guide.md: its commands are run, in its order, in a fresh clone."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.test_readme import check, shown_in, stack


@pytest.mark.slow
def test_every_step_of_the_guide_has_its_counterpart(clone: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(clone), "PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"}
    for who in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{who}_NAME": "Ada", f"GIT_{who}_EMAIL": "ada@localhost"}
    (clone / ".venv").symlink_to(sys.prefix)
    for name in ("pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        os.utime(clone / name, (0, 0))
    with ExitStack() as running:
        for step in shown_in((ROOT / "docs" / "from_the_guide.md").read_text()):
            if step.command == "make stack":
                running.enter_context(stack(step.command, step.output, clone, environment))
            else:
                check(step, clone, environment, {})
