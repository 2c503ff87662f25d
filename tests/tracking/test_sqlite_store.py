"""A store is created whole or not at all, by one process, however many ask."""

from __future__ import annotations

import multiprocessing
import sqlite3
from pathlib import Path

import pytest

from boston_exp.tracking import sqlite_store


def _create(path: Path) -> str:
    sqlite_store.create(path, "unused")
    connection = sqlite3.connect(path)
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    connection.close()
    return "whole" if tables > 20 else f"{tables} tables"


@pytest.mark.slow
def test_processes_that_create_at_once_all_find_a_whole_store(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert pool.map(_create, [tmp_path / "mlflow.db"] * 4) == ["whole"] * 4
    assert {entry.name for entry in tmp_path.iterdir()} <= {"mlflow.db", ".mlflow.db.lock"}


def test_what_a_killed_process_left_half_made_is_made_again(tmp_path: Path) -> None:
    (tmp_path / ".mlflow.db.new").write_bytes(b"half")
    assert _create(tmp_path / "mlflow.db") == "whole"


def test_an_existing_store_is_left_alone(store: Path) -> None:
    before = store.read_bytes()
    sqlite_store.create(store, "unused")
    assert store.read_bytes() == before


def test_a_good_store_a_new_one_and_a_busy_one_have_no_faults(store: Path, tmp_path: Path) -> None:
    assert sqlite_store.faults(store) == []
    assert sqlite_store.faults(tmp_path / "new.db") == []
    writer = sqlite3.connect(store)
    writer.execute("BEGIN IMMEDIATE")
    assert sqlite_store.faults(store) == []
    writer.rollback()
    writer.close()
