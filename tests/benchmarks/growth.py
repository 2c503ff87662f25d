"""How a run's time and memory grow with rows and columns, beside a bare script that reads, splits, fits the same
pipeline, predicts both parts and scores.

python -m tests.benchmarks.growth             some five minutes (make bench runs it, too)
python -m tests.benchmarks.growth 100000      that many rows alone
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from tests.benchmarks.predict import seconds

ROWS = (1_000, 10_000, 100_000, 1_000_000)  # of 22 columns: 20 numbers, a category, an integer
COLUMNS = (10, 100, 1_000, 10_000)  # of 500 rows
MOST_ROWS = {100_000: (1.5, 3.0), 1_000_000: (1.5, 0.0)}  # times the script, and seconds beside it
MOST_MEMORY = {1_000_000: 1.2}  # times the script
BARE = """
import sys
import pandas as pd
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error, mean_absolute_percentage_error, r2_score, root_mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
model = Ridge() if sys.argv[2] == "ridge" else HistGradientBoostingRegressor(random_state=42)
table = pd.read_csv(sys.argv[1])
X, y = table.drop(columns="y"), table["y"]
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=42)
numbers = Pipeline([("impute", SimpleImputer(strategy="median")), ("scale", StandardScaler())])
text = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
preprocess = ColumnTransformer([
    ("numbers", numbers, make_column_selector(dtype_include="number")),
    ("text", text, make_column_selector(dtype_exclude="number")),
])
fitted = Pipeline([("preprocess", preprocess), ("model", model)]).fit(X_train, y_train)
scores = (r2_score, root_mean_squared_error, mean_absolute_error, mean_absolute_percentage_error)
for part, actual in ((X_train, y_train), (X_test, y_test)):
    predicted = fitted.predict(part)
    print([score(actual, predicted) for score in scores])
"""


def long_table(rows: int, folder: Path) -> Path:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(rows, 20)).round(4), columns=[f"x{number}" for number in range(20)])
    table["town"] = rng.choice(["Ulm", "Bonn", "Köln", "Kiel", "Jena"], rows)
    table["rooms"] = rng.integers(1, 9, rows)
    table["y"] = 3 * table["x0"] + table["x1"] ** 2 + table["x2"] * table["x3"] + rng.normal(size=rows)
    table.to_csv(folder / "long.csv", index=False)
    return folder / "long.csv"


def wide_table(columns: int, folder: Path) -> Path:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(500, columns)).round(4), columns=[f"x{n}" for n in range(columns)])
    table["y"] = 3 * table["x0"] + rng.normal(size=500)
    table.to_csv(folder / "wide.csv", index=False)
    return folder / "wide.csv"


def measured(file: Path, model: str, turns: int, folder: Path) -> tuple[float, float, float, float]:
    """Medians: seconds and MB of the run, and of the bare script."""
    (folder / "bare.py").write_text(BARE)
    run = ("-m", "boston_exp.run", "data=csv", f"data.path={file}", "data.target=y", f"model={model}")
    run += ("preprocess=tabular", f"tracking.uri=sqlite:///{folder}/mlflow.db")
    found = [(*seconds(*run, cwd=folder), *seconds("bare.py", str(file), model, cwd=folder)) for _ in range(turns)]
    ours, memory, bare, bare_memory = (statistics.median(column) for column in zip(*found, strict=True))
    return ours, memory, bare, bare_memory


def main(rows: tuple[int, ...], columns: tuple[int, ...]) -> int:
    table = Table("rows", "columns", "model", "run s", "script s", "ratio", "run MB", "script MB", "ratio", box=None)
    slow = []
    cases = [(number, 22, "hist_gradient_boosting") for number in rows] + [(500, number, "ridge") for number in columns]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, width, model in cases:
            file = long_table(number, folder) if model != "ridge" else wide_table(width, folder)
            measured(file, model, 1, folder)  # once without counting: the store is made, files are in memory
            ours, memory, bare, bare_memory = measured(file, model, 1 if number > 100_000 else 3, folder)
            cells = [f"{ours:.1f}", f"{bare:.1f}", f"{ours / bare:.2f}", f"{memory:.0f}", f"{bare_memory:.0f}"]
            table.add_row(f"{number:,}", f"{width:,}", model, *cells, f"{memory / bare_memory:.2f}")
            if number in MOST_ROWS and ours > MOST_ROWS[number][0] * bare + MOST_ROWS[number][1]:
                slow.append(f"{number:,} rows take {ours:.1f} s, the script {bare:.1f} s")
            if number in MOST_MEMORY and memory > MOST_MEMORY[number] * bare_memory:
                slow.append(f"{number:,} rows take {memory:.0f} MB, the script {bare_memory:.0f} MB")
    Console(width=120).print(table)
    print("\n".join(slow) or "within the bounds")
    return bool(slow)


if __name__ == "__main__":
    asked = tuple(int(each) for each in sys.argv[1:])
    sys.exit(main(asked or ROWS, () if asked else COLUMNS))
