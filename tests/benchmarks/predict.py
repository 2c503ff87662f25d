"""What predicting 1,000,000 rows of 22 columns costs beside reading them, the model's own predict and writing.

python -m tests.benchmarks.predict            some two minutes (make bench runs it, too)
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from tests.benchmarks.sweeps import row_of
from tests.conftest import ROOT

ROWS, COLUMNS, TURNS = 1_000_000, 22, 3
BARE = """
import sys
import numpy as np, pandas as pd, skops.io
model = skops.io.load(sys.argv[1], trusted=skops.io.get_untrusted_types(file=sys.argv[1]))
with open(sys.argv[3], "w") as output:
    output.write("row,prediction\\n")
    first = 0
    for chunk in pd.read_csv(sys.argv[2], chunksize=50_000):
        predicted = model.predict(chunk.astype("float64"))
        pd.DataFrame({"row": np.arange(first, first + len(chunk)), "prediction": predicted}).to_csv(
            output, header=False, index=False
        )
        first += len(chunk)
"""


def seconds(*command: str, cwd: Path) -> tuple[float, float]:
    """Wall time and the largest memory, MB, of a command."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command], cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return time.perf_counter() - begun, _megabytes(used)


def _megabytes(used: resource.struct_rusage) -> float:
    return used.ru_maxrss / 1024


def table(folder: Path) -> tuple[Path, Path]:
    """New rows, and the first of them with a target to train on."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, COLUMNS)).round(4)
    frame = pd.DataFrame(X, columns=[f"x{number}" for number in range(COLUMNS)])
    new, train = folder / "new.csv", folder / "train.csv"
    frame.to_csv(new, index=False)
    frame.head(20_000).assign(y=X[:20_000, :5].sum(axis=1) + rng.normal(size=20_000)).to_csv(train, index=False)
    return new, train


def main() -> None:
    """Medians of turns that alternate."""
    shown = Table("what", "measured", "bound")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        new, train = table(folder)
        store = f"tracking.uri=sqlite:///{folder}/mlflow.db"
        for model in ("hist_gradient_boosting", "ridge"):
            seconds(
                "-m", "boston_exp.run", f"model={model}", "data=csv", f"data.path={train}", "data.target=y", store,
                "evaluation=cv", "figures=none", f"hydra.run.dir={folder}/{model}", cwd=folder,
            )  # fmt: skip
            (file,) = (each for each in folder.rglob("artifacts/model/model.skops") if "runs" not in each.parts)
            ours = ("-m", "boston_exp.predict", f"from_model={_with_profile(file)}", f"input={new}", "output=ours.csv")
            bare = ("-c", BARE, str(file), str(new), "bare.csv")
            turns = [(seconds(*ours, cwd=folder), seconds(*bare, cwd=folder)) for _ in range(TURNS)]
            took, alone = (statistics.median(turn[side][0] for turn in turns) for side in (0, 1))
            memory = statistics.median(turn[0][1] for turn in turns)
            print(f"{model}: {took:.1f} s with intervals and flags, {alone:.1f} s bare", file=sys.stderr)
            row_of(shown, f"1,000,000 x 22, {model}: against reading, predict and writing", took / alone, 1.2, "x")
            row_of(shown, f"its memory, {model}", memory, 600, "MB")
            file.parents[1].rename(folder / f"done-{model}")
    Console().print(shown)


def _with_profile(model: Path) -> Path:
    """The model's file beside the profile and the residuals of its run."""
    for name in ("profile.json", "out_of_fold.csv"):
        (model.parent / name).write_bytes((model.parents[1] / name).read_bytes())
    return model


if __name__ == "__main__":
    main()
