"""The patch turns the commit into what ran, and the fingerprint changes with the result and with nothing else."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boston_exp import process
from boston_exp.config.schema import Config, Data, Evaluation
from boston_exp.training import fingerprint as fingerprints
from boston_exp.training import provenance, record
from tests.conftest import git


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(provenance, "PROJECT_ROOT", tmp_path)
    process.reset()
    git("init", "--quiet", cwd=tmp_path)
    (tmp_path / "boston_exp").mkdir()
    (tmp_path / "conf").mkdir()
    (tmp_path / "boston_exp" / "run.py").write_text("old = 1\n")
    (tmp_path / "conf" / "config.yaml").write_text("seed: 42\n")
    git("add", "--all", cwd=tmp_path)
    git("commit", "--quiet", "--message", "first", cwd=tmp_path)
    yield tmp_path
    process.reset()


def test_a_clean_tree_has_a_commit_and_no_patch(repository: Path) -> None:
    code = provenance.code()
    assert code.commit == git("rev-parse", "HEAD", cwd=repository).strip()
    assert (code.dirty, code.patch) == (False, b"")


def test_commit_and_patch_together_are_what_ran(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Changed, staged, new and deleted files: applied to a clone of the commit they give the same tree."""
    (repository / "boston_exp" / "run.py").write_text("new = 2\n")
    (repository / "boston_exp" / "extra.py").write_text("binary = '\\x00é'\n")
    (repository / "conf" / "config.yaml").unlink()
    (repository / "conf" / "staged.yaml").write_text("a: 1\n")
    git("add", "conf/staged.yaml", cwd=repository)
    before = git("status", "--porcelain", cwd=repository)
    code = provenance.code()
    assert code.dirty
    assert git("status", "--porcelain", cwd=repository) == before  # the user's index is left as it was
    copy = tmp_path_factory.mktemp("copy") / "clone"
    git("clone", "--quiet", str(repository), str(copy), cwd=repository)
    (copy / "diff.patch").write_bytes(code.patch)
    git("apply", "diff.patch", cwd=copy)
    for place in ("boston_exp", "conf"):
        assert {f.name: f.read_bytes() for f in (copy / place).iterdir()} == {
            f.name: f.read_bytes() for f in (repository / place).iterdir()
        }


def test_an_ignored_secret_is_not_in_the_patch(repository: Path) -> None:
    (repository / ".gitignore").write_text(".env\n")
    (repository / ".env").write_text("AWS_SECRET_ACCESS_KEY=hush\n")
    (repository / "conf" / "new.yaml").write_text("a: 1\n")
    git("add", ".gitignore", cwd=repository)
    assert provenance.code().dirty
    assert b"hush" not in provenance.code().patch


def test_no_repository_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "PROJECT_ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    process.reset()
    assert provenance.code() == provenance.Code(None, False, b"")
    process.reset()


BASE = Config(
    model={"_target_": "sklearn.linear_model.Ridge", "alpha": 1.0},
    data=Data(name="d", path="/a/d.csv", target="y", drop=["p", "q"]),
)
MD5 = "3612cdb00d81977bf402e334f47be860"


def changed(change: Callable[[Config], Any]) -> str:
    other = copy.deepcopy(BASE)
    change(other)
    return fingerprints.fingerprint(other, MD5)


