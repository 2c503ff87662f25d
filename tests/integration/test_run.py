"""The main job, as its user sees it and as MLflow gives it back."""

from __future__ import annotations

import json
import platform
from importlib import metadata
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from PIL import Image

from boston_exp.config.schema import Evaluation
from boston_exp.config.settings import PROJECT_ROOT
from boston_exp.experiment.metrics import METRICS as SCORED
from boston_exp.experiment.metrics import names
from tests.conftest import Command

METRICS = [metric.name for metric in SCORED]


def only_run(store: Path, experiment: str = "boston-housing") -> Run:
    client = MlflowClient(f"sqlite:///{store}")
    found = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    assert len(found) == 1
    return found[0]


def artifact(run: Run, name: str) -> Path:
    return Path(run.info.artifact_uri.removeprefix("file://")) / name


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], (0.877190, 3.001020, 2.069830, 11.220387)),
        (["model.max_depth=15"], (0.876859, 3.005067, 2.073376, 11.238702)),
        (["model.n_estimators=200", "model.max_depth=15"], (0.866639, 3.127273, 2.088269, 11.331446)),
    ],
)
def test_the_published_figures_are_reproduced(
    command: Command, store: Path, overrides: list[str], expected: tuple[float, ...]
) -> None:
    """Figures published with the data set; they are given to six places."""
    if len(overrides) == 2:
        overrides = [*overrides, "model.min_samples_split=5"]
    assert command(*overrides, "figures=none").code == 0
    measured = only_run(store).data.metrics
    assert [measured[name] for name in METRICS] == pytest.approx(expected, abs=5e-7)


