"""Findings of a hostile review, each as it was found."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from boston_exp.lifecycle.prediction import reading
from boston_exp.tracking.mlflow import models
from tests.conftest import Command, Result

Predict = Callable[..., Result]


def test_the_model_is_that_of_the_store_that_was_asked_for(
    predict: Predict, command: Command, runs: Callable[[str], list[Run]], features: Path, tmp_path: Path, store: Path
) -> None:
    """MLflow's own `models:/` looks into the store that the environment, or mlflow.db in this folder, is."""
    other = tmp_path / "other.db"
    shutil.copy(store, other)
    for kind, place in (("Ridge", store), ("KNeighborsRegressor", other)):
        condition = f"tags.model_type = '{kind}' and params.`evaluation.n_splits` = '5' and tags.dataset = 'boston'"
        run_id = runs(condition)[0].info.run_id
        uri = f"tracking.uri=sqlite:///{place}"
        assert command(f"run_id={run_id}", "dvc=none", "name=m", uri, program="promote").code == 0
        predict(f"from_model=runs:/{run_id}/model", f"input={features}", "output=a.csv", uri)
        result = predict("from_model=models:/m@champion", f"input={features}", "output=b.csv", uri)
        assert result.code == 0, result.err
        assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_every_kind_of_column_is_predicted_on_as_it_was_trained(
    predict: Predict, command: Command, tmp_path: Path, store: Path
) -> None:
    """The training file itself, by predict and by the estimator on the table as it was trained on."""
    rng = np.random.default_rng(8)
    table = pd.DataFrame(
        {
            "number": rng.normal(size=400).round(3),
            "whole": rng.integers(0, 9, 400),
            "flag": rng.random(400) < 0.5,
            "maybe": rng.choice(np.array([True, False, None], dtype=object), 400),
            "code": rng.choice(["01", "02", "A1"], 400),
            "gappy": np.where(rng.random(400) < 0.2, np.nan, rng.normal(size=400).round(3)),
        }
    )
    effect = table["maybe"].map({True: 3.0, False: -3.0}).fillna(0) + (table["code"] == "01") * 2 + table["number"]
    table["y"] = effect + rng.normal(size=400) / 10
    table.to_csv(tmp_path / "t.csv", index=False)
    run = command(
        "model=ridge", "data=csv", "data.path=t.csv", "data.target=y", "preprocess=tabular", "evaluation=cv",
        "figures=none", "quiet=true",
    ).out.strip()  # fmt: skip
    assert predict(f"from_model=runs:/{run}/model", "input=t.csv").code == 0
    found = pd.read_csv(tmp_path / "predictions.csv")
    estimator = models.load(f"{MlflowClient(f'sqlite:///{store}').get_run(run).info.artifact_uri}/model")
    X = pd.read_csv(tmp_path / "t.csv").drop(columns="y")
    X = X.astype({name: "object" if name == "code" else "float64" for name in X})
    expected = estimator.predict(X.where(X.notna(), np.nan))
    assert found["prediction"].to_numpy() == pytest.approx(expected, rel=1e-12)
    assert float(np.sqrt(np.mean((found["prediction"] - table["y"]) ** 2))) < 1.5


def test_rows_with_a_field_too_many_are_not_shifted(
    predict: Predict, model: str, features: Path, tmp_path: Path
) -> None:
    lines = features.read_text().splitlines()
    (tmp_path / "bad.csv").write_text("\n".join([lines[0], *(f"{line},1" for line in lines[1:])]))
    result = predict(model, "input=bad.csv")
    assert result.code == 2
    assert "rows have more fields than there are names for" in result.err
    assert "data.decimal" in result.err


def test_the_output_does_not_replace_what_is_read(predict: Predict, model: str, features: Path, tmp_path: Path) -> None:
    before = features.read_bytes()
    os.link(features, tmp_path / "same.csv")
    for output in ("new.csv", "same.csv"):
        result = predict(model, f"input={features}", f"output={output}")
        assert result.code == 2
        assert "would replace what is read" in result.err
    assert features.read_bytes() == before


