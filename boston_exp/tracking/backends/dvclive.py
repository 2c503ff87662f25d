"""tracking.backend=dvclive: params, metrics, plots, model as files that `dvc metrics`, `plots` and `exp show` read."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig

from boston_exp.config.settings import PROJECT_ROOT
from boston_exp.errors import Fault
from boston_exp.tracking.backends.none import SweepNotRecorded
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.protocol import Finished, Outcome, Plan, SweepPlan

PLOTS: dict[str, dict[str, str]] = {
    "predictions": {"x": "actual", "y": "predicted", "template": "scatter", "title": "Predicted against actual"},
    "feature_importance": {"x": "importance", "y": "feature", "template": "bar_horizontal", "title": "Importance"},
}


def open_tracker(destination: Destination) -> DvcliveTracker:
    return DvcliveTracker(destination)


def faults(destination: Destination) -> list[Fault]:
    if find_spec("dvclive") is not None:
        return []
    return [
        Fault(
            "tracking=dvclive needs DVCLive, which is not installed.",
            "python -m pip install -e '.[dvclive]'   (in the project's folder)",
        )
    ]


class DvcliveTracker:
    """Writes `dvclive/` in the project for the pipeline of dvc.yaml, else in the folder of the run.

    Git and DVC remember these runs, so none is found finished here, and a sweep has no parent.
    """

    outage: str | None = None

    def __init__(self, destination: Destination) -> None:
        self._root = destination.artifact_root

    @contextmanager
    def start(self, plan: Plan) -> Iterator[DvcliveRecording]:
        yield DvcliveRecording(self._folder(), plan)

    def _folder(self) -> Path:
        if self._root:
            return Path(self._root)
        if os.environ.get("DVC_STAGE"):
            return PROJECT_ROOT / "dvclive"
        return Path(HydraConfig.get().runtime.output_dir) / "dvclive"

    def find_finished(self, fingerprint: str, with_model: bool, metrics: Sequence[str]) -> Finished | None:
        return None

    @contextmanager
    def sweep(self, plan: SweepPlan) -> Iterator[SweepNotRecorded]:
        yield SweepNotRecorded(where="the folders of its points (tracking=dvclive)")


class DvcliveRecording:
    """Writes nothing before the fit is over: a run that failed leaves no files that look like results."""

    run_id: str | None = None

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._folder = folder
        self._plan = plan

    @property
    def where(self) -> str:
        return f"{self._folder} (DVCLive)"

    @property
    def next_command(self) -> str:
        return f"dvc metrics show {self._folder / 'metrics.json'}"

    def log(self, outcome: Outcome) -> None:
        import pandas as pd
        import skops.io
        from dvclive import Live

        # DVCLive looks for a repository where we stand, and makes one where there is none
        with chdir(PROJECT_ROOT):
            live = Live(dir=str(self._folder), save_dvc_exp=False, dvcyaml=None, report=None)
            live.log_params(_nested(self._plan.params))
            for name, value in outcome.metrics.items():
                if math.isfinite(value):  # JSON has no nan
                    live.summary[name] = float(value)
            for name, columns in PLOTS.items():
                table = outcome.files / f"{name}.csv"
                if table.exists():
                    rows = pd.read_csv(table)[[columns["x"], columns["y"]]].to_dict("records")
                    live.log_plot(name, rows, **columns)
            for image in sorted((outcome.files / "figures").glob("*.png")):
                live.log_image(image.name, str(image))
            if outcome.store_model:
                skops.io.dump(outcome.estimator, self._folder / "model.skops")
            live.end()

    def log_files(self, files: Path) -> None:
        """Nothing: a run that was not finished leaves no files that look like results."""


def _nested(params: dict[str, str]) -> dict[str, Any]:
    """`model.max_depth: '10'` as DVC has parameters: a tree of typed values, with the same paths on every machine."""
    tree: dict[str, Any] = {}
    for name, text in params.items():
        *groups, last = name.split(".")
        node = tree
        for group in groups:
            node = node.setdefault(group, {})
        node[last] = _parsed(text.removeprefix(f"{PROJECT_ROOT}/"))
    return tree


def _parsed(text: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return None if text == "None" else text if isinstance(value, dict) else value