DECIDES: list[Callable[[Config], Any]] = [
    lambda c: c.model.update(alpha=2.0),
    lambda c: c.model.update(fit_intercept=False),
    lambda c: c.model.update(_target_="sklearn.linear_model.Lasso"),
    lambda c: c.preprocess.update(_target_="sklearn.preprocessing.StandardScaler"),
    lambda c: setattr(c, "seed", 7),
    lambda c: setattr(c, "trusted_packages", ["sklearn", "pandas"]),
    lambda c: setattr(c.data, "target", "z"),
    lambda c: setattr(c.data, "drop", ["p"]),
    lambda c: setattr(c.data, "test_size", 0.25),
    lambda c: setattr(c.data, "split_seed", 7),
    lambda c: setattr(c.data, "sep", ";"),
    lambda c: setattr(c.data, "header", False),
    lambda c: setattr(c.data, "decimal", ","),
    lambda c: setattr(c.data, "encoding", "latin-1"),
    lambda c: setattr(c.data, "thousands", "."),
    lambda c: setattr(c.data, "date_format", "%d.%m.%Y"),
    lambda c: setattr(c.data, "sheet", "2"),
    lambda c: setattr(c.data, "missing_target", "drop"),
    lambda c: setattr(c.data, "columns", ["y", "p"]),
    lambda c: setattr(c.data, "loader", "sklearn.datasets.load_diabetes"),
    lambda c: setattr(c.data, "roles", ["p:category"]),
    lambda c: setattr(c.data, "group", "p"),
    lambda c: setattr(c.data, "time", "p"),
    lambda c: setattr(c.data, "weight", "p"),
    lambda c: setattr(c.evaluation, "n_splits", 5),
    lambda c: setattr(c.evaluation, "n_repeats", 2),
    lambda c: setattr(c.evaluation, "stratify", True),
    lambda c: setattr(c.evaluation, "n_resamples", 0),
]
DOES_NOT: list[Callable[[Config], Any]] = [
    lambda c: setattr(c.data, "name", "other"),
    lambda c: setattr(c.data, "experiment_name", "another"),
    lambda c: setattr(c.data, "path", "/b/e.csv"),
    lambda c: setattr(c.data, "allow_changed", True),
    lambda c: setattr(c.data, "slices", ["p"]),
    lambda c: setattr(c.data, "target_label", "price"),
    lambda c: setattr(c.data, "target_unit", "EUR"),
    lambda c: setattr(c.data, "caveats", ["it is old"]),
    lambda c: setattr(c.data, "drop", ["q", "p"]),
    lambda c: setattr(c.evaluation, "selection_metric", "mae"),
    lambda c: setattr(c.objective, "metric", "mae"),
    lambda c: setattr(c.tracking, "uri", "sqlite:///x.db"),
    lambda c: setattr(c.tracking, "log_model", "none"),
    lambda c: setattr(c.storage, "dvc_remote", "minio"),
    lambda c: setattr(c.figures, "draw", False),
]


def test_all_that_decides_a_result_changes_the_fingerprint() -> None:
    digests = [fingerprints.fingerprint(BASE, MD5), fingerprints.fingerprint(BASE, MD5[::-1])]
    digests += [changed(change) for change in DECIDES]
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize("change", DOES_NOT)
def test_nothing_else_changes_it(change: Callable[[Config], Any]) -> None:
    assert changed(change) == fingerprints.fingerprint(BASE, MD5)


def test_no_field_was_forgotten() -> None:
    """A new field of Data or Evaluation has to be put into one of the two lists above."""
    lists = " ".join(str(change.__code__.co_consts) for change in DECIDES + DOES_NOT)
    for kind in (Data, Evaluation):
        for field in fields(kind):
            assert f"'{field.name}'" in lists


def test_versions_and_the_projects_own_code_are_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprints.fingerprint(BASE, MD5)
    monkeypatch.setattr(fingerprints, "version", lambda name: "0.0")
    other_libraries = fingerprints.fingerprint(BASE, MD5)
    monkeypatch.setattr(fingerprints, "code_digest", lambda place: "edited")
    assert len({before, other_libraries, fingerprints.fingerprint(BASE, MD5)}) == 3


scalars = st.none() | st.booleans() | st.integers(-99, 99) | st.floats(allow_nan=False) | st.text(max_size=5)
models = st.dictionaries(st.text("abc", min_size=1, max_size=3), scalars, max_size=4)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # the first draw builds tables of Unicode
@given(models, st.randoms())
def test_the_order_of_keys_does_not_matter_and_any_value_does(model: dict[str, Any], random: Any) -> None:
    base = copy.deepcopy(BASE)
    base.model = model
    shuffled = copy.deepcopy(BASE)
    names = list(model)
    random.shuffle(names)
    shuffled.model = {name: model[name] for name in names}
    assert fingerprints.fingerprint(base, MD5) == fingerprints.fingerprint(shuffled, MD5)
    shuffled.model["zzz"] = 1
    assert fingerprints.fingerprint(base, MD5) != fingerprints.fingerprint(shuffled, MD5)


def test_flat_names_are_dotted_and_lists_are_json() -> None:
    assert record.flat({"a": {"b": {"c": 1}, "d": [1, "x"]}, "e": None}) == {
        "a.b.c": "1",
        "a.d": '[1, "x"]',
        "e": "None",
    }


def test_the_environment_lists_what_is_installed() -> None:
    lines = provenance.environment().splitlines()
    assert lines[0].startswith("# Python 3.")
    assert any(line.startswith("mlflow==") for line in lines)
    assert any(line.startswith("boston-exp==") for line in lines)