def test_links_and_pipes_stay_what_they_are(predict: Predict, model: str, features: Path, tmp_path: Path) -> None:
    (tmp_path / "target.csv").write_text("old\n")
    (tmp_path / "link.csv").symlink_to("target.csv")
    assert predict(model, f"input={features}", "output=link.csv").code == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "target.csv").read_text().startswith("row,prediction")
    assert predict(model, f"input={features}", "output=/dev/null").code == 0
    assert Path("/dev/null").is_char_device()


def test_columns_that_are_kept_stay_as_they_stand(
    predict: Predict, model: str, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "ROWS", 10)
    table = pd.read_csv(features)
    table["id"] = [f"{number:05d}" for number in range(19)] + ["x"]
    table["a,b"] = ["NA", "1e3", *[""] * 18]
    table.to_csv(tmp_path / "kept.csv", index=False)
    assert predict(model, "input=kept.csv", "keep=[id,'a,b']").code == 0
    found = pd.read_csv(tmp_path / "predictions.csv", dtype=str, keep_default_na=False)
    assert found["id"].tolist() == table["id"].tolist()
    assert found["a,b"].tolist() == table["a,b"].tolist()
    assert predict(model, "input=kept.csv", "keep=[id]", "output=kept.parquet").code == 0
    assert pd.read_parquet(tmp_path / "kept.parquet")["id"].tolist() == table["id"].tolist()


def test_names_of_the_output_are_its_own(predict: Predict, model: str, features: Path, tmp_path: Path) -> None:
    pd.read_csv(features).assign(row=1).to_csv(tmp_path / "row.csv", index=False)
    result = predict(model, "input=row.csv", "keep=[row]")
    assert result.code == 2
    assert "the output has columns of its own that are called row" in result.err
    assert predict(model, "input=row.csv").code == 0


def test_a_column_that_is_no_feature_still_has_its_groups_in_every_chunk(
    predict: Predict, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(4)
    table = pd.DataFrame({"x": rng.normal(size=300), "code": rng.choice(["01", "A1"], 300)})
    table["y"] = table["x"] + rng.normal(size=300) * np.where(table["code"] == "01", 5, 0.1)
    table.to_csv(tmp_path / "t.csv", index=False)
    run = command(
        "model=ridge", "data=csv", "data.path=t.csv", "data.target=y", "data.drop=[code]", "data.slices=[code]",
        "evaluation=cv", "figures=none", "quiet=true",
    ).out.strip()  # fmt: skip
    monkeypatch.setattr(reading, "ROWS", 50)
    pd.DataFrame({"x": 0.0, "code": ["01"] * 70 + ["A1"] * 30 + ["B"]}).to_csv(tmp_path / "new.csv", index=False)
    assert predict(f"from_model=runs:/{run}/model", "input=new.csv", "interval_by=code").code == 0
    found = pd.read_csv(tmp_path / "predictions.csv")
    widths = (found["high"] - found["low"]).round(9)
    assert widths[:70].nunique() == widths[70:100].nunique() == 1
    assert widths[0] > 10 * widths[99]


def test_two_columns_of_one_name(predict: Predict, model: str, features: Path, tmp_path: Path) -> None:
    lines = features.read_text().splitlines()
    (tmp_path / "twice.csv").write_text("\n".join([f"{lines[0]},RM", *(f"{line},1" for line in lines[1:])]))
    result = predict(model, "input=twice.csv")
    assert result.code == 2
    assert "two columns of one name: RM" in result.err


def test_times_are_no_numbers(predict: Predict, model: str, features: Path, tmp_path: Path) -> None:
    table = pd.read_csv(features)
    table["RM"] = pd.Timestamp("2026-01-01")
    table.to_parquet(tmp_path / "times.parquet")
    result = predict(model, "input=times.parquet")
    assert result.code == 2
    assert "RM has Timestamp" in result.err


def test_packed_files(predict: Predict, model: str, features: Path, tmp_path: Path) -> None:
    import gzip

    assert predict(model, f"input={features}", "output=p.csv.gz").code == 0
    assert gzip.decompress((tmp_path / "p.csv.gz").read_bytes()).startswith(b"row,prediction")
    whole = gzip.compress(features.read_bytes())
    for name, content in {"cut.csv.gz": whole[:-20], "no.xz": b"no", "no.zip": b"no", "no.parquet": b"no"}.items():
        (tmp_path / name).write_bytes(content)
        result = predict(model, f"input={name}")
        assert result.code == 2, name
        assert "cannot be read as a table" in result.err
        assert "Traceback" not in result.err


@pytest.fixture
def checkout(ridge: Run, store: Path, tmp_path: Path) -> Path:
    """A model's folder, as a promotion makes it but for the card."""
    place = tmp_path / "m"
    place.mkdir()
    client = MlflowClient(f"sqlite:///{store}")
    for name in ("model/model.skops", "profile.json", "out_of_fold.csv"):
        file = Path(client.download_artifacts(ridge.info.run_id, name, str(tmp_path)))
        (place / Path(name).name).write_bytes(file.read_bytes())
    return place


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("profile.json", "{"),
        ("profile.json", '{"columns": {"RM": 5}, "target": "MEDV"}'),
        ("out_of_fold.csv", "row,fold,actual,predicted\n"),
        ("out_of_fold.csv", "row,fold,actual,predicted\n1,1,a,2\n"),
        ("card.json", '{"promise": {"rows": "x", "errors": [1], "calibration": [], "covered": 0, "confidence": 0.9}}'),
        ("model.skops", "PK"),
    ],
)
def test_damaged_files_beside_a_model(
    predict: Predict, checkout: Path, features: Path, name: str, content: str
) -> None:
    (checkout / name).write_text(content)
    result = predict("from_model=m", f"input={features}")
    assert result.code == 2
    assert "Traceback" not in result.err
    assert name in result.err or "is not a model in skops format" in result.err


