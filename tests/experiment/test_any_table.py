"""Any table ends in a finished run or a clear refusal, and what a bare script fits is finished.

In short: `make proof` takes 5,000 tables (tests/experiment/tables_proof.py); what they showed is in
test_found_in_tables.py.
"""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.experiment.any_table import outcomes, run

TABLES = 40


def test_any_table_is_finished_or_refused() -> None:
    """Never a traceback, never a check that cannot be made; refusing is no way out."""
    found = list(outcomes(TABLES))
    assert [each for each in found if each.kind in ("defect", "hang")] == []
    fitting = [each for each in found if each.fits]
    assert len(fitting) > TABLES / 3
    assert sum(each.kind == "refused" for each in fitting) <= 2, [each.says for each in fitting]


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.integers(10_000, 2**32 - 1))
def test_so_is_one_that_hypothesis_chooses(tmp_path: Path, number: int) -> None:
    made = run(number, tmp_path)
    assert made.kind in ("finished", "refused"), made.says
