"""What is taken from inside of libraries: that nothing is lost by it, and that an upgrade would be noticed."""

from __future__ import annotations

import zipfile
from pathlib import Path

import mlflow
import numpy as np
import pytest
import skops.io
from mlflow import MlflowClient

from boston_exp.tracking.mlflow import compat
from tests.conftest import Command, python
from tests.lifecycle.syncing.foreign import EXPERIMENT, history


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


def test_what_is_read_of_many_runs_at_once_is_what_mlflow_reads_of_each(store: Path) -> None:
    """Tables of MLflow's databases, of which a release may change the columns."""
    ids = history(store)
    client, uri = MlflowClient(f"sqlite:///{store}"), f"sqlite:///{store}"
    place = client.get_experiment_by_name(EXPERIMENT).experiment_id
    found = {row[0]: row for row in compat.listed(uri, [place], "tags.team = 'growth'", ("team", "mlflow.parentRunId"))}
    assert set(found) == {ids[name] for name in ("good", "bad", "open")}
    for run_id, row in found.items():
        run = client.get_run(run_id)
        assert row[1:4] == (place, run.info.status, run.info.end_time)
        assert row[4] == {"team": "growth", "mlflow.parentRunId": ids["search"]}
    for run_id in ids.values():
        asked = [
            each for name in client.get_run(run_id).data.metrics for each in client.get_metric_history(run_id, name)
        ]
        facts = [
            sorted((m.key, str(m.value), m.timestamp, m.step) for m in some)
            for some in (asked, compat.metrics_of(uri, run_id))
        ]
        assert facts[0] == facts[1]
    good = client.get_run(ids["good"])
    models = [client.get_logged_model(output.model_id) for output in good.outputs.model_outputs]
    expected = {(ids["good"], good.info.artifact_uri), *((each.model_id, each.artifact_location) for each in models)}
    assert set(compat.locations(uri, [ids["good"]])) == expected


def test_a_fingerprint_is_found_wherever_it_was_written(store: Path, empty_store: Path, tmp_path: Path) -> None:
    """By whoever: read on from the last one seen, and what is deleted in between keeps nothing from being seen."""
    client = MlflowClient(f"sqlite:///{store}")
    place = client.create_experiment("x")
    assert not compat.may_have(store, "a")
    first = client.create_run(place, tags={"fingerprint": "a", "beat": "1"}).info.run_id
    assert compat.may_have(store, "a")
    client.delete_tag(first, "beat")
    for name in "bcd":
        assert not compat.may_have(store, name)
        client.create_run(place, tags={"fingerprint": name})
        assert compat.may_have(store, name)
    assert compat.may_have(store, "a")
