"""On tables where nothing is wrong each check fires in at most 5 % of draws, all together in at most 10 %."""

from __future__ import annotations

import pytest

from tests.experiment.checks.null_rates import CODES, EACH, KINDS, TOGETHER, Kind, fired

DRAWS = 20  # `make proof` takes 200


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.says)
def test_no_check_cries_wolf(kind: Kind) -> None:
    each, together = fired(kind, DRAWS, first=1_000)
    assert set(each) <= set(CODES)
    assert all(count <= EACH * DRAWS for count in each.values()), each
    assert together <= TOGETHER * DRAWS
