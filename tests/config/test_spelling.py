"""Names of columns and files, and ranges of one option, reach Hydra in the quotes that a shell has taken away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from boston_exp.config.spelling import spelled
from tests.conftest import Command


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("data.target=Kaufpreis (€)", 'data.target="Kaufpreis (€)"'),
        ("data.drop=[N° patient, Âge]", 'data.drop=["N° patient","Âge"]'),
        ("data.path=Datei (1).csv", 'data.path="Datei (1).csv"'),
        ("data.roles=[PLZ:category,Größe:number]", 'data.roles=["PLZ:category","Größe:number"]'),
        ("hydra.sweeper.spaces.model.ridge.model.alpha=tag(log,interval(0.1,10))",
         'hydra.sweeper.spaces.model.ridge.model.alpha="tag(log,interval(0.1,10))"'),
        ("+hydra.sweeper.spaces.model.knn.model.p=1,2", '+hydra.sweeper.spaces.model.knn.model.p="1,2"'),
        *((same, same) for same in (
            "hydra.sweeper.spaces.model.ridge=null", 'hydra.sweeper.spaces.model.ridge.model.alpha="1,2"',
            "+hydra.sweeper.spaces.model.lasso={model.alpha: '0.1,1'}", "hydra.sweeper.params={a: 'b,c'}",
            "data.target=price", "data.drop=[]", "data.target=a,b", "data.target=choice(a,b)", 'data.target="x y"',
            "data.path=${oc.env:HOME}/x.csv", "model.max_depth=3", "+model.x=(1)", 
        )),
    ],
)  # fmt: skip
def test_only_what_hydra_would_refuse_is_quoted(typed: str, expected: str) -> None:
    assert spelled([typed]) == [expected]


def test_a_column_of_any_name_is_a_target_and_is_left_out(command: Command, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(60, 3)), columns=["Größe (m²)", "N° 1", "Kaufpreis (€)"])
    table.to_csv(tmp_path / "Liste (1).csv", index=False)
    overrides = ("data=csv", "data.path=Liste (1).csv", "data.target=Kaufpreis (€)", "data.drop=[N° 1]", "model=ridge")
    result = command(*overrides, "figures=none")
    assert result.code == 0, result.err
    assert "1 features" in result.out
