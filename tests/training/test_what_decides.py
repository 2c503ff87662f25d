"""Edit each file of the package and of conf/ in a copy: what decides a result changes the digests, the rest does not.

A new plot colour must not train everything again, and a new model's YAML must not orphan an interrupted sweep.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from boston_exp import process
from boston_exp.config.parsing import parse
from boston_exp.config.settings import Typed
from boston_exp.training import fingerprint as fingerprints
from tests.conftest import ROOT
from tests.test_architecture import GRAPH

CODE = sorted(path.relative_to(ROOT) for path in (ROOT / "boston_exp").rglob("*.py"))
CONF = sorted(path.relative_to(ROOT / "conf") for path in (ROOT / "conf").rglob("*.yaml"))
# What `python -m boston_exp.run -m model.max_depth=5,10` is composed from, and whose values decide its results.
DECIDES = {
    "config.yaml", "seeded.yaml", "data/boston.yaml", "evaluation/holdout.yaml", "model/random_forest.yaml",
    "preprocess/none.yaml",
}  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("edited")
    for part in ("boston_exp", "conf"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def code_digest(project: Path) -> str:
    process.reset()
    return fingerprints.code_digest(project / "boston_exp" / "experiment")


def composed(conf: Path) -> tuple[str, list[str]]:
    """What a sweep's key takes from its composed configuration."""
    with initialize_config_dir(str(conf)):
        made = parse(compose("config", ["model.max_depth=5"]), Typed())
    return fingerprints.fingerprint(made, "md5"), made.objective.metrics


@pytest.fixture(scope="module")
def unedited(project: Path) -> tuple[str, list[str]]:
    """Of the copy as it is: every test leaves it so."""
    return composed(project / "conf")


EDITS = {  # where changing the first word or number would not compose
    "config.yaml": ("seed: 42", "seed: 7"),
    "evaluation/holdout.yaml": ("n_splits: 0", "n_splits: 3"),
    "seeded.yaml": ("${seed}", "7"),
    "model/random_forest.yaml": ("n_estimators: 100", "n_estimators: 10"),
    "figures/full.yaml": ("true", "false"),
    "figures/none.yaml": ("false", "true"),
    "hydra/hydra_logging/tidy.yaml": ("level: WARNING", "level: INFO"),
    "hydra/job_logging/tidy.yaml": ("level: WARNING", "level: INFO"),
}


def with_another_value(file: str, text: str) -> str:
    """The first number, else the first word, changed; a file without values gets one."""
    if file in EDITS:
        return text.replace(*EDITS[file])
    changed, numbers = re.subn(
        r"(?m)^(\s*\w+: )(\d+(?:\.\d+)?)(\s.*)?$", lambda m: f"{m[1]}{float(m[2]) / 2:g}", text, count=1
    )
    if numbers:
        return changed
    changed, words = re.subn(r"(?m)^(\s*\w+: )(?!\$|null|&|\[|\||>)(\w[^\s#]*)", r"\1other", text, count=1)
    return changed if words else f"{text}\nadded: 1\n"


@pytest.mark.parametrize("file", CODE, ids=str)
def test_code_changes_the_fingerprint_exactly_where_it_decides_a_result(file: Path, project: Path) -> None:
    path, before = project / file, code_digest(project)
    original = path.read_text()
    try:
        path.write_text(f"{original}\n# edited\n")
        changed = code_digest(project) != before
    finally:
        path.write_text(original)
    of_experiment = file.relative_to("boston_exp/experiment") if "experiment" in file.parts else Path("-")
    assert changed == (of_experiment.with_suffix("").as_posix() in fingerprints.DECIDING)
    assert code_digest(project) == before


@pytest.mark.parametrize("file", CONF, ids=str)
def test_a_file_of_conf_changes_a_sweep_exactly_where_its_values_decide_the_result(
    file: Path, project: Path, unedited: tuple[str, list[str]]
) -> None:
    path, original = project / "conf" / file, (project / "conf" / file).read_text()
    try:
        path.write_text(f"{original}\n# a comment\n")
        assert composed(project / "conf") == unedited
        assert with_another_value(str(file), original) != original
        path.write_text(with_another_value(str(file), original))
        changed = composed(project / "conf") != unedited
    finally:
        path.write_text(original)
    assert changed == (str(file) in DECIDES)


@pytest.mark.parametrize("group", sorted({str(file.parent) for file in CONF if len(file.parts) == 2}))
def test_a_new_option_changes_no_sweep_that_does_not_choose_it(
    group: str, project: Path, unedited: tuple[str, list[str]]
) -> None:
    added = project / "conf" / group / "added.yaml"
    added.write_text("_target_: sklearn.linear_model.Lasso\n")
    try:
        assert composed(project / "conf") == unedited
    finally:
        added.unlink()


# What a result is computed by imports these, too, and no number is theirs: they refuse, tell, or save time.
TELLING = {"reading/found", "reading/unreadable", "table_checks", "role_checks", "split_checks", "threads", "compat"}


def test_all_that_a_result_is_computed_by_decides_it() -> None:
    """A module that was split in two must not drop out of the fingerprint with its second half."""
    room = "boston_exp.experiment."
    reached, left = set(), {f"{room}{name}" for name in ("dataset", "split", "models", "evaluation")}
    while left:
        name = left.pop()
        reached.add(name)
        left |= {each for each in GRAPH[name] if each.startswith(room)} - reached
    names = {name.removeprefix(room).replace(".", "/") for name in reached}
    assert names - TELLING == set(fingerprints.DECIDING)
