"""LightGBM is one YAML and one package: trained, swept, loaded back, predicted with; nothing else had to change."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient

from boston_exp.config.settings import PROJECT_ROOT
from tests.conftest import Command

pytest.importorskip("lightgbm")
QUICK = ("model=lightgbm", "model.n_estimators=20", "figures=none")


def test_it_is_trained_and_comes_back_by_both_flavours(command: Command, store: Path) -> None:
    result = command(*QUICK)
    assert result.code == 0, result.err
    client = MlflowClient(f"sqlite:///{store}")
    (run,) = client.search_runs([client.get_experiment_by_name("boston-housing").experiment_id])
    assert run.data.tags["framework"] == "lightgbm"
    assert run.data.params["model.random_state"] == "42"
    assert run.data.params["trusted_packages"] == '["sklearn", "skrub", "lightgbm"]'
    mlflow.set_tracking_uri(f"sqlite:///{store}")
    uri = f"runs:/{run.info.run_id}/model"
    model, general = mlflow.sklearn.load_model(uri), mlflow.pyfunc.load_model(uri)
    named = general.metadata.flavors["sklearn"]["skops_trusted_types"]
    assert "collections.OrderedDict" in named
    assert all(name.startswith(("lightgbm.", "collections.")) for name in named)
    assert any(line.startswith("lightgbm==") for line in _requirements(run.outputs.model_outputs[0].model_id))
    table = pd.read_csv(PROJECT_ROOT / "data/raw/housing.csv", sep=r"\s+", header=None)
    table.columns = [*general.metadata.signature.inputs.input_names(), "MEDV"]
    recorded = pd.read_csv(f"{run.info.artifact_uri.removeprefix('file://')}/predictions.csv")
    for predicted in (model.predict(table.drop(columns="MEDV")), general.predict(table.drop(columns="MEDV"))):
        assert predicted[recorded.row] == pytest.approx(recorded.predicted)


def _requirements(model_id: str) -> list[str]:
    model = mlflow.get_logged_model(model_id)
    return (Path(model.artifact_location.removeprefix("file://")) / "requirements.txt").read_text().splitlines()


def test_the_same_command_gives_the_same_bits(command: Command, store: Path) -> None:
    for _ in range(2):
        assert command(*QUICK, "evaluation=cv").code == 0
    client = MlflowClient(f"sqlite:///{store}")
    first, second = client.search_runs([client.get_experiment_by_name("boston-housing").experiment_id])
    assert first.data.metrics["rmse"] == second.data.metrics["rmse"]
    assert first.data.metrics["cv_rmse"] == second.data.metrics["cv_rmse"]


@pytest.mark.slow
def test_it_is_swept_and_the_best_is_stored(command: Command, store: Path) -> None:
    result = command("-m", *QUICK, "model.num_leaves=7,15", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert result.code == 0, result.err
    assert "grid of 2 points: 2 done" in result.out
    mlflow.set_tracking_uri(f"sqlite:///{store}")
    runs = mlflow.search_runs(experiment_names=["boston-housing"], output_format="list")
    (parent,) = (run for run in runs if "sweep.key" in run.data.tags)
    best = mlflow.sklearn.load_model(f"runs:/{parent.info.run_id}/model")
    assert f"num_leaves={best.num_leaves}" in parent.data.tags["best.overrides"]


HOLDER = """
from sklearn.linear_model import Ridge
from elsewhere import Thing

class Holder(Ridge):
    def fit(self, X, y):
        open("fits", "a").write("fit ")
        self.thing_ = Thing()
        return super().fit(X, y)
"""


def test_what_a_stored_model_may_not_hold_is_refused_before_the_training(
    command: Command, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, the fit succeeded, however long it took, and the run then FAILED. Neither a run nor a sweep begins."""
    (tmp_path / "elsewhere.py").write_text("class Thing:\n    pass\n")
    (tmp_path / "holder.py").write_text(HOLDER)
    monkeypatch.syspath_prepend(str(tmp_path))
    own = ("model=ridge", "model._target_=holder.Holder", "trusted_packages=[sklearn,holder]", "figures=none")
    for arguments in ((), ("-m", "model.alpha=1,2")):
        result = command(*arguments, *own)
        assert result.code == 2, result.out
        assert "The model holds types that are not from trusted_packages: elsewhere.Thing" in result.err
        assert "trusted_packages=[sklearn,holder,elsewhere]" in result.err
    assert (tmp_path / "fits").read_text() == "fit fit "  # on a few rows, to find out
    client = MlflowClient(f"sqlite:///{store}")
    experiment = client.get_experiment_by_name("boston-housing")
    assert experiment is None or client.search_runs([experiment.experiment_id]) == []
    assert command(*own, "tracking.log_model=none").code == 0
