"""The seal says that this user has recorded this code on this machine, and nobody else can make it."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from boston_exp import process
from boston_exp.training import seal

COMMIT, PATCH = "a" * 40, b"diff --git a/x b/x\n"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a user who has recorded nothing yet."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "boston_exp"


def test_it_holds_for_this_code_alone() -> None:
    own = str(seal.sealed(COMMIT, PATCH))
    assert seal.holds(own, COMMIT, PATCH)
    assert not seal.holds(own, "b" * 40, PATCH)
    assert not seal.holds(own, COMMIT, PATCH + b"+x\n")
    assert not seal.holds("", COMMIT, PATCH)
    assert not seal.holds("é", COMMIT, PATCH)


def test_it_does_not_hold_for_another_user(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = str(seal.sealed(COMMIT, PATCH))
    monkeypatch.setenv("XDG_STATE_HOME", str(state.parent / "another"))
    process.reset()
    assert not seal.holds(own, COMMIT, PATCH)
    assert not (state.parent / "another").exists()  # looking makes no key
    assert seal.sealed(COMMIT, PATCH) != own


def test_the_key_is_its_owners_alone_and_made_once(state: Path) -> None:
    """Also where several processes begin at once: all of them seal with the one that stays."""
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: seal._made(state / "key"), range(40)))
    assert len(keys) == 1
    assert stat.S_IMODE((state / "key").stat().st_mode) == 0o600
    assert os.listdir(state) == ["key"]  # noqa: PTH208


def test_a_key_that_others_could_have_read_or_put_there_is_none(state: Path) -> None:
    own = str(seal.sealed(COMMIT, PATCH))
    (state / "key").chmod(0o644)
    process.reset()
    assert not seal.holds(own, COMMIT, PATCH)
    assert seal.sealed(COMMIT, PATCH) is None


def test_a_home_that_cannot_be_written_means_no_seal_and_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert seal.sealed(COMMIT, PATCH) is None