def test_the_default_run_is_scikit_learns_own_result_to_1e_9(command: Command, store: Path) -> None:
    """A plain script with scikit-learn's metrics is the judge."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.metrics import (
        mean_absolute_error,
        mean_absolute_percentage_error,
        r2_score,
        root_mean_squared_error,
    )
    from sklearn.model_selection import train_test_split

    table = pd.read_csv(PROJECT_ROOT / "data/raw/housing.csv", sep=r"\s+", header=None).to_numpy()
    X, X_test, y, y_test = train_test_split(table[:, :-1], table[:, -1], test_size=0.2, random_state=42)
    forest = RandomForestRegressor(100, max_depth=10, min_samples_split=5, min_samples_leaf=2, random_state=42)
    predicted = forest.fit(X, y).predict(X_test)
    expected = {
        "r2_score": r2_score(y_test, predicted),
        "rmse": root_mean_squared_error(y_test, predicted),
        "mae": mean_absolute_error(y_test, predicted),
        "mape": 100 * mean_absolute_percentage_error(y_test, predicted),
    }
    assert command("figures=none").code == 0
    measured = only_run(store).data.metrics
    assert {name: measured[name] for name in METRICS} == pytest.approx(expected, abs=1e-9, rel=0)


def test_the_same_command_gives_the_same_bits(command: Command, store: Path) -> None:
    for _ in range(2):
        assert command("experiment=quick_test", "evaluation=cv", "figures=none").code == 0
    client = MlflowClient(f"sqlite:///{store}")
    first, second = client.search_runs([client.get_experiment_by_name("boston-housing").experiment_id])
    clocks = {"fit_seconds", "predict_seconds"}
    assert {name: value for name, value in first.data.metrics.items() if name not in clocks} == {
        name: value for name, value in second.data.metrics.items() if name not in clocks
    }
    assert first.data.tags["fingerprint"] == second.data.tags["fingerprint"]
    assert artifact(first, "predictions.csv").read_bytes() == artifact(second, "predictions.csv").read_bytes()


def test_a_run_records_everything_that_the_contract_names(command: Command, store: Path) -> None:
    result = command("experiment=quick_test", "evaluation=cv", "evaluation.n_splits=3")
    assert result.code == 0, result.err
    run = only_run(store)
    assert run.info.status == "FINISHED"
    params = run.data.params
    assert params["model.max_depth"] == "5"
    assert params["model.random_state"] == params["seed"] == "42"
    assert params["data.test_size"] == "0.2"
    assert params["evaluation.n_splits"] == "3"
    assert [params[f"data.{name}"] for name in ("n_samples", "n_features", "n_train", "n_test")] == [
        "506", "13", "404", "102",
    ]  # fmt: skip
    assert set(run.data.metrics) == set(names(Evaluation(n_splits=3)))
    for name in METRICS:
        assert run.data.metrics[f"{name}_ci_low"] < run.data.metrics[name] < run.data.metrics[f"{name}_ci_high"]
    tags = run.data.tags
    assert tags["model_type"] == "RandomForestRegressor"
    assert tags["framework"] == "scikit-learn"
    assert tags["dataset"] == "boston"
    assert tags["data.md5"] == "3612cdb00d81977bf402e334f47be860"
    assert len(tags["mlflow.source.git.commit"]) == 40
    assert tags["git.dirty"] in ("true", "false")
    assert len(tags["fingerprint"]) == 32
    (dataset,) = (each.dataset for each in run.inputs.dataset_inputs)
    assert (dataset.name, dataset.digest) == ("boston", "3612cdb00d81977bf402e334f47be860")
    assert json.loads(dataset.profile)["num_rows"] == 506

    importance = pd.read_csv(artifact(run, "feature_importance.csv"))
    assert importance.feature[0] == "RM"
    predictions = pd.read_csv(artifact(run, "predictions.csv"))
    assert len(predictions) == 102
    assert np.sqrt((predictions.residual**2).mean()) == pytest.approx(run.data.metrics["rmse"])
    assert "max_depth: 5" in artifact(run, "config/config.yaml").read_text()
    assert "- experiment=quick_test" in artifact(run, "config/overrides.yaml").read_text()
    environment = artifact(run, "environment/requirements.txt").read_text()
    assert f"scikit-learn=={metadata.version('scikit-learn')}\n" in environment
    assert platform.python_version() in environment
    assert artifact(run, "git/diff.patch").exists() == (tags["git.dirty"] == "true")
    for name in ("predictions", "feature_importance"):
        with Image.open(artifact(run, f"figures/{name}.png")) as picture:
            assert picture.width > 500
            assert len(picture.convert("RGB").getcolors(100_000)) > 10  # not an empty sheet


def test_the_model_comes_back_by_both_doors_and_is_safe_to_load(command: Command, store: Path) -> None:
    """skops, its types named; nothing is unpickled."""
    assert command("experiment=quick_test", "figures=none").code == 0
    run = only_run(store)
    mlflow.set_tracking_uri(f"sqlite:///{store}")
    uri = f"runs:/{run.info.run_id}/model"
    model, general = mlflow.sklearn.load_model(uri), mlflow.pyfunc.load_model(uri)
    assert general.metadata.flavors["sklearn"]["serialization_format"] == "skops"
    assert general.metadata.flavors["sklearn"]["skops_trusted_types"] == ["sklearn.tree._tree.Tree"]
    assert general.metadata.signature.inputs.input_names()[:3] == ["CRIM", "ZN", "INDUS"]
    table = pd.read_csv(PROJECT_ROOT / "data/raw/housing.csv", sep=r"\s+", header=None)
    table.columns = [*general.metadata.signature.inputs.input_names(), "MEDV"]
    X = table.drop(columns="MEDV").astype(float)
    recorded = pd.read_csv(artifact(run, "predictions.csv"))
    for predicted in (model.predict(X), general.predict(X)):
        assert predicted[recorded.row] == pytest.approx(recorded.predicted, abs=1e-12)
    assert len(general.input_example) == 5
    (output,) = run.outputs.model_outputs
    assert mlflow.get_logged_model(output.model_id).status == "READY"
    assert mlflow.get_logged_model(output.model_id).metrics[0].key in run.data.metrics


def test_log_model_none_stores_no_model(command: Command, store: Path) -> None:
    assert command("experiment=quick_test", "figures=none", "tracking.log_model=none").code == 0
    assert not only_run(store).outputs.model_outputs


@pytest.mark.parametrize(
    "model",
    ["extra_trees", "gradient_boosting", "hist_gradient_boosting", "ridge", "elastic_net", "svr", "knn", "dummy"],
)
@pytest.mark.parametrize("preprocess", ["none", "standard", "tabular"])
def test_every_model_is_recorded_with_every_preprocess(
    command: Command, store: Path, model: str, preprocess: str
) -> None:
    """Each kind brings other types into the stored model; each has to load again."""
    result = command(f"model={model}", f"preprocess={preprocess}", "figures=none")
    assert result.code == 0, result.err
    run = only_run(store)
    mlflow.set_tracking_uri(f"sqlite:///{store}")
    loaded = mlflow.sklearn.load_model(f"runs:/{run.info.run_id}/model")
    assert loaded.n_features_in_ == 13
    importance = pd.read_csv(artifact(run, "feature_importance.csv"))
    assert len(importance) == 13


def test_the_summary_says_what_how_good_where_and_what_next(command: Command, store: Path) -> None:
    result = command("model.max_depth=15", "figures=none")
    assert "random_forest max_depth=15 on boston: 404 rows to train on, 102 held out" in result.out
    assert "3.005" in result.out
    assert "2.172 to 3.940" in result.out
    assert only_run(store).info.run_id in result.out
    assert "ui --backend-store-uri sqlite:///mlflow.db" in result.out
    assert result.err == ""


def test_tracking_none_trains_and_records_nothing(command: Command, store: Path) -> None:
    before = store.read_bytes()
    result = command("experiment=quick_test", "tracking=none", "figures=none")
    assert result.code == 0
    assert "nowhere (tracking=none)" in result.out
    assert store.read_bytes() == before


def test_the_table_of_anybody_is_learnt_from(command: Command, store: Path, tmp_path: Path) -> None:
    """Numbers, text and gaps, in a file where the user stands."""
    rng = np.random.default_rng(0)
    size, town = rng.uniform(30, 200, 80), rng.choice(["Ulm", "Bonn"], 80)
    table = pd.DataFrame({"size": size, "town": town, "price": 3 * size + 50 * (town == "Ulm")})
    table.loc[::9, "size"] = np.nan
    table.loc[::11, "town"] = np.nan
    table.to_csv(tmp_path / "my.csv", index=False)
    result = command(
        "data=csv", "data.path=my.csv", "data.target=price", "preprocess=tabular", "figures=none", "model=ridge"
    )
    assert result.code == 0, result.err
    run = only_run(store, "my")
    assert run.data.metrics["r2_score"] > 0.5
    assert run.data.params["data.n_features"] == "2"
    mlflow.set_tracking_uri(f"sqlite:///{store}")
    general = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    asked = pd.DataFrame({"size": [100.0, np.nan], "town": ["Ulm", "Mainz"]})
    assert np.isfinite(general.predict(asked)).all()


def test_a_changed_file_is_used_only_when_allowed_and_is_tagged(command: Command, store: Path, tmp_path: Path) -> None:
    table = (PROJECT_ROOT / "data/raw/housing.csv").read_text()
    (tmp_path / "housing.csv").write_text(table + table.splitlines()[0] + "\n")
    (tmp_path / "housing.csv.dvc").write_text((PROJECT_ROOT / "data/raw/housing.csv.dvc").read_text())
    refused = command("data.path=housing.csv", "figures=none")
    assert refused.code == 2
    assert "is not the file that housing.csv.dvc records" in refused.err
    assert "data.allow_changed=true" in refused.err
    allowed = command("data.path=housing.csv", "data.allow_changed=true", "figures=none")
    assert allowed.code == 0
    assert "changed: not the file that its .dvc records" in allowed.out
    assert only_run(store).data.tags["data.changed"] == "true"


def test_column_b_can_be_left_out(command: Command, store: Path) -> None:
    assert command("experiment=quick_test", "data.drop=[B]", "figures=none").code == 0
    assert only_run(store).data.params["data.n_features"] == "12"


def test_cross_validation_leaves_the_held_out_score_alone_and_never_sees_those_rows(
    command: Command, store: Path, tmp_path: Path
) -> None:
    """Selection by cv_ metrics is honest only if garbage in the held-out rows cannot change them."""
    from boston_exp.experiment.evaluation import evaluate
    from boston_exp.experiment.split import Split

    rng = np.random.default_rng(1)
    X = pd.DataFrame(rng.normal(size=(60, 3)), columns=list("abc"))
    y = pd.Series(X.a * 2 + rng.normal(size=60))
    from sklearn.linear_model import Ridge

    def scores(garbage: float) -> dict[str, float]:
        rows = Split(X[:40], X[40:] + garbage, y[:40], y[40:] - garbage, n_splits=4)
        return evaluate(Ridge(), rows, seed=0, n_resamples=100).metrics

    clean, spoilt = scores(0), scores(1000)
    assert clean["rmse"] != spoilt["rmse"]
    assert {name: clean[name] for name in clean if name.startswith("cv_")} == {
        name: spoilt[name] for name in spoilt if name.startswith("cv_")
    }


def test_environment_variables_decide_unless_overridden(
    command: Command, tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As MLflow's users expect; a typed override is more explicit still."""
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "elsewhere")
    result = command("experiment=quick_test", "figures=none", "tracking.log_model=none")
    assert "experiment elsewhere" in result.out
    assert only_run(tmp_path / "mlflow.db", "elsewhere").info.status == "FINISHED"
    result = command(
        "experiment=quick_test", "figures=none", "tracking.log_model=none", "tracking.experiment_name=mine"
    )
    assert "experiment mine" in result.out


