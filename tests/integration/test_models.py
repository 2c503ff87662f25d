"""A model is one YAML, whoever's it is: trained, swept, loaded back, predicted with; nothing else has to change."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from boston_exp.reporting.labels import importance_label
from boston_exp.tracking.mlflow.models import load
from tests.conftest import ROOT, Command

# Fewer trees than the YAML has; a stacking takes no shorter form, its parts are a list.
SMALL = {
    "lightgbm": "model.n_estimators=20",
    "xgboost": "model.n_estimators=20",
    "catboost": "model.iterations=20",
    "quantile_forest": "model.n_estimators=10",
    "stacking": "model.cv=2",
    "log_target": "model.regressor.n_estimators=10",
}
DISTRIBUTIONS = {"xgboost": ("xgboost", "xgboost-cpu"), "quantile_forest": ("quantile-forest",)}
SHUFFLED = "increase of the held-out RMSE when the feature is shuffled"
LABELS = {
    "lightgbm": "number of splits on the feature",
    "xgboost": "share of the mean gain of a split on the feature",
    "catboost": "share of the change of the prediction when the feature changes (%)",
    "quantile_forest": "share of the variance reduced by splits on the feature",
    "stacking": SHUFFLED,
    "log_target": SHUFFLED,
}
EXTRAS = {"lightgbm": "lightgbm", "xgboost": "boosting", "catboost": "boosting", "quantile_forest": "quantile"}
every_model = pytest.mark.parametrize("model", SMALL)


def small(model: str) -> tuple[str, str, str]:
    if model in EXTRAS:
        pytest.importorskip(model)
    return f"model={model}", SMALL[model], "figures=none"


def recorded(store: Path, experiment: str = "boston-housing") -> list[Run]:
    client = MlflowClient(f"sqlite:///{store}")
    return list(client.search_runs([client.get_experiment_by_name(experiment).experiment_id]))


@every_model
def test_it_is_trained_and_comes_back_by_both_loaders(
    model: str, command: Command, store: Path, tmp_path: Path
) -> None:
    """Ours, which trusts what it is told, and MLflow's; both predict what the run has recorded."""
    result = command(*small(model), "data=diabetes")
    assert result.code == 0, result.err
    (run,) = recorded(store)
    package = model if model in EXTRAS else "sklearn"
    assert run.data.tags["framework"] == ("scikit-learn" if package == "sklearn" else package)
    trusted = ["sklearn", "skrub", *([package] if package != "sklearn" else [])]
    assert json.loads(run.data.params["trusted_packages"]) == trusted

    mlflow.set_tracking_uri(f"sqlite:///{store}")
    uri = f"runs:/{run.info.run_id}/model"
    ours, general = load(uri, tuple(trusted)), mlflow.pyfunc.load_model(uri)
    table = run_table(run)
    for predicted in (ours.predict(table), general.predict(table)):
        assert predicted == pytest.approx(predictions(run).predicted.to_numpy(), rel=1e-12)
    assert importance_label(ours, "") == LABELS[model]
    required = {line.partition("==")[0] for line in requirements(run)}
    assert package == "sklearn" or required & set(DISTRIBUTIONS.get(package, (package,)))
    assert "skrub" not in required
    written = {path.name for path in tmp_path.iterdir()}
    assert written <= {
        "outputs",
        "mlartifacts",
        *(name for name in written if name.startswith((store.name, f".{store.name}"))),
    }


def run_table(run: Run) -> pd.DataFrame:
    """The held-out rows of the diabetes table, as the run has recorded which they are."""
    from sklearn.datasets import load_diabetes

    return load_diabetes(as_frame=True, return_X_y=True)[0].loc[predictions(run).row]


def predictions(run: Run) -> pd.DataFrame:
    return pd.read_csv(f"{run.info.artifact_uri.removeprefix('file://')}/predictions.csv")


def requirements(run: Run) -> list[str]:
    model = mlflow.get_logged_model(run.outputs.model_outputs[0].model_id)
    return (Path(model.artifact_location.removeprefix("file://")) / "requirements.txt").read_text().splitlines()


@every_model
def test_the_same_command_gives_the_same_bits_and_predicts_with_intervals(
    model: str, command: Command, store: Path, tmp_path: Path
) -> None:
    """Random states are the seed, and no sum depends on the number of threads."""
    for _ in range(2):
        result = command(*small(model), "evaluation=cv", "evaluation.n_splits=2")
        assert result.code == 0, result.err
    first, second = recorded(store)
    timed = {name for name in first.data.metrics if name.endswith("_seconds")}
    untimed = [{name: run.data.metrics[name] for name in run.data.metrics.keys() - timed} for run in (first, second)]
    assert untimed[0] == untimed[1]
    assert {"rmse", "cv_rmse"} <= untimed[0].keys()

    typed = ["from_model=runs:/" + first.info.run_id + "/model", f"input={ROOT}/data/raw/housing.csv", "data=boston"]
    out = tmp_path / "out.csv"
    trust = [f"trusted_packages=[sklearn,skrub,{model}]"] if model in EXTRAS else []
    if trust:
        refused = command(*typed, f"output={out}", program="predict")
        assert refused.code == 2
        assert trust[0] in refused.err.replace("'", "")
    predicted = command(*typed, f"output={out}", *trust, program="predict")
    assert predicted.code == 0, predicted.err
    table = pd.read_csv(out)
    assert len(table) == 506
    assert (table.low < table.prediction).all()
    assert (table.prediction < table.high).all()


