"""What is left out when a model is stored, and that nothing is lost by it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import mlflow
import numpy as np
import pytest
import skops.io

from tests.conftest import Command, python


def test_a_stored_forest_has_a_compact_schema_that_skops_alone_can_read(command: Command, store: Path) -> None:
    assert command("experiment=quick_test", "model=random_forest", "model.n_estimators=3", "figures=none").code == 0
    (file,) = (store.parent / "mlartifacts").rglob("models/*/artifacts/model.skops")
    with zipfile.ZipFile(file) as stored:
        assert b"\n" not in stored.read("schema.json")
    shown = python("-c", f"import skops.io; print(skops.io.get_untrusted_types(file={str(file)!r}))", cwd=store.parent)
    assert "sklearn.tree._tree.Tree" in shown.out
    forest = skops.io.load(file, trusted=["sklearn.tree._tree.Tree"])
    mlflow.set_tracking_uri(f"sqlite:///{store}")
    (run,) = mlflow.search_runs(experiment_names=["boston-housing"], output_format="list")
    loaded = mlflow.sklearn.load_model(f"models:/{run.outputs.model_outputs[0].model_id}")
    rows = np.random.default_rng(0).normal(size=(5, 13))
    assert (forest.predict(rows) == loaded.predict(rows)).all()


@pytest.mark.slow
def test_storing_a_model_does_not_look_through_all_installed_packages(tmp_path: Path) -> None:
    """The requirements come from this environment; MLflow's look whether it meets them would take 0.2 s."""
    script = (
        "import mlflow.sklearn\n"
        "from boston_exp.tracking.mlflow import compat\n"
        "compat.leave_out_slow_steps()\n"
        "from sklearn.dummy import DummyRegressor\n"
        "model = DummyRegressor().fit([[0.0]], [0.0])\n"
        "how = {'pip_requirements': ['mlflow'], 'serialization_format': 'skops'}\n"
        "mlflow.sklearn.save_model(model, 'model', **how)\n"
        "from mlflow.utils import requirements_utils\n"
        "print(requirements_utils._MODULES_TO_PACKAGES)\n"
    )
    shown = python("-c", script, cwd=tmp_path)
    assert shown.out.strip() == "None", shown.err