def test_train_gives_the_metrics_that_the_objective_is_taken_from(tmp_path: Path) -> None:
    from hydra import compose, initialize_config_dir

    from boston_exp.config.parsing import parse
    from boston_exp.config.schema import CONF
    from boston_exp.config.settings import Typed
    from boston_exp.tracking.destination import Destination
    from boston_exp.training.job import Job
    from boston_exp.training.train import Experiment, train

    with initialize_config_dir(str(CONF)):
        cfg = compose("config", ["experiment=quick_test", "tracking=none", "figures=none", "objective.metric=mae"])
    nowhere = Destination("none", "", "", None, "")
    trained = train(Experiment(cfg, Typed(), parse(cfg, Typed()), nowhere, "x"), Job(tmp_path))
    assert trained.metrics["mae"] == pytest.approx(2.2, abs=0.3)


def test_another_kind_of_the_same_estimator_is_stored_too(command: Command, store: Path) -> None:
    """KNeighborsRegressor holds a tree or none, depending on its data: other types under one name."""
    for neighbours in (250, 5):
        result = command("model=knn", f"model.n_neighbors={neighbours}", "figures=none")
        assert result.code == 0, result.err


OWN = """
from sklearn.base import BaseEstimator, RegressorMixin

class Mean(RegressorMixin, BaseEstimator):
    def fit(self, X, y):
        self.mean_ = float(y.mean())
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X):
        import numpy
        return numpy.full(len(X), self.mean_)
"""


