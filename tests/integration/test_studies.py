"""A search by Optuna whose study, settings or scores are not as they should be: told, and nothing else is harmed."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
import sqlalchemy

from boston_exp.sweep.plan import BEGINS_ANEW, GOES_ON
from boston_exp.tracking import study_database
from boston_exp.tracking.studies import Study, open_study
from tests.conftest import Command
from tests.integration.test_sweeps import OPTUNA, History


@pytest.mark.parametrize("wrong", ["storage=nonsense", "study_name=taken", "sampler.seed=abc"])
def test_what_is_wrong_with_a_study_leaves_the_record_of_the_search_as_it_was(
    command: Command, store: Path, tmp_path: Path, wrong: str
) -> None:
    """The parent of a search that is complete was opened again, and then FAILED."""
    url = f"hydra.sweeper.storage=sqlite:///{tmp_path}/optuna.db"
    search = ("-m", "model=ridge", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=1", "figures=none", url)
    assert command(*search, "model.alpha=interval(2,3)", "hydra.sweeper.study_name=taken").code == 0
    assert command(*search, "model.alpha=interval(0,1)").code == 0
    assert command(*search, "model.alpha=interval(0,1)", f"hydra.sweeper.{wrong}").code == 2
    assert [run.info.status for run in History(store).parents] == ["FINISHED", "FINISHED"]


@pytest.mark.parametrize("moment", ["opened", "asked"])
def test_a_study_that_another_program_locks_is_one_clear_message(
    command: Command, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Optuna wraps sqlite's error in one of its own, which reached the screen as a traceback."""
    monkeypatch.setattr(study_database, "LOCKED", 0.1)
    search = ("-m", *OPTUNA, f"hydra.sweeper.storage=sqlite:///{tmp_path}/optuna.db", "hydra.sweeper.n_trials=2")
    assert command(*search).code == 0
    holder = sqlite3.connect(tmp_path / "optuna.db", isolation_level=None)
    whole = Study.ask

    def asked(*given: Any) -> optuna.Trial:
        holder.execute("BEGIN IMMEDIATE")
        return whole(*given)

    if moment == "opened":
        holder.execute("BEGIN IMMEDIATE")
    else:
        monkeypatch.setattr(Study, "ask", asked)
    result = command(*search, "model.alpha=interval(1,3)")
    holder.close()
    assert result.code == 2
    assert "optuna.db cannot be used: database is locked" in result.err
    assert "Traceback" not in result.err
    assert History(store).statuses["RUNNING"] == 0


def test_a_score_that_is_infinite_is_none_and_wins_nothing(command: Command, store: Path, tmp_path: Path) -> None:
    """R² of a fold of one row: minus infinity was the best score, and the same command called such a trial failed."""
    rng = np.random.default_rng(0)
    pd.DataFrame({"x": rng.normal(size=12), "y": rng.normal(size=12)}).to_csv(tmp_path / "t.csv", index=False)
    search = (
        "-m", *OPTUNA[:-1], "data=csv", f"data.path={tmp_path}/t.csv", "data.target=y", "evaluation=cv",
        "evaluation.n_splits=8", "objective.metric=cv_r2_score", "hydra.sweeper.n_trials=2",
        f"hydra.sweeper.storage=sqlite:///{tmp_path}/optuna.db",
    )  # fmt: skip
    for counted in ("2 done", "2 reused"):
        result = command(*search)
        assert result.code == 0, result.err
        assert f"optuna of 2 points: {counted}" in result.out
        assert "best        none: no point has a score of cv_r2_score" in result.out
        assert "RuntimeWarning" not in result.err
        assert "best.run_id" not in History(store, "t").parent.data.tags
    (study,) = optuna.get_all_study_summaries(f"sqlite:///{tmp_path}/optuna.db")
    assert study.best_trial is None


@pytest.mark.parametrize("seed", ["null", "1"])
def test_a_study_in_memory_goes_on_only_where_its_seed_proposes_the_same(command: Command, seed: str) -> None:
    search = ("-m", *OPTUNA, "hydra.sweeper.storage=null", "hydra.sweeper.n_trials=2000", "timeout=1.5")
    found = {command(*search, f"hydra.sweeper.sampler.seed={seed}").out for _ in range(2)}
    said = {line.partition("; ")[2] for each in found for line in each.splitlines() if line.startswith("ended early")}
    assert said == {BEGINS_ANEW if seed == "null" else GOES_ON}
    assert any(" reused" in each for each in found) == (seed == "1")


@pytest.mark.parametrize(
    "found",
    [
        sqlalchemy.exc.OperationalError("CREATE TABLE studies", None, sqlite3.Error("table studies already exists")),
        sqlalchemy.exc.IntegrityError("INSERT INTO alembic_version", None, sqlite3.Error("UNIQUE constraint failed")),
    ],
)
def test_two_searches_may_make_a_new_database_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: sqlalchemy.exc.DatabaseError
) -> None:
    """Two of three first searches were refused, as if the file was unusable. What the slower ones met stands in for
    them: three processes meet it in three of four tries."""
    make, left = study_database.RDBStorage, [found]

    def met(*given: Any, **named: Any) -> Any:
        if left:
            raise left.pop()
        return make(*given, **named)

    monkeypatch.setattr(study_database, "RDBStorage", met)
    study = open_study(f"sqlite:///{tmp_path}/optuna.db", "new", "k", ("cv_rmse",), ("minimize",))
    assert study.counted() == []
