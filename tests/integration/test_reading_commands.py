"""A German file from training to prediction, as a person types it: what is not said is found, words stand for marks."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.conftest import Command
from tests.experiment.test_reading import sales

RUN = (
    "data=csv", "data.path=sales.csv", "data.target=Preis", "data.drop=[Objekt-ID,Verkauft]", "preprocess=tabular",
    "model=ridge", "figures=none", "quiet=true",
)  # fmt: skip


@pytest.fixture
def german(tmp_path: Path) -> Path:
    file = tmp_path / "sales.csv"
    file.write_bytes(sales()[0].encode("cp1252"))
    return file


def test_what_a_german_file_trained_predicts_from_a_german_file(
    command: Command, german: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = command(*RUN)
    assert run.code == 0, run.err
    model = f"from_model=runs:/{run.out.strip()}/model"
    whole = command(model, "input=sales.csv", "output=a.csv", program="predict")
    assert whole.code == 0, whole.err
    a = pd.read_csv(tmp_path / "a.csv")
    assert len(a) == 60
    from boston_exp.lifecycle.prediction import reading

    monkeypatch.setattr(reading, "ROWS", 7)
    assert command(model, "input=sales.csv", "output=b.csv", program="predict").code == 0
    np.testing.assert_allclose(pd.read_csv(tmp_path / "b.csv")["prediction"], a["prediction"], rtol=1e-9)
    plain = pd.read_csv(german, sep=";", encoding="cp1252", dtype=str)
    for name in ("Wohnfläche", "Anteil", "Preis"):
        text = plain[name].str.removesuffix(" %").str.removesuffix(" €")
        plain[name] = text.str.replace(".", "").str.replace(",", ".").astype(float)
    plain.to_csv(tmp_path / "english.csv", index=False)
    assert command(model, "input=english.csv", "output=c.csv", program="predict").code == 0
    np.testing.assert_allclose(pd.read_csv(tmp_path / "c.csv")["prediction"], a["prediction"], rtol=1e-9)


def test_a_value_that_is_no_number_is_named_in_new_rows(command: Command, german: Path, tmp_path: Path) -> None:
    run = command(*RUN)
    lines = german.read_bytes().decode("cp1252").splitlines()
    fields = lines[9].split(";")
    fields[4] = "groß"
    (tmp_path / "new.csv").write_text("\n".join([*lines[:9], ";".join(fields), *lines[10:]]))
    told = command(f"from_model=runs:/{run.out.strip()}/model", "input=new.csv", program="predict")
    assert told.code == 2
    assert "Wohnfläche has 'groß' in row 8" in told.err


def test_words_stand_for_marks(command: Command, german: Path) -> None:
    typed = command(*RUN, "data.sep=semicolon", "data.decimal=comma", "data.thousands=point", "data.encoding=cp1252")
    assert typed.code == 0, typed.err


@pytest.mark.parametrize("ending", ["csv", "parquet", "feather", "xlsx"])
def test_a_training_file_predicts_on_itself_in_every_format(command: Command, tmp_path: Path, ending: str) -> None:
    """Columns have the types that they had in training: text with leading zeros, durations, time zones, gaps."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"plz": rng.choice(["01069", "10115", "20095"], 80), "a": rng.normal(size=80)})
    frame["y"] = frame["plz"].map({"01069": 5.0, "10115": 50.0, "20095": 500.0}) + frame["a"]
    if ending in ("parquet", "feather"):
        frame["took"] = pd.to_timedelta(rng.integers(1, 99, 80), unit="min")
        frame["whole"] = pd.array([*range(79), None], dtype="Int64")
        frame["when"] = pd.date_range("2023-03-01", periods=80, tz="Europe/Berlin")
    write = {"csv": frame.to_csv, "xlsx": frame.to_excel}.get(ending)
    name = f"t.{'PARQUET' if ending == 'parquet' else ending}"
    write(tmp_path / name, index=False) if write else getattr(frame, f"to_{ending}")(tmp_path / name)
    settings = (
        "data=csv",
        f"data.path={name}",
        "data.target=y",
        "preprocess=tabular",
        "model=ridge",
        "model.alpha=0.001",
    )
    run = command(*settings, "figures=none", "quiet=true")
    assert run.code == 0, run.err
    told = command(f"from_model=runs:/{run.out.strip()}/model", f"input={name}", "output=o.csv", program="predict")
    assert told.code == 0, told.err
    np.testing.assert_allclose(pd.read_csv(tmp_path / "o.csv")["prediction"], frame["y"], atol=10)


def test_rows_that_are_no_text_are_saved_from_standard_input(
    command: Command, german: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = command(*RUN)
    model = f"from_model=runs:/{run.out.strip()}/model"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(german.read_bytes()))))
    told = command(model, "input=-", program="predict")
    assert told.code == 2
    assert "cat > new.csv.gz && python -m boston_exp.predict" in told.err.replace("\n", " ")
    (german.parent / "fake.xlsx").write_text("a,y\n1,2\n")
    told = command(model, "input=fake.xlsx", program="predict")
    assert told.code == 2
    assert "it is no .xlsx file" in told.err


def test_an_empty_mark_blames_the_shell_for_separators_alone(command: Command, german: Path) -> None:
    told = " ".join(command(*RUN, "data.sep=", "data.decimal=").err.split())
    assert "data.sep is empty: a shell ends the command at a bare ;" in told
    assert "data.decimal is empty: type a mark or its word (comma, point)" in told