def test_an_estimator_of_the_users_own_is_trained_and_taken_along(
    command: Command, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_mean.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    own = ("~model", "+model={_target_: own_mean.Mean}", "trusted_packages=[sklearn,own_mean]", "figures=none")
    result = command(*own)
    assert result.code == 0, result.err
    run = only_run(store)
    assert run.data.tags["framework"] == "own_mean"
    (output,) = run.outputs.model_outputs
    model = mlflow.MlflowClient(f"sqlite:///{store}").get_logged_model(output.model_id)
    assert (Path(model.artifact_location.removeprefix("file://")) / "code" / "own_mean.py").exists()


def test_an_open_random_state_gets_the_seed(command: Command, store: Path) -> None:
    """The same fingerprint means the same result, whatever the estimator."""
    network = (
        "model=dummy",
        "~model.strategy",
        "model._target_=sklearn.neural_network.MLPRegressor",
        "+model.max_iter=5",
    )
    for _ in range(2):
        assert command(*network, "figures=none").code == 0
    client = MlflowClient(f"sqlite:///{store}")
    first, second = client.search_runs([client.get_experiment_by_name("boston-housing").experiment_id])
    assert first.data.metrics["rmse"] == second.data.metrics["rmse"]


def test_semicolons_decimal_commas_and_another_encoding(command: Command, store: Path, tmp_path: Path) -> None:
    rows = "".join(f"{n},5;M\xfcnchen;{2 * n},0\n" for n in range(40))
    (tmp_path / "my.csv").write_bytes(("gr\xf6\xdfe;ort;preis\n" + rows).encode("latin-1"))
    result = command(
        "data=csv", "data.path=my.csv", "data.target=preis", 'data.sep=";"', 'data.decimal=","',
        "data.encoding=latin-1", "preprocess=tabular", "model=ridge", "figures=none",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert only_run(store, "my").data.metrics["r2_score"] > 0.99


def test_a_moved_project_is_told_where_its_artifacts_belong(command: Command, tmp_path: Path, store: Path) -> None:
    quick = ("experiment=quick_test", "figures=none")
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    (old / "m.db").write_bytes(store.read_bytes())
    assert command(*quick, f"tracking.uri=sqlite:///{old}/m.db").code == 0
    old.rename(new)
    result = command(*quick, f"tracking.uri=sqlite:///{new}/m.db")
    assert result.code == 2
    assert f"mv {new}/mlartifacts {old}/mlartifacts" in result.err
    assert not old.exists()
