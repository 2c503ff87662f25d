"""MLflow's pages as a person sees them, in a real browser: what the project's addresses open, and what is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tests import browser, services
from tests.browser import Browser
from tests.conftest import Command, Result, python
from tests.services import Service

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.PROGRAM is None, reason="no Chromium here: MLflow's pages were not looked at"),
]
INPUTS = "[...document.querySelectorAll('input,textarea')].map(each => each.value).join()"
LINKS = "[...document.querySelectorAll('a')].map(each => each.getAttribute('href')).join(' ')"
NAMES = """
[...document.querySelectorAll('a[href*="/runs/"]')]
    .sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top).map(each => each.innerText).join('|')
"""
WRONG = ("Request error", "Something went wrong", "Page not found", "Detect Issues", "Cannot load", "Error loading")


@dataclass(frozen=True)
class Afternoon:
    """A few runs and a sweep in a store, what was printed of them, and the address of MLflow's pages on it."""

    client: MlflowClient
    runs: dict[str, Run]
    single: Result
    swept: Result
    url: str

    @property
    def parent(self) -> Run:
        return next(run for name, run in self.runs.items() if "grid over" in name)

    def page_of(self, run: Run) -> str:
        return f"{self.url}/#/experiments/1/runs/{run.info.run_id}"

    def printed(self, result: Result) -> str:
        """The address that a command has printed, where the pages are served here."""
        return self.url + found(r"http://127\.0\.0\.1:5000(/\S+)", result.out)


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match, text
    return match[1]


@pytest.fixture(scope="module")
def afternoon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Afternoon]:
    folder = tmp_path_factory.mktemp("pages")
    store = folder / "mlflow.db"

    def run(*overrides: str) -> Result:
        place = (f"tracking.uri=sqlite:///{store}", f"hydra.run.dir={folder}/out", f"hydra.sweep.dir={folder}/many")
        return python("-m", "boston_exp.run", *overrides, *place, cwd=folder)

    single = run("evaluation=cv", "model=ridge", "preprocess=standard", "name=my ridge")
    assert single.code == 0, single.err
    assert run("model=ridge", "figures=none").code == 0
    swept = run("-m", "model.max_depth=2,8,-1", "model.n_estimators=20", "tracking.log_model=best")
    assert swept.code == 1, swept.err
    client = MlflowClient(f"sqlite:///{store}")
    (experiment,) = [each for each in client.search_experiments() if each.name == "boston-housing"]
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    with services.mlflow_ui(folder, store) as pages:
        yield Afternoon(client, runs, single, swept, pages.url)


@pytest.fixture(scope="module")
def tab() -> Iterator[Browser]:
    with browser.browser(1400) as opened:
        yield opened


def seen(tab: Browser, address: str, *words: str) -> str:
    """The page's text, once all of the words are in it; nothing of it is an error."""
    text = tab.open(address, lambda shown: all(word in shown for word in words))
    assert not [wrong for wrong in WRONG if wrong in text], text
    assert tab.errors == []
    return text


def test_the_address_of_a_run_opens_the_list_of_runs_the_best_first(afternoon: Afternoon, tab: Browser) -> None:
    text = seen(tab, afternoon.printed(afternoon.single), "my ridge", "max_depth=8", "cv_rmse", "Which model?")
    names = ["max_depth=8 random_forest", "my ridge", "max_depth=2 random_forest"]
    assert [name for name in tab.evaluated(NAMES).split("|") if name.partition(" n_")[0] in names][:3] == [
        f"{names[0]} n_estimators=20", names[1], f"{names[2]} n_estimators=20",
    ]  # fmt: skip
    assert "grid over" not in text  # the sweep's run would have the scores of its best point again
    assert "tags.`sweep.key` IS NULL" in tab.evaluated(INPUTS)


def test_the_address_of_a_sweep_opens_its_points_with_what_was_swept(afternoon: Afternoon, tab: Browser) -> None:
    tab.size(1800)
    text = seen(tab, afternoon.printed(afternoon.swept), "max_depth=8", "cv_rmse", "model.max_depth")
    tab.size(1400)
    assert "my ridge" not in text
    assert "max_depth=-1" in text  # the one that failed, too


