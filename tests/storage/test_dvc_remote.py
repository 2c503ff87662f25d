"""A fresh clone gets its data with no server and no credentials, by DVC's command and by `run`."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from boston_exp.config.schema import Storage
from boston_exp.config.settings import Typed
from boston_exp.errors import DataUnavailable
from boston_exp.storage import dvc_remote
from tests.conftest import git

MD5 = "3612cdb00d81977bf402e334f47be860"


def test_git_has_the_pointer_and_the_object_but_not_the_file(clone: Path) -> None:
    listed = git("ls-files", cwd=clone).splitlines()
    assert "data/raw/housing.csv.dvc" in listed
    assert f"data/remote/files/md5/{MD5[:2]}/{MD5[2:]}" in listed
    assert "data/raw/housing.csv" not in listed


def test_dvc_pull_gets_the_data(clone: Path) -> None:
    subprocess.run([Path(sys.executable).with_name("dvc"), "pull", "--quiet"], cwd=clone, check=True)
    assert hashlib.md5((clone / "data/raw/housing.csv").read_bytes()).hexdigest() == MD5  # noqa: S324
    assert git("status", "--porcelain", cwd=clone) == ""


def test_fetching_gets_the_data_and_leaves_git_clean(clone: Path) -> None:
    path = clone / "data" / "raw" / "housing.csv"
    dvc_remote.fetch_if_missing(path, Storage("embedded"), Typed())
    assert hashlib.md5(path.read_bytes()).hexdigest() == MD5  # noqa: S324
    assert git("status", "--porcelain", cwd=clone) == ""


def test_a_file_that_is_there_is_not_touched_nor_dvc_imported(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("mine")
    code = (
        "import sys; from pathlib import Path; from boston_exp.config.schema import Storage as S; "
        "from boston_exp.config.settings import Typed as T; "
        "from boston_exp.storage.dvc_remote import fetch_if_missing as f; "
        f"f(Path({str(tmp_path / 'a.csv')!r}), S('embedded'), T()); print('dvc' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
    assert (tmp_path / "a.csv").read_text() == "mine"


def test_a_remote_that_does_not_exist_is_named(clone: Path) -> None:
    with pytest.raises(DataUnavailable, match="DVC remote 'nowhere' does not give it"):
        dvc_remote.fetch_if_missing(clone / "data" / "raw" / "housing.csv", Storage("nowhere"), Typed())


def test_a_copy_without_git_still_gets_its_data(clone: Path) -> None:
    """A zip file of the project is a way to get it, too."""
    import shutil

    shutil.rmtree(clone / ".git")
    dvc_remote.fetch_if_missing(clone / "data" / "raw" / "housing.csv", Storage("embedded"), Typed())
    assert (clone / "data" / "raw" / "housing.csv").exists()


@pytest.mark.parametrize("left", ["", '{"/some/file": {"wri'])
def test_half_of_a_list_of_locks_that_a_killed_dvc_has_left_stops_nobody(clone: Path, left: str) -> None:
    """Found by a kill -9 of a promotion while DVC wrote it: every later command failed until it was removed."""
    (clone / ".dvc" / "tmp").mkdir(exist_ok=True)
    (clone / ".dvc" / "tmp" / "rwlock").write_text(left)
    folder = clone / "data" / "models" / "a"
    folder.mkdir(parents=True)
    (folder / "model.skops").write_text("a model")
    dvc_remote.add(folder, Storage("embedded"), Typed(), push=False)
    assert folder.with_name("a.dvc").is_file()
