"""A German file from training to prediction, as a person types it: what is not said is found, words stand for marks."""

from __future__ import annotations

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