@pytest.mark.parametrize("width", [1400, 900])
def test_the_page_of_a_run_tells_its_story(afternoon: Afternoon, tab: Browser, width: int) -> None:
    run = afternoon.runs["my ridge"]
    tab.size(width)
    text = seen(tab, afternoon.page_of(run), "Description", "held out (95 % interval)")
    tab.size(1400)
    assert "Ridge on boston (13 features), 404 rows to train on, 102 held out." in text
    assert f"{run.data.metrics['rmse']:.4g} (" in text


def test_the_page_of_a_sweep_leads_to_its_best_points(afternoon: Afternoon, tab: Browser) -> None:
    text = seen(tab, afternoon.page_of(afternoon.parent), "Description", "Best: max_depth=8: ")
    assert "boston (3612cdb00d81977bf402e334f47be860)" in text
    best = afternoon.runs["max_depth=8 random_forest n_estimators=20"]
    link = f"#/experiments/1/runs/{best.info.run_id}?workflowType=machine_learning"
    assert link in tab.evaluated(LINKS)
    seen(tab, f"{afternoon.url}/{link}", "max_depth=8 random_forest")


def test_the_models_have_names_and_the_best_ones_page_its_numbers(afternoon: Afternoon, tab: Browser) -> None:
    seen(tab, f"{afternoon.url}/#/experiments/1/models?workflowType=machine_learning", "my ridge", "max_depth=8")
    parent = afternoon.parent
    (output,) = parent.outputs.model_outputs
    text = seen(tab, f"{afternoon.url}/#/experiments/1/models/{output.model_id}", "cv_rmse", "Datasets used")
    assert "boston (#3612cdb00d81977bf402e334f47be860)" in text
    assert f"{parent.data.metrics['cv_rmse']:.10f}"[:9] in text
    assert "RandomForestRegressor on boston" in text


def test_a_point_that_failed_has_its_error_and_the_command_of_it_alone(afternoon: Afternoon, tab: Browser) -> None:
    run = afternoon.runs["max_depth=-1 random_forest n_estimators=20"]
    page = afternoon.page_of(run)
    text = seen(tab, page, "Description", "failed: ")
    assert "python -m boston_exp.run model.max_depth=-1 model.n_estimators=20" in text
    seen(tab, f"{page}/artifacts/error.txt", "error.txt", "model.max_depth=-1 is not possible")
    kept = Path(afternoon.client.download_artifacts(run.info.run_id, "config/overrides.yaml"))
    assert "- model.max_depth=-1\n" in kept.read_text()


def test_with_a_server_both_ids_are_printed(command: Command, server: Service, tab: Browser, tmp_path: Path) -> None:
    name = f"pages-{tmp_path.name}"
    place = (f"tracking.uri={server.url}", f"tracking.local_uri=sqlite:///{tmp_path}/mlflow.db")
    how = (f"tracking.experiment_name={name}", "figures=none", "evaluation=cv", f"hydra.sweep.dir={tmp_path}/many")
    result = command(*place, *how, "model=ridge", "model.alpha=1,2", "-m")
    assert result.code == 0, result.err
    here, there = found(r"run id +([0-9a-f]{32})", result.out), found(r"as ([0-9a-f]{32})", result.out)
    client = MlflowClient(server.url)
    parent = client.get_run(there)
    assert parent.data.tags["sync.source"] == here
    children = client.search_runs([parent.info.experiment_id], f"tags.mlflow.parentRunId = '{there}'")
    note = parent.data.tags["mlflow.note.content"]
    for child in children:  # descriptions point at runs as they are called there
        page = f"(#/experiments/{parent.info.experiment_id}/runs/{child.info.run_id}?"
        assert f"[{child.info.run_id[:8]}]{page}" in note
    assert here not in note
    seen(tab, found(r"open (http\S+)", result.out), "alpha=1 ridge", "alpha=2 ridge", "cv_rmse")
    for run_id in (here, there):
        told = command(*place, how[0], f"sweep={run_id[:12]}", program="leaderboard")
        assert told.out.count("ridge") == 2, told.err
