"""What a stored model may hold: parts of estimators and data, whatever else their packages have."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import skops.io
import skrub

from boston_exp.config.schema import TRUSTED
from boston_exp.tracking.model_types import foreign_types


@pytest.mark.parametrize("function", ["builtins.eval", "numpy.load", "os.system"])
def test_a_function_that_could_do_anything_is_no_data(function: str) -> None:
    assert foreign_types([function], TRUSTED) == [function]
    data = ["collections.OrderedDict", "numpy.ndarray", "numpy.log1p", "sklearn.tree._tree.Tree", "datetime.date"]
    assert foreign_types(data, TRUSTED) == []


@pytest.mark.parametrize(
    "name",
    [
        "skrub.datasets._fetching.fetch_employee_salaries",
        "skrub.datasets._utils.load_simple_dataset",
        "skrub._utils.import_optional_dependency",
        "skrub._config.set_config",
        "skrub._data_ops._data_ops.CallMethod",
        "skrub._llm_encoder.TextEncoder",
        "skrub._reporting._table_report.TableReport",
        "skrub._utils.importlib",
        "skrub._dataframe._common.pd",
    ],
)
def test_of_a_package_trusted_by_default_only_parts_of_estimators_are(name: str) -> None:
    """Its name is in nobody's configuration, so that nobody has said that all of it is to be trusted."""
    assert foreign_types([name], TRUSTED) == [name]


@pytest.mark.parametrize(
    "transformer",
    [skrub.TableVectorizer(), skrub.Cleaner(), skrub.ApplyToCols(skrub.DatetimeEncoder(), cols=["sold"])],
    ids=lambda transformer: type(transformer).__name__,
)
def test_a_table_that_skrub_has_prepared_can_be_stored(transformer: skrub.TableVectorizer) -> None:
    n = 60
    table = pd.DataFrame(
        {
            "sold": pd.date_range("2020-01-01", periods=n),
            "kind": ["house", "flat", "shed"] * (n // 3),
            "text": [f"no {i} of {n}" for i in range(n)],
            "area": np.arange(n, dtype=float),
        }
    )
    transformer.fit(table)
    found = skops.io.get_untrusted_types(data=skops.io.dumps(transformer))
    assert any(name.startswith("skrub.") for name in found)
    assert foreign_types(found, TRUSTED) == []
