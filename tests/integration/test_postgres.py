"""A search whose study lies in PostgreSQL: the database's own binaries, started here on a free port."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from tests import services
from tests.integration.test_sweeps import SEARCH, History, ran

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not services.postgres_binary("initdb"), reason="PostgreSQL is not installed"),
]


@pytest.fixture
def database() -> Iterator[str]:
    """The URL of an empty database."""
    with services.postgres(user="optuna", database="optuna") as port:
        yield f"postgresql+psycopg://optuna:{services.PASSWORD}@127.0.0.1:{port}/optuna"


def test_a_study_in_postgresql_goes_on_with_forked_workers(
    tmp_path: Path, store: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection of the main process must neither be used nor closed by a fork; its password is written nowhere."""
    monkeypatch.setenv("STUDIES", database)
    overrides = (
        *SEARCH, "hydra.sweeper.storage=${oc.env:STUDIES}", "evaluation=cv",
        "hydra/launcher=joblib", "hydra.launcher.n_jobs=2",
    )  # fmt: skip
    for n_trials, says in ((4, "optuna of 4 points: 4 done"), (6, "optuna of 6 points: 2 done, 4 reused")):
        code, out, err = ran(tmp_path, store, *overrides, f"hydra.sweeper.n_trials={n_trials}")
        assert code == 0, err
        assert says in out
    (name,) = optuna.get_all_study_names(database)
    trials = optuna.load_study(study_name=name, storage=database).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 6
    assert len(History(store).parents) == 1
    secret = services.PASSWORD.encode()
    assert [file for file in tmp_path.rglob("*") if file.is_file() and secret in file.read_bytes()] == []
