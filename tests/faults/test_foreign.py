"""Code and paths from elsewhere are data: one test for each way in that a hostile review found (docs/security.md)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
import skrub.datasets
from mlflow import MlflowClient

from boston_exp import process
from boston_exp.config.schema import Config, Data, Storage
from boston_exp.config.settings import Typed
from boston_exp.errors import InvalidConfig, InvalidData
from boston_exp.experiment import models
from boston_exp.storage import dvc_remote, s3
from boston_exp.tracking.destination import foreign_place
from boston_exp.training.fingerprint import fingerprint
from tests import services
from tests.conftest import Command
from tests.services import Service

MD5 = "3612cdb00d81977bf402e334f47be860"


def built(node: dict, trusted: list[str] | None = None) -> object:
    return models.build(
        Config(model=node, data=Data(name="x", target="y"), trusted_packages=trusted or ["sklearn", "skrub"])
    )


# -- 5: targets


@pytest.mark.parametrize(
    "target",
    [
        "sklearn.utils._testing.assert_run_python_script_without_output",
        "sklearn.datasets.clear_data_home",
        "sklearn.datasets.fetch_openml",
        "sklearn.utils.Bunch",
        "sklearn.pipeline.make_pipeline",
        "skrub.datasets.fetch_employee_salaries",
        "skrub.tabular_pipeline",
        "skrub.deferred",
        "skrub.TableReport",
        "numpy.load",
    ],
)
def test_what_is_no_estimator_is_not_called(
    target: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    for module, name in (
        (sklearn.datasets, "clear_data_home"),
        (sklearn.datasets, "fetch_openml"),
        (skrub.datasets, "fetch_employee_salaries"),
        (skrub, "deferred"),
    ):
        monkeypatch.setattr(module, name, lambda *a, **k: called.append("called"))
    result = command("model=ridge", f"++model.random_state={{_target_: {target}, data_home: {tmp_path}}}")
    assert result.code == 2
    assert called == []
    assert "Traceback" not in result.err


def test_every_part_of_an_estimator_can_be_given() -> None:
    """Estimators, transformers, kernels, splitters, selectors, and a ufunc of the list."""
    kernel = {"_target_": "sklearn.gaussian_process.kernels.RBF", "length_scale": 2.0}
    gp = built({"_target_": "sklearn.gaussian_process.GaussianProcessRegressor", "kernel": kernel})
    assert gp.kernel.length_scale == 2.0  # type: ignore[attr-defined]
    folds = {"_target_": "sklearn.model_selection.RepeatedKFold", "n_splits": 3}
    assert built({"_target_": "sklearn.linear_model.RidgeCV", "cv": folds}).cv.get_n_splits() == 30  # type: ignore[attr-defined]
    logged = {
        "_target_": "sklearn.compose.TransformedTargetRegressor",
        "regressor": {"_target_": "sklearn.linear_model.Ridge"},
        "func": {"_target_": "numpy.log1p"},
        "inverse_func": {"_target_": "numpy.expm1", "_partial_": True},
    }
    assert built(logged).func is np.log1p  # type: ignore[attr-defined]


def test_a_target_of_a_logged_scale_is_trained_and_stored(command: Command, store: Path) -> None:
    logged = (
        "+model={_target_: sklearn.compose.TransformedTargetRegressor, "
        "regressor: {_target_: sklearn.linear_model.Ridge},"
        " func: {_target_: numpy.log1p}, inverse_func: {_target_: numpy.expm1}}"
    )
    result = command("~model", logged, "figures=none")
    assert result.code == 0, result.err


def test_a_loader_is_one_of_load_unless_its_package_is_trusted(command: Command) -> None:
    result = command("data=diabetes", "data.loader=sklearn.datasets.fetch_california_housing")
    assert result.code == 2
    assert "is not one of sklearn.datasets.load_*" in result.err


def test_a_folder_of_pickles_is_not_read(command: Command, tmp_path: Path) -> None:
    result = command("preprocess=tabular", f"+preprocess.transformers.0.1.memory={tmp_path}")
    assert result.code == 2
    assert "would load pickles from that folder" in result.err


def test_nor_is_one_that_a_nested_parameter_names(command: Command, tmp_path: Path) -> None:
    search = "model._target_=sklearn.model_selection.GridSearchCV"
    result = command("model=ridge", "~model.alpha", search, f"+model.param_grid={{p__memory: [{tmp_path}]}}")
    assert result.code == 2
    assert "would load pickles from that folder" in result.err


def test_a_selector_is_given_its_score_as_it_is() -> None:
    from sklearn.feature_selection import f_regression

    score = {"_target_": "sklearn.feature_selection.f_regression", "_partial_": True}
    selector = {"_target_": "sklearn.feature_selection.SelectKBest", "score_func": score, "k": 3}
    steps = [["select", selector], ["fit", {"_target_": "sklearn.linear_model.Ridge"}]]
    made = built({"_target_": "sklearn.pipeline.Pipeline", "steps": steps})
    assert made.named_steps["select"].score_func is f_regression  # type: ignore[attr-defined]


def test_a_package_that_is_named_and_not_used_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "never_used.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    config = Config(
        model={"_target_": "sklearn.linear_model.Ridge"},
        data=Data(name="x", target="y"),
        trusted_packages=["sklearn", "never_used"],
    )
    fingerprint(config, "md5")
    models.build(config)
    assert "never_used" not in sys.modules


# -- 6: paths


@pytest.mark.parametrize(
    "text",
    [
        f"outs:\n- md5: {MD5}\n  path: ../../conf/config.yaml\n",
        f"wdir: ../../conf\nouts:\n- md5: {MD5}\n  path: own.csv\n",
        f"outs:\n- {{md5: {MD5}, path: own.csv}}\n- {{md5: {MD5}, path: b}}\n",
        "outs:\n- {md5: ../../x, path: own.csv}\n",
        f"deps:\n- {{path: a, repo: {{url: https://example.org/x}}}}\nouts:\n- {{md5: {MD5}, path: own.csv}}\n",
    ],
)
def test_a_dvc_file_writes_the_file_beside_it_and_nothing_else(text: str, clone: Path) -> None:
    pointer = clone / "data" / "raw" / "own.csv.dvc"
    pointer.write_text(text)
    before = (clone / "conf" / "config.yaml").read_bytes()
    with pytest.raises(InvalidData, match=r"own\.csv\.dvc is not"):
        dvc_remote.fetch_if_missing(clone / "data" / "raw" / "own.csv", Storage("embedded"), Typed())
    assert (clone / "conf" / "config.yaml").read_bytes() == before


@pytest.mark.parametrize("name", ["../../escaped", "team/x", "..", ".hidden", "a b", "größe"])
def test_an_experiment_of_any_name_keeps_its_artifacts_beside_the_others(
    name: str, command: Command, tmp_path: Path
) -> None:
    for _ in range(2):
        result = command("model=ridge", "figures=none", f"tracking.experiment_name='{name}'")
        assert result.code == 0, result.err
    (folder,) = (tmp_path / "mlartifacts").iterdir()
    assert len([entry for entry in folder.iterdir() if entry.name != "models"]) == 2
    assert not list(tmp_path.parent.glob("escaped*"))


def test_a_server_elsewhere_does_not_have_files_written_on_this_machine(
    command: Command, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is one machine here, so what is replaced is that its address is known to be this machine's."""
    chosen = tmp_path / "chosen"
    options = f"--no-serve-artifacts --default-artifact-root file://{chosen}"
    (tmp_path / "server").mkdir()
    with services.mlflow_server(tmp_path / "server", "http://127.0.0.1:9", MLFLOW_SERVER_OPTIONS=options) as server:
        place = (f"tracking.uri={server.url}", f"tracking.local_uri=sqlite:///{store}")
        monkeypatch.setattr(s3, "is_here", lambda address: False)
        result = command("model=ridge", "figures=none", *place)
        assert result.code == 2
        assert f"it has artifacts written to file://{chosen}" in result.err
        assert "--artifacts-destination" in result.err
        assert not chosen.exists()
        monkeypatch.undo()
        monkeypatch.chdir(tmp_path)
        assert foreign_place(f"file://{chosen}", server.url) is None  # of this very machine, that is its right


