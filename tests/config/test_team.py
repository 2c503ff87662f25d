"""A team's own options live outside of the clone: `--config-dir` adds to every group, presets and environments."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.conftest import ROOT, Command

OPTIONS = {
    "model/lasso.yaml": "_target_: sklearn.linear_model.Lasso\nalpha: 0.1\n",
    "data/ours.yaml": "name: ours\npath: ours.csv\ntarget: price\n",
    "preprocess/robust.yaml": "_target_: sklearn.preprocessing.RobustScaler\n",
    "evaluation/ten.yaml": "n_splits: 10\nselection_metric: cv_mae\n",
    "tracking/quiet.yaml": "backend: none\n",
    "storage/lab.yaml": "dvc_remote: lab\n",
    "figures/sharp.yaml": "dpi: 300\n",
    "env/lab.yaml": "# @package _global_\ndefaults:\n  - override /storage: lab\n",
    "experiment/ours.yaml": "# @package _global_\ndefaults:\n  - override /model: lasso\nmodel: {alpha: 0.5}\n",
    "search/ours.yaml": "# @package _global_\nhydra: {sweeper: {params: {model.alpha: '0.1,0.2'}}}\n",
}


@pytest.fixture
def team_conf(tmp_path: Path) -> str:
    for name, text in OPTIONS.items():
        file = tmp_path / "team_conf" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return f"--config-dir={tmp_path}/team_conf"


def test_every_group_of_conf_takes_an_option_of_the_teams() -> None:
    groups = {path.parent.name for path in (ROOT / "conf").glob("*/*.yaml")} - {"hydra"}
    assert groups == {name.partition("/")[0] for name in OPTIONS}


def test_options_of_the_team_are_composed_trained_and_recorded(command: Command, store: Path, team_conf: str) -> None:
    chosen = (
        "experiment=ours",
        "preprocess=robust",
        "evaluation=ten",
        "env=lab",
        "figures=sharp",
        "figures.draw=false",
    )
    result = command(team_conf, *chosen)
    assert result.code == 0, result.err
    client = MlflowClient(f"sqlite:///{store}")
    (run,) = client.search_runs([client.get_experiment_by_name("boston-housing").experiment_id])
    params = run.data.params
    assert params["model._target_"] == "sklearn.linear_model.Lasso"
    assert (params["model.alpha"], params["evaluation.n_splits"]) == ("0.5", "10")
    assert params["preprocess._target_"] == "sklearn.preprocessing.RobustScaler"
    swept = command(team_conf, "-m", "search=ours", "model=lasso", "figures=none")
    assert "grid of 2 points: 2 done" in swept.out, swept.err


def test_a_message_keeps_the_teams_folder_in_the_next_command(command: Command, team_conf: str) -> None:
    result = command(team_conf, "model=lasso", "data.test_size=7")
    assert result.code == 2
    assert re.search(rf"next: python -m boston_exp.run '?{re.escape(team_conf)}'? model=lasso", result.err), result.err


def test_an_option_of_the_teams_data_is_read_from_the_project(command: Command, team_conf: str) -> None:
    """As all paths in YAML are; a path that is typed starts where the user stands."""
    result = command(team_conf, "data=ours", "tracking=quiet")
    assert result.code == 2
    assert f"data.path={ROOT}/ours.csv does not exist" in result.err
