"""Optuna's dashboard on a study of ours, as README shows it: names that can be read, in its API and on its pages."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tests import services
from tests.browser import PROGRAM, browser
from tests.conftest import Command

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (services.BIN / "optuna-dashboard").exists(), reason="needs optuna-dashboard: pip install -e '.[dashboard]'"
    ),
]
SEARCH = (
    "-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=3", "hydra.sweeper.sampler.seed=1", "model=ridge",
    "model.alpha=tag(log,interval(0.01,100))", "figures=none", "tracking.log_model=none",
)  # fmt: skip


def asked(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 (our own service)
        return json.load(answer)


def test_the_dashboard_shows_names_that_can_be_read(command: Command, store: Path, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/optuna.db"
    for objective in ("cv_rmse", "[cv_rmse,fit_seconds]"):
        searched = command(*SEARCH, f"hydra.sweeper.storage={storage}", f"objective.metric={objective}")
        assert searched.code == 0, searched.err
    with services.optuna_dashboard(tmp_path, storage) as served:
        studies = {
            each["study_name"]: each["study_id"] for each in asked(f"{served.url}/api/studies")["study_summaries"]
        }
        one, both = sorted(studies, key=len)
        assert one.startswith("Ridge cv_rmse ")
        assert both.startswith("Ridge cv_rmse fit_seconds ")
        study = asked(f"{served.url}/api/studies/{studies[one]}")
        assert study["objective_names"] == ["cv_rmse"]
        assert asked(f"{served.url}/api/studies/{studies[both]}")["objective_names"] == ["cv_rmse", "fit_seconds"]
        (best,) = study["best_trials"]
        (run_id,) = [each["value"] for each in best["user_attrs"] if each["key"] == "boston_exp.run_id"]
        recorded = MlflowClient(f"sqlite:///{store}").get_run(run_id).data.metrics["cv_rmse"]
        assert best["values"] == [recorded]
        assert f"cv_rmse {recorded:.4g}" in searched.out
        if PROGRAM is None:
            pytest.skip("the pages need chromium")
        with browser() as tab:
            tab.open(served.url, lambda text: one in text and both in text)
            page = f"{served.url}/dashboard/studies/{studies[one]}"
            tab.open(page, lambda text: one in text and "cv_rmse" in text and str(recorded)[:8] in text)
            tab.open(f"{served.url}/dashboard/studies/{studies[both]}", lambda text: "Pareto Front" in text)
            assert tab.errors == []