@pytest.mark.parametrize(
    "address", ["http://127.evil.test", "http://localhost.evil.test", "http://127.0.0.1.evil.test"]
)
def test_a_name_that_looks_like_this_machine_is_not(address: str) -> None:
    assert not s3.is_here(address)
    assert s3.is_here("http://127.0.0.2:1")


def test_an_address_that_two_programs_would_read_in_two_ways_is_none(
    command: Command, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", r"http://127.0.0.1:18999\@127.0.0.1:5000")
    monkeypatch.setenv("WHERE", r"http://127.0.0.1:18999\@127.0.0.1:5000")
    result = command("tracking.uri=${oc.env:WHERE}", f"tracking.local_uri=sqlite:///{store}")
    assert result.code == 2
    assert "is not an address" in result.err


def test_what_lies_beside_a_module_does_not_go_into_the_model(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "ownpkg"
    package.mkdir()
    (package / "__init__.py").write_text("from sklearn.linear_model import Ridge\nclass Mine(Ridge): pass\n")
    (package / ".env").write_text("A=hush")
    (package / "credentials.json").write_text("hush")
    (package / "link.py").symlink_to("/etc/hostname")
    monkeypatch.syspath_prepend(str(tmp_path))
    own = ("model=ridge", "model._target_=ownpkg.Mine", "trusted_packages=[sklearn,ownpkg]", "figures=none")
    result = command(*own)
    assert result.code == 0, result.err
    (code,) = (tmp_path / "mlartifacts").rglob("models/*/artifacts/code")
    assert [file.name for file in code.rglob("*") if file.is_file()] == ["__init__.py"]


@pytest.mark.parametrize(
    ("location", "server", "accepted"),
    [
        ("mlflow-artifacts:/1", "https://a.example.com", True),
        ("mlflow-artifacts://a.example.com/1", "https://me:pw@a.example.com", True),
        ("mlflow-artifacts://b.example.com/1", "https://a.example.com", False),
        ("https://b.example.com/1", "https://a.example.com", False),
        ("/etc/cron.d", "https://a.example.com", False),
        ("s3://bucket/1", "https://a.example.com", True),
    ],
)
def test_a_server_gives_places_of_its_own_or_in_a_cloud(location: str, server: str, accepted: bool) -> None:
    assert (foreign_place(location, server) is None) == accepted


@pytest.mark.slow
def test_a_link_among_the_artifacts_is_not_published(
    command: Command, store: Path, tmp_path: Path, server: Service
) -> None:
    name, secret = f"links-{tmp_path.name}", tmp_path / "shadow"
    secret.write_text("root:secret")
    nowhere = f"http://127.0.0.1:{services.free_port()}"
    place = (f"tracking.local_uri=sqlite:///{store}", f"tracking.experiment_name={name}", "model=ridge", "figures=none")
    assert "pending" in command(f"tracking.uri={nowhere}", *place).out
    local = MlflowClient(f"sqlite:///{store}")
    (run,) = local.search_runs([local.get_experiment_by_name(name).experiment_id])
    local.set_tag(run.info.run_id, "sync.server", server.url)
    artifacts = Path(run.info.artifact_uri.removeprefix("file://"))
    (artifacts / "planted.txt").symlink_to(secret)
    (artifacts / "folder").symlink_to(tmp_path)
    (model,) = (tmp_path / "mlartifacts").rglob("models/*/artifacts/MLmodel")
    (model.parent / "planted.txt").symlink_to(secret)
    process.reset()
    result = command(f"tracking.uri={server.url}", *place, "model.alpha=7")
    assert "planted.txt is a link, and is not published" in result.err
    client = MlflowClient(server.url)
    copies = client.search_runs([client.get_experiment_by_name(name).experiment_id])
    assert len(copies) == 2
    assert all("sync.complete" in copy.data.tags for copy in copies)
    for copy in copies:
        listed = [item.path for item in client.list_artifacts(copy.info.run_id)]
        assert "predictions.csv" in listed
        assert not {"planted.txt", "folder"} & set(listed)


# -- 8: models


def test_our_own_list_decides_what_a_model_may_hold(command: Command, store: Path, tmp_path: Path) -> None:
    """A model that says of itself that a dangerous type is to be trusted."""
    import skops.io
    from sklearn.preprocessing import FunctionTransformer

    from boston_exp.tracking.mlflow.models import load

    assert command("model.n_estimators=5", "figures=none").code == 0
    (model,) = (tmp_path / "mlartifacts").rglob("models/*/artifacts/model.skops")
    assert load(str(model.parent)).n_estimators == 5
    from sklearn.utils import discovery

    for harm in (
        os.system,
        sklearn.datasets.clear_data_home,
        discovery.import_module,
        discovery.all_estimators,
        skrub.datasets.fetch_employee_salaries,
        skrub.set_config,
    ):
        skops.io.dump(FunctionTransformer(func=harm), model)
        with pytest.raises(InvalidConfig, match="types that are not from trusted_packages"):
            load(str(model.parent))
    model.rename(model.with_name("model.pkl"))
    with pytest.raises(InvalidConfig, match=r"has no model\.skops"):
        load(str(model.parent))


def test_a_foreign_class_is_refused_in_a_package_that_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs.py").write_text("class Writer:\n    def __init__(self): raise SystemExit('made')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InvalidConfig, match="not an estimator"):
        built({"_target_": "sklearn.linear_model.Ridge", "alpha": {"_target_": "theirs.Writer"}}, ["sklearn", "theirs"])