@pytest.mark.slow
def test_one_of_another_package_is_swept_and_the_best_is_stored(command: Command, store: Path) -> None:
    two = ("model.num_leaves=7,15", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    result = command("-m", *small("lightgbm"), *two)
    assert result.code == 0, result.err
    assert "grid of 2 points: 2 done" in result.out
    mlflow.set_tracking_uri(f"sqlite:///{store}")
    (parent,) = (run for run in recorded(store) if "sweep.key" in run.data.tags)
    best = mlflow.sklearn.load_model(f"runs:/{parent.info.run_id}/model")
    assert f"num_leaves={best.num_leaves}" in parent.data.tags["best.overrides"]


@pytest.mark.parametrize(("model", "extra"), EXTRAS.items())
def test_a_package_that_is_missing_is_installed_by_its_extra(
    model: str, extra: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`pip install xgboost` would bring 300 MB of CUDA's libraries."""
    monkeypatch.setitem(sys.modules, model, None)  # what Python has for one that cannot be imported
    result = command(f"model={model}")
    assert result.code == 2
    assert f"-m pip install -e '.[{extra}]'" in result.err


def with_losses(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 200))
    table = pd.DataFrame({"a": a, "b": b, "profit": 20 * a + b, "households": rng.integers(1, 9, 200)})
    table.to_csv(folder / "profit.csv", index=False)
    return folder / "profit.csv"


def test_a_target_that_has_no_logarithm_is_refused_with_one_that_it_has(command: Command, tmp_path: Path) -> None:
    """Before, a warning of NumPy's and a traceback. The command that the message gives is trained."""
    typed = ("data=csv", f"data.path={with_losses(tmp_path)}", "data.target=profit", *small("log_target"))
    result = command(*typed)
    assert result.code == 2
    assert "The target profit has 94 values whose log1p is no number, such as " in result.err
    assert "RuntimeWarning" not in result.err
    mend = ("model.func._target_=numpy.arcsinh", "model.inverse_func._target_=numpy.sinh")
    assert " ".join(mend) in result.err
    assert command(*typed, *mend).code == 0


def test_gaps_reach_the_regressor_of_a_logged_target(command: Command, tmp_path: Path) -> None:
    """A forest takes them, and whoever transforms the target does not look."""
    table = pd.read_csv(with_losses(tmp_path)).assign(profit=lambda table: table.profit.abs())
    table.assign(b=table.b.where(table.b < 1)).to_csv(tmp_path / "profit.csv", index=False)
    typed = ("data=csv", f"data.path={tmp_path}/profit.csv", "data.target=profit")
    assert command(*typed, *small("log_target")).code == 0


@pytest.mark.parametrize("model", ["stacking", "quantile_forest", "catboost", "xgboost", "lightgbm"])
def test_gaps_are_taken_or_refused_before_the_training(model: str, command: Command, tmp_path: Path) -> None:
    """quantile-forest's tags say that it takes them, and its `predict` does not."""
    table = pd.read_csv(with_losses(tmp_path))
    table.assign(b=table.b.where(table.b < 1)).to_csv(tmp_path / "profit.csv", index=False)
    typed = ("data=csv", f"data.path={tmp_path}/profit.csv", "data.target=profit", "tracking=none")
    result = command(*typed, *small(model))
    if model in ("stacking", "quantile_forest"):
        assert result.code == 2
        assert "Gaps, which " in result.err
        assert command(*typed, *small(model), "preprocess=tabular").code == 0
    else:
        assert result.code == 0, result.err


def test_weights_reach_the_regressor_of_a_logged_target(command: Command, store: Path, tmp_path: Path) -> None:
    """A stacking has a pipeline inside, which takes none: that is refused."""
    table = pd.read_csv(with_losses(tmp_path)).assign(profit=lambda table: table.profit.abs())
    table.to_csv(tmp_path / "profit.csv", index=False)
    typed = ("data=csv", f"data.path={tmp_path}/profit.csv", "data.target=profit")
    for weight in ((), ("data.weight=households",), ("data.drop=[households]",)):
        assert command(*typed, *small("log_target"), *weight).code == 0
    trained = [run.data.metrics["train_mae"] for run in recorded(store, "profit")]
    assert len(set(trained)) == 3
    result = command(*typed, *small("stacking"), "data.weight=households")
    assert result.code == 2
    assert "StackingRegressor takes no weights" in result.err


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
