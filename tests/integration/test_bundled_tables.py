"""Tables that nobody here made, those of statsmodels and scikit-learn, as files in the ways that people write them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn.datasets
import statsmodels.datasets

from boston_exp import process
from boston_exp.config.schema import Data
from boston_exp.experiment.reading.table import read
from tests.conftest import Command

TARGETS = {
    "longley": "TOTEMP", "stackloss": "STACKLOSS", "fair": "affairs", "grunfeld": "invest", "anes96": "income",
    "ccard": "AVGEXP", "copper": "WORLDCONSUMPTION", "cpunish": "EXECUTIONS", "engel": "foodexp", "fertility": "2010",
    "macrodata": "realgdp", "modechoice": "ttme", "randhie": "mdvis", "scotland": "YES", "spector": "GPA",
    "star98": "NABOVE", "statecrime": "murder", "strikes": "duration", "sunspots": "SUNACTIVITY", "elnino": "DEC",
    "cancer": "cancer", "committee": "BILLS104", "china_smoking": "smoking_yes_cancer_yes", "co2": "co2",
    "nile": "volume", "interest_inflation": "Dp", "heart": "survival", "danish_data": "lrm",
    "diabetes": "target", "iris": "sepal length (cm)", "wine": "alcohol", "breast_cancer": "mean radius",
    "linnerud": "Weight",
}  # fmt: skip
OF_SKLEARN = ("diabetes", "iris", "wine", "breast_cancer", "linnerud")
FEW = 1_000  # rows: a larger table takes long, and shows no more
WRITE: dict[str, tuple[str, Callable[[pd.DataFrame, Path], object]]] = {
    "plain": ("csv", lambda table, to: table.to_csv(to, index=False)),
    "German": ("csv", lambda table, to: table.to_csv(to, index=False, sep=";", decimal=",", encoding="cp1252")),
    "numbered": ("tsv", lambda table, to: table.to_csv(to, sep="\t")),
    "quoted": ("csv", lambda table, to: table.to_csv(to, index=False, sep="|", quoting=1, encoding="utf-8-sig")),
    "packed": ("csv.gz", lambda table, to: table.to_csv(to, index=False, lineterminator="\r\n", na_rep="NA")),
    "Parquet": ("parquet", lambda table, to: table.convert_dtypes().to_parquet(to)),
    "Excel": ("xlsx", lambda table, to: table.head(100).to_excel(to, index=False)),
}


def bundled(name: str) -> pd.DataFrame:
    """Its rows' names are a column, where it has some."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name in OF_SKLEARN:
            return getattr(sklearn.datasets, f"load_{name}")(as_frame=True).frame
        data = getattr(statsmodels.datasets, name).load_pandas().data
    numbered = isinstance(data.index, pd.RangeIndex)
    return (data if numbered else data.rename_axis(data.index.name or "row").reset_index()).head(FEW)


@pytest.mark.parametrize(("place", "name"), list(enumerate(TARGETS)), ids=list(TARGETS))
def test_a_bundled_table_is_read_and_learnt_from(place: int, name: str, command: Command, tmp_path: Path) -> None:
    """No setting says how its file is written; the target is what it was."""
    table, target = bundled(name), TARGETS[name]
    kind = list(WRITE)[place % len(WRITE)]
    ending, write = WRITE[kind]
    file = tmp_path / f"{name}.{ending}"
    write(table, file)
    process.reset()
    found = read(Data(path=str(file), target=target)).frame[target].astype("float64")
    meant = table[target].astype("float64").head(len(found))
    np.testing.assert_allclose(found, meant, rtol=1e-9, err_msg=f"{name}, {kind}")
    settings = ["data.missing_target=drop"] if meant.isna().any() else []
    done = command(
        "data=csv", f"data.path={file.name}", f'data.target="{target}"', "preprocess=tabular", "model=ridge",
        "tracking=none", "figures=none", *settings,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "could not be made" not in done.err


@pytest.mark.parametrize("kind", WRITE)
def test_how_it_is_written_does_not_matter(kind: str, tmp_path: Path) -> None:
    """One table with text, gaps and numbers of all sizes, in each way; Excel's has fewer rows."""
    rng = np.random.default_rng(0)
    table = bundled("statecrime").assign(
        when=pd.date_range("2001-01-01", periods=51),
        price=np.exp(rng.normal(8, 4, 51)).round(2),
        gaps=rng.normal(size=51),
    )
    table.loc[::7, "gaps"] = np.nan
    ending, write = WRITE[kind]
    write(table, tmp_path / f"t.{ending}")
    process.reset()
    found = read(Data(path=str(tmp_path / f"t.{ending}"), target="murder")).frame
    pd.testing.assert_frame_equal(found[list(table)], table, check_dtype=False, check_column_type=False)
