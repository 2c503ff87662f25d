"""What tests of whole commands share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# An estimator of the user's own that does what real ones do on a bad day.
BAD_DAY = """
import os, signal, time
from sklearn.linear_model import Ridge

class BadDay(Ridge):
    def __init__(self, alpha=1.0, killed_at=None, fails_at=None, seconds=0.0):
        super().__init__(alpha=alpha)
        self.killed_at, self.fails_at, self.seconds = killed_at, fails_at, seconds

    def fit(self, X, y):
        time.sleep(self.seconds)
        if self.alpha == self.killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.alpha == self.fails_at:
            raise MemoryError("no room for alpha")
        return super().fit(X, y)
"""


@pytest.fixture
def bad_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bad_day.py").write_text(BAD_DAY)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "bad_day", raising=False)
    return tmp_path
