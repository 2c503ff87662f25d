"""`report=`: one HTML file of a run or a sweep that loads nothing, and that a person can read on any screen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mlflow import MlflowClient

from boston_exp.sweep import telling
from boston_exp.sweep.outcome import results
from boston_exp.tracking.backends.none import NoHistory
from tests import browser
from tests.browser import Browser
from tests.conftest import Command
from tests.reporting.test_gallery import report as a_report

LOADS = re.compile(r"<script|<link|<img|@import|url\((?!#)|(?:src|href)=\"(?!#|data:)")
FOREST = ("model.n_estimators=10", "evaluation=cv", "figures=none")


def logged(store: Path, name: str) -> str:
    """The report among the artifacts of the run with that name."""
    client = MlflowClient(f"sqlite:///{store}")
    runs = client.search_runs([client.get_experiment_by_name("boston-housing").experiment_id])
    (run,) = [run for run in runs if run.info.run_name == name]
    return Path(client.download_artifacts(run.info.run_id, "report.html")).read_text()


def test_a_run_writes_its_report_here_and_into_its_record(command: Command, store: Path, tmp_path: Path) -> None:
    result = command(*FOREST, "report=reports/run.html", "name=mine")
    assert result.code == 0, result.err
    text = (tmp_path / "reports" / "run.html").read_text()
    assert text == logged(store, "mine")
    assert not LOADS.search(text)
    for part in ("<h1>mine</h1>", "How good it is", "What stands out", "What it rests on", "Errors by groups",
                 "model.n_estimators", "python -m boston_exp.run model.n_estimators=10", "scikit-learn"):  # fmt: skip
        assert part in text
    assert text.count("<svg") == 2
    assert "report=" not in text  # the command that trains it again writes no report
    assert f"report      {tmp_path}/reports/run.html" in result.err


def test_a_sweep_writes_one_report_and_its_points_none(command: Command, store: Path, tmp_path: Path) -> None:
    result = command("-m", *FOREST, "model.max_depth=2,8,-1", "report=sweep.html")
    assert result.code == 1
    text = (tmp_path / "sweep.html").read_text()
    assert text == logged(store, "random_forest n_estimators=10: grid over max_depth")
    assert not LOADS.search(text)
    for part in ("grid of 3 points: 2 done, 1 failed", "max_depth=8: cv_rmse", "by a max-t test", "2,8,-1",
                 "How the search went", "What failed", "model.max_depth=-1 is not possible",
                 "python -m boston_exp.run -m model.n_estimators=10 evaluation=cv"):  # fmt: skip
        assert part in text
    client = MlflowClient(f"sqlite:///{store}")
    children = client.search_runs(["1"], "tags.mlflow.parentRunId LIKE '%'")
    assert children
    for child in children:
        assert not any(item.path == "report.html" for item in client.list_artifacts(child.info.run_id))


@pytest.mark.parametrize("place", ["folder", "file.csv/report.html"])
def test_a_report_that_cannot_be_written_is_refused_before_the_training(
    command: Command, store: Path, tmp_path: Path, place: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.csv").write_text("")
    result = command(*FOREST, f"report={place}")
    assert result.code == 2
    assert "cannot be written there" in result.err
    assert MlflowClient(f"sqlite:///{store}").get_experiment_by_name("boston-housing") is None


def test_a_sweep_that_selects_on_held_out_rows_is_not_called_sure(command: Command, tmp_path: Path) -> None:
    quick = ("model=ridge", "figures=none", "evaluation=holdout")
    assert command("-m", *quick, "model.alpha=1,2", "report=r.html").code == 0
    text = (tmp_path / "r.html").read_text()
    assert "Not sure: 2 points were scored on the held-out rows" in text
    assert "≈" not in text


def test_seeds_of_one_point_are_not_called_compared(command: Command, tmp_path: Path) -> None:
    assert command("-m", *FOREST, "seed=1,2,3", "report=r.html").code == 0
    text = (tmp_path / "r.html").read_text()
    assert "max-t test" not in text
    assert "≈" not in text
    assert "the held-out rows confirm" in text


def test_what_was_not_chosen_by_folds_is_not_called_so(command: Command, tmp_path: Path) -> None:
    quick = ("model=ridge", "figures=none", "evaluation=cv", "objective.metric=train_rmse")
    assert command("-m", *quick, "model.alpha=1,2", "report=r.html").code == 0
    assert "chosen by folds" not in (tmp_path / "r.html").read_text()


def test_nobody_can_put_markup_into_a_report(command: Command, tmp_path: Path) -> None:
    hostile = "<b onclick=x()>"
    (tmp_path / "h.csv").write_text(f"{hostile},y\n" + "".join(f"{n},{2 * n}\n" for n in range(40)))
    own = ("data=csv", "data.path=h.csv", "data.target=y", "model=ridge", "report=r.html", f"name='{hostile}'")
    result = command(*own)
    assert result.code == 0, result.err
    text = (tmp_path / "r.html").read_text()
    assert hostile not in text
    assert "&lt;b onclick" in text


def three_hundred(folder: Path) -> Path:
    of = a_report(points=300)
    file = folder / "large.html"
    file.write_text(telling.page(of, results(of), "0" * 32, {"model.alpha": "interval(1,2)"}, NoHistory()))
    return file


def test_the_report_of_300_points_is_below_2_mb(tmp_path: Path) -> None:
    file = three_hundred(tmp_path)
    assert file.stat().st_size < 2_000_000
    assert "all 244 points that have a score" in file.read_text()


PAGE = "getComputedStyle(document.body).backgroundColor"
INK = "getComputedStyle(document.querySelector('svg text')).fill"


def brightness(tab: Browser, colour: str) -> int:
    """Of an expression that gives `rgb(1, 2, 3)`: from 0 to 765."""
    return sum(map(int, re.findall(r"\d+", tab.evaluated(colour))[:3]))


@pytest.mark.slow
@pytest.mark.skipif(browser.PROGRAM is None, reason="no Chromium here: the reports were not looked at")
def test_reports_can_be_read_on_wide_and_narrow_light_and_dark_screens(command: Command, tmp_path: Path) -> None:
    assert command(*FOREST, "report=run.html").code == 0
    assert command("-m", *FOREST, "model.max_depth=2,8,-1", "report=sweep.html").code == 1
    three_hundred(tmp_path)
    with browser.browser() as tab:
        for name, figures in (("run", 2), ("sweep", 2), ("large", 3)):
            for width in (1400, 900, 400):
                for scheme in ("light", "dark"):
                    tab.size(width)
                    tab.prefer(scheme)
                    text = tab.open((tmp_path / f"{name}.html").as_uri(), lambda shown: "Train it again" in shown)
                    assert tab.errors == []
                    assert "RMSE" in text
                    assert tab.evaluated("document.querySelectorAll('svg').length") == figures
                    assert tab.evaluated("document.documentElement.scrollWidth") <= width  # nothing is cut at the side
                    page, ink = (brightness(tab, what) for what in (PAGE, INK))
                    assert abs(page - ink) > 300
                    assert (page > ink) == (scheme == "light")
