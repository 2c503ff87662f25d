"""For people who work with DVC: the pipeline of dvc.yaml, its experiments, and what tracking=dvclive leaves."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from pathlib import Path

import pytest
import skops.io

from tests import services
from tests.conftest import git, python

pytestmark = pytest.mark.slow
HERE = Path()


def dvc(*arguments: str, cwd: Path, project: Path | None = None) -> str:
    """In the clone; an experiment in a temporary copy takes the package from there, where it stands."""
    environment = services.plain_environment(PYTHONPATH=str(project or cwd), DVC_NO_ANALYTICS="true", DVC_TEST="true")
    identity = {f"GIT_{who}_{what}": "test@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    command = [str(services.BIN / "dvc"), *arguments]
    environment |= identity
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_repro_experiments_metrics_and_plots(clone: Path) -> None:
    """`exp run -S 'conf/…'` changes the YAML that Hydra composes from, so conf/ is the one place of every value."""
    dvc("pull", cwd=clone)
    dvc("repro", cwd=clone)
    metrics = json.loads(dvc("metrics", "show", "--json", cwd=clone))[""]["data"]["dvclive/metrics.json"]["data"]
    assert metrics["rmse"] == pytest.approx(3.0010, abs=1e-4)
    assert "didn't change, skipping" in dvc("repro", cwd=clone)
    git("add", "--all", cwd=clone)
    git("commit", "--quiet", "--message", "trained", cwd=clone)
    deeper = ("-S", "conf/model/random_forest.yaml:max_depth=15")
    dvc("exp", "run", "--temp", "--name", "deeper", *deeper, cwd=clone, project=HERE)
    dvc(
        "exp",
        "run",
        "--temp",
        "--name",
        "ridge",
        "-S",
        "conf/config.yaml:defaults.1.model=ridge",
        cwd=clone,
        project=Path(),
    )
    assert git("status", "--porcelain", cwd=clone) == ""
    rows = {row["Experiment"]: row for row in csv.DictReader(io.StringIO(dvc("exp", "show", "--csv", cwd=clone)))}
    assert float(rows["deeper"]["rmse"]) == pytest.approx(3.0051, abs=1e-4)
    assert rows["deeper"]["model.max_depth"] == "15"
    assert float(rows["ridge"]["rmse"]) == pytest.approx(4.9474, abs=1e-4)
    assert rows["ridge"]["model._target_"] == "sklearn.linear_model.Ridge"
    assert "index.html" in dvc("plots", "diff", "HEAD", "deeper", "--out", "dvc_plots", cwd=clone)
    page = (clone / "dvc_plots" / "index.html").read_text()
    assert "Predicted against actual" in page


def test_a_run_by_hand_keeps_its_results_in_its_own_folder(clone: Path, tmp_path: Path) -> None:
    """Outside of the pipeline nothing of the project is touched: not dvc.yaml, not an earlier result."""
    for number, code in enumerate((0, 2)):
        overrides = ["tracking=dvclive", "figures=none", f"hydra.run.dir={tmp_path}/{number}"]
        if code:  # a fit that fails leaves no results
            overrides.append("model.max_features=-1")
            overrides[-1] = "+" + overrides[-1]
        result = python("-m", "boston_exp.run", *overrides, cwd=tmp_path, project=clone)
        assert (result.code == 0) == (code == 0), result.err
        assert (tmp_path / str(number) / "dvclive" / "metrics.json").exists() == (code == 0)
    model = tmp_path / "0" / "dvclive" / "model.skops"
    assert skops.io.load(model, trusted=skops.io.get_untrusted_types(file=model)).n_estimators == 100
    params = (tmp_path / "0" / "dvclive" / "params.yaml").read_text()
    assert "path: data/raw/housing.csv" in params
    assert git("status", "--porcelain", cwd=clone) == ""
