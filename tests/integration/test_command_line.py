"""Help, configuration, completion: quick, and from anywhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, python

HEAVY = ("mlflow", "sklearn", "pandas", "dvc", "matplotlib", "scipy", "optuna", "boto3")


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"], ["model.n_estimators=-5"]])
def test_help_configuration_and_early_refusals_import_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    code = (
        "import sys\nfrom boston_exp import run\n"
        f"sys.argv[1:] = {[*arguments, f'hydra.run.dir={tmp_path}']}\n"
        "try: run.main()\nexcept SystemExit: pass\n"
        f"print('loaded:', [name for name in {HEAVY} if name in sys.modules])"
    )
    result = python("-c", code, cwd=tmp_path)
    assert result.out.endswith("loaded: []\n"), result.err


def test_help_shows_groups_options_and_examples(tmp_path: Path) -> None:
    result = python("-m", "boston_exp.run", "--help", cwd=tmp_path)
    assert result.code == 0
    assert "python -m boston_exp.run model.max_depth=15" in result.out
    assert "experiment: baseline, deep_forest, quick_test" in result.out
    assert "n_estimators: 100" in result.out
    assert 'eval "$(python -m boston_exp.run -sc install=bash)"' in result.out


def test_configuration_is_shown_and_nothing_runs(tmp_path: Path) -> None:
    result = python("-m", "boston_exp.run", "model=ridge", "--cfg", "job", "--resolve", cwd=tmp_path)
    assert "_target_: sklearn.linear_model.Ridge" in result.out
    assert list(tmp_path.iterdir()) == []


def test_tab_completion_offers_groups_and_options(tmp_path: Path) -> None:
    """Installed in a real bash, as a user would, and asked as bash asks."""
    script = f"""
        PATH={Path(sys.executable).parent}:$PATH
        eval "$(python -m boston_exp.run -sc install=bash)"
        ask() {{
            COMP_LINE="$*" COMP_POINT=${{#COMP_LINE}} COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
            $(complete -p python | sed 's/.*-F \\([^ ]*\\).*/\\1/')
            echo "${{COMPREPLY[@]}}"
        }}
        ask python -m boston_exp.run model=rand
        ask python -m boston_exp.run model=ridge experiment=d
        ask python -m boston_exp.run model.max_
    """
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["model=random_forest", "experiment=deep_forest", "model.max_depth="], done.stderr


@pytest.mark.slow
def test_a_run_started_elsewhere_finds_the_project_and_writes_there(clone: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = ("-m", "boston_exp.run", "experiment=quick_test", "figures=none")
    result = python(*command, cwd=elsewhere, project=clone)
    assert result.code == 0, result.err
    assert f"recorded in sqlite:///{clone}/mlflow.db" in result.out
    assert f"ui --backend-store-uri sqlite:///{clone}/mlflow.db" in result.out
    assert (clone / "mlartifacts").is_dir()
    assert list((clone / "outputs").glob("*/*/.hydra/config.yaml"))
    assert list(elsewhere.iterdir()) == []