def test_a_model_file_that_was_cut_short(predict: Predict, checkout: Path, features: Path, tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(checkout / "model.skops") as whole, zipfile.ZipFile(tmp_path / "cut.skops", "w") as cut:
        for member in whole.namelist():
            content = whole.read(member)
            cut.writestr(member, content[:-8] if member.endswith(".npy") else content)
    result = predict("from_model=cut.skops", f"input={features}")
    assert result.code == 2
    assert "is not a model in skops format that can be read" in result.err


def test_what_is_no_model(predict: Predict, features: Path, tmp_path: Path) -> None:
    import skops.io

    skops.io.dump({"a": 1}, tmp_path / "dict.skops")
    result = predict("from_model=dict.skops", f"input={features}")
    assert result.code == 2
    assert "is no model: it has no predict" in result.err


def test_residuals_of_another_model_are_known_by_the_card(
    predict: Predict, checkout: Path, features: Path, tmp_path: Path
) -> None:
    from boston_exp.storage.dvc_file import md5_of

    told: dict[str, Any] = {"files": {name: md5_of(checkout / name) for name in ("model.skops", "out_of_fold.csv")}}
    (checkout / "card.json").write_text(json.dumps(told))
    assert predict("from_model=m", f"input={features}").code == 0
    lines = (checkout / "out_of_fold.csv").read_text().splitlines()
    (checkout / "out_of_fold.csv").write_text("\n".join(lines[:-3]))
    result = predict("from_model=m", f"input={features}")
    assert result.code == 2
    assert "out_of_fold.csv beside m is not the one that belongs to card.json" in result.err


def test_infinite_values_are_called_so(predict: Predict, model: str, features: Path, tmp_path: Path) -> None:
    table = pd.read_csv(features)
    table.loc[3, "RM"] = np.inf
    table.to_csv(tmp_path / "inf.csv", index=False)
    result = predict(model, "input=inf.csv")
    assert result.code == 2
    assert "There are infinite values in RM." in result.err
