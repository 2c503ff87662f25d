"""New rows: what is predicted, from which inputs, how it is written, what is said of unusual rows."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
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
from tests.conftest import ROOT, Result

Predict = Callable[..., Result]
AsJson = Callable[..., dict[str, Any]]


def _predictions(tmp_path: Path, name: str = "predictions.csv") -> pd.DataFrame:
    return pd.read_csv(tmp_path / name, keep_default_na=False)


def test_predictions_are_those_of_the_estimator_in_the_order_of_the_rows(
    predict: Predict, model: str, ridge: Run, features: Path, tmp_path: Path
) -> None:
    result = predict(model, f"input={features}")
    assert result.code == 0, result.err
    found = _predictions(tmp_path)
    estimator = models.load(f"{ridge.info.artifact_uri}/model")
    assert list(found.columns) == ["row", "prediction", "low", "high", "flags"]
    assert found["row"].tolist() == list(range(20))
    assert found["prediction"].tolist() == estimator.predict(pd.read_csv(features)).tolist()
    assert ((found["low"] < found["prediction"]) & (found["prediction"] < found["high"])).all()


def test_columns_may_come_in_any_order_with_others_among_them(
    predict: Predict, model: str, features: Path, tmp_path: Path
) -> None:
    predict(model, f"input={features}", "output=a.csv")
    table = pd.read_csv(features)
    table["house number"] = [f"n{number}" for number in range(len(table))]
    table[list(table.columns[::-1])].to_csv(tmp_path / "mixed.csv", index=False)
    result = predict(model, "input=mixed.csv", "output=b.csv", "keep=[house number]")
    assert result.code == 0, result.err
    pd.testing.assert_frame_equal(_predictions(tmp_path, "b.csv").iloc[:, 1:], _predictions(tmp_path, "a.csv"))
    assert _predictions(tmp_path, "b.csv")["house number"].tolist() == [f"n{number}" for number in range(20)]
    result = predict(model, "input=mixed.csv", "output=b.csv")
    assert "ignored: house number" in result.err


def test_every_form_of_input_and_output_gives_the_same(
    predict: Predict, model: str, features: Path, tmp_path: Path, boston: pd.DataFrame
) -> None:
    predict(model, f"input={features}", "output=a.csv")
    expected = _predictions(tmp_path, "a.csv")
    (tmp_path / "new.csv.gz").write_bytes(gzip.compress(features.read_bytes()))
    pd.read_csv(features).to_parquet(tmp_path / "new.parquet")
    pd.read_csv(features).to_csv(tmp_path / "german.csv", sep=";", decimal=",", index=False)
    for given in ("input=new.csv.gz", "input=new.parquet"):
        assert predict(model, given, "output=b.parquet").code == 0
        found = pd.read_parquet(tmp_path / "b.parquet")
        assert found["prediction"].tolist() == expected["prediction"].tolist()
    assert predict(model, "input=german.csv", "data.sep=';'", "data.decimal=','", "output=b.csv").code == 0
    assert _predictions(tmp_path, "b.csv").equals(expected)
    boston.head(20).to_csv(tmp_path / "raw.txt", sep=" ", index=False, header=False)
    assert predict(model, "input=raw.txt", "data=boston", "output=b.csv").code == 0
    assert _predictions(tmp_path, "b.csv").equals(expected)


def test_standard_input_and_output(model: str, afternoon: Path, features: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "boston_exp.predict", model, "input=-", "output=-", f"tracking.uri=sqlite:///{afternoon}"],
        input=features.read_text(), capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)},
        check=True,
    )  # fmt: skip
    found = pd.read_csv(io.StringIO(done.stdout))
    assert len(found) == 20
    assert done.stderr.startswith("predicted   20 rows by run")


def test_the_borders_of_chunks_change_nothing(
    predict: Predict, model: str, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict(model, f"input={features}", "output=a.csv")
    monkeypatch.setattr(reading, "ROWS", 7)
    predict(model, f"input={features}", "output=b.csv")
    a, b = _predictions(tmp_path, "a.csv"), _predictions(tmp_path, "b.csv")
    pd.testing.assert_frame_equal(a, b, rtol=1e-12)  # BLAS adds in another order for other numbers of rows
    assert b["row"].tolist() == list(range(20))


def test_unusual_rows_are_flagged_and_counted(as_json: AsJson, house_model: str, houses: Path, tmp_path: Path) -> None:
    table = pd.read_csv(houses).drop(columns="price").dropna().head(6).reset_index(drop=True)
    table.loc[0, "area"] = 900.0
    table.loc[1, "area"] = 1.0
    table.loc[2, "town"] = "Jena"
    table.loc[3, "area"] = np.nan
    table.loc[4, "town"] = None
    table.to_csv(tmp_path / "odd.csv", index=False)
    told = as_json(f"from_model=runs:/{house_model}/model", "input=odd.csv")
    assert _predictions(tmp_path)["flags"].tolist() == [
        "area above", "area below", "town unseen", "area gap", "town gap", "",
    ]  # fmt: skip
    assert told["flagged"] == 5
    assert told["flags"] == {
        "area above": 1, "area below": 1, "town unseen": 1, "area gap": 1, "town gap": 1,
    }  # fmt: skip


def test_booleans_text_and_gaps_are_taken_as_in_training(
    predict: Predict, house_model: str, houses: Path, tmp_path: Path, store: Path
) -> None:
    """Booleans with gaps are objects to pandas, and text that looks like a number stays text."""
    assert predict(f"from_model=runs:/{house_model}/model", f"input={houses}").code == 0
    uri = MlflowClient(f"sqlite:///{store}").get_run(house_model).info.artifact_uri
    estimator = models.load(f"{uri}/model")
    X = pd.read_csv(houses).drop(columns=["id", "price"])
    expected = estimator.predict(X.astype({"garden": float, "town": object}))
    assert _predictions(tmp_path)["prediction"].to_numpy() == pytest.approx(expected)
    X["garden"] = X["garden"].astype(object)
    X.loc[0, "garden"] = None
    X["town"] = "1"
    X.head(5).to_csv(tmp_path / "b.csv", index=False)
    assert predict(f"from_model=runs:/{house_model}/model", "input=b.csv").code == 0
    assert _predictions(tmp_path)["flags"].tolist()[:2] == ["area gap; garden gap; town unseen", "town unseen"]


def test_the_file_of_a_checkout_gives_what_the_registry_gives(
    predict: Predict, features: Path, tmp_path: Path, ridge: Run, store: Path
) -> None:
    """With its profile and its residuals, and without a store."""
    place = tmp_path / "model"
    place.mkdir()
    client = MlflowClient(f"sqlite:///{store}")
    for name in ("model/model.skops", "profile.json", "out_of_fold.csv"):
        file = Path(client.download_artifacts(ridge.info.run_id, name, str(tmp_path)))
        (place / Path(name).name).write_bytes(file.read_bytes())
    predict(f"from_model=runs:/{ridge.info.run_id}/model", f"input={features}", "output=a.csv")
    for given in ("model/model.skops", "model"):
        result = predict(f"from_model={given}", f"input={features}", "output=b.csv", "tracking.uri=sqlite:///none.db")
        assert result.code == 0, result.err
        assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("by", ["prediction", "none", "RM", "CHAS"])
def test_widths_depend_on_what_is_asked_for(
    predict: Predict, model: str, features: Path, tmp_path: Path, by: str
) -> None:
    assert predict(model, f"input={features}", f"interval_by={by}").code == 0
    found = _predictions(tmp_path)
    widths = {round(width, 9) for width in found["high"] - found["low"]}
    assert len(widths) == {"prediction": 3, "none": 1, "RM": 4, "CHAS": 1}[by]  # CHAS is 0 in all twenty


def test_a_forest_has_intervals_as_wide_as_its_trees_disagree(
    predict: Predict, features: Path, tmp_path: Path, runs: Callable[[str], list[Run]]
) -> None:
    best = runs("tags.model_type = 'RandomForestRegressor' and tags.`sweep.key` IS NULL")[0].info.run_id
    assert predict(f"from_model=runs:/{best}/model", f"input={features}", "interval_by=spread").code == 0
    found = _predictions(tmp_path)
    assert len({round(width, 9) for width in found["high"] - found["low"]}) > 15


def test_more_confidence_is_wider_and_null_is_none(
    predict: Predict, model: str, features: Path, tmp_path: Path
) -> None:
    widths = []
    for interval in ("0.5", "0.9", "0.99"):
        predict(model, f"input={features}", f"interval={interval}")
        found = _predictions(tmp_path)
        widths.append(float((found["high"] - found["low"]).mean()))
    assert widths[0] < widths[1] < widths[2]
    predict(model, f"input={features}", "interval=null")
    assert list(_predictions(tmp_path).columns) == ["row", "prediction", "flags"]


def test_a_run_without_folds_predicts_without_intervals_and_says_so(
    predict: Predict, features: Path, tmp_path: Path, runs: Callable[[str], list[Run]]
) -> None:
    run_id = runs("params.`evaluation.n_splits` = '0'")[0].info.run_id
    result = predict(f"from_model=runs:/{run_id}/model", f"input={features}")
    assert result.code == 0, result.err
    assert "no intervals: the model was recorded without folds" in result.err
    assert list(_predictions(tmp_path).columns) == ["row", "prediction", "flags"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda table: table.drop(columns="RM"), "1 column is missing that"),
        (lambda table: table.rename(columns={"RM": "rm", "B": "b"}), "2 columns are missing that"),
        (lambda table: table.astype({"RM": object}).assign(RM="six"), "RM has 'six' in row 0, and was number"),
        (lambda table: table.head(0), "has no rows"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_by_name(
    predict: Predict, model: str, features: Path, tmp_path: Path, change: Callable[..., Any], says: str
) -> None:
    change(pd.read_csv(features)).to_csv(tmp_path / "bad.csv", index=False)
    result = predict(model, "input=bad.csv")
    assert (result.code, result.out) == (2, "")
    assert says in result.err
    assert "Traceback" not in result.err
    assert not (tmp_path / "predictions.csv").exists()
    assert not list(tmp_path.glob(".predictions*"))


def test_a_mistake_far_down_leaves_no_output_and_the_earlier_one_as_it_was(
    predict: Predict, model: str, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "ROWS", 5)
    (tmp_path / "predictions.csv").write_text("mine\n")
    lines = features.read_text().splitlines()
    lines[18] = lines[18].replace(lines[18].split(",")[5], "six", 1)
    (tmp_path / "bad.csv").write_text("\n".join(lines))
    result = predict(model, "input=bad.csv")
    assert result.code == 2
    assert "RM has 'six' in row 17" in result.err
    assert (tmp_path / "predictions.csv").read_text() == "mine\n"


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (("from_model=models:/nothing@champion",), "there is no registered model nothing"),
        (("from_model=runs:/ffffffff/model",), "no run here has an id that begins so"),
        (("from_model=gone.skops",), "nor a file."),
        (("input=gone.csv",), "input=gone.csv is not a file"),
        (("keep=[nothing]",), "keep: nothing is not a column"),
        (("interval=1.5",), "interval=1.5 is not possible"),
        (("interval_by=TAX",), "choose one of prediction, none, CHAS, RM"),
        (("output=/proc/none/p.csv",), "output=/proc/none/p.csv cannot be written"),
    ],
)
def test_what_was_typed(predict: Predict, model: str, features: Path, overrides: tuple[str, ...], says: str) -> None:
    typed = {each.partition("=")[0]: each for each in (model, f"input={features}", *overrides)}
    result = predict(*typed.values())
    assert result.code == 2
    assert says in result.err, result.err
    assert "next:" in result.err
    assert "Traceback" not in result.err


def test_model_files_from_elsewhere_run_no_code(predict: Predict, features: Path, tmp_path: Path) -> None:
    import pickle
    import zipfile

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "owned",)

    (tmp_path / "a.skops").write_bytes(pickle.dumps(Evil()))
    with zipfile.ZipFile(tmp_path / "b.skops", "w") as file:
        file.writestr(
            "schema.json",
            '{"__class__": "system", "__module__": "os", "__loader__": "FunctionNode", "__id__": 1, '
            '"content": {"module_path": "os", "function": "system"}, "protocol": 2, "_skops_version": "0.16"}',
        )
    for name in ("a.skops", "b.skops"):
        result = predict(f"from_model={name}", f"input={features}")
        assert result.code == 2, result.err
        assert "Traceback" not in result.err
    assert not (tmp_path / "owned").exists()


def test_a_profile_of_another_model_is_refused(
    predict: Predict, features: Path, tmp_path: Path, ridge: Run, house_model: str, store: Path
) -> None:
    client = MlflowClient(f"sqlite:///{store}")
    (tmp_path / "m").mkdir()
    for run_id, name in ((ridge.info.run_id, "model/model.skops"), (house_model, "profile.json")):
        file = Path(client.download_artifacts(run_id, name, str(tmp_path)))
        (tmp_path / "m" / Path(name).name).write_bytes(file.read_bytes())
    result = predict("from_model=m", f"input={features}")
    assert result.code == 2
    assert "profile.json beside m is of a model with other columns" in result.err
