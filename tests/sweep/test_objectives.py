"""Several objectives: the front on the screen, in results.csv, in the story, in the report and as a figure."""

from __future__ import annotations

import io
import math
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from boston_exp.sweep import figures, outcome, telling
from boston_exp.sweep.live import block
from boston_exp.sweep.plan import Aim, Point, Report, Result
from boston_exp.sweep.progress import Progress
from boston_exp.sweep.screen import Screen
from boston_exp.tracking.backends.none import SweepNotRecorded

AIM = Aim(("cv_rmse", "fit_seconds"), ("minimize", "minimize"))
SCORES = [(4.0, 0.1), (3.0, 0.2), (2.0, 0.4), (3.5, 0.3), (math.nan, math.nan)]  # the first three are the front


def result(number: int, key: int | None = None) -> Result:
    rmse, seconds = SCORES[number]
    scores = {} if math.isnan(rmse) else {"cv_rmse": rmse, "cv_rmse_std": 0.5, "fit_seconds": seconds}
    point = Point((f"model.max_depth={number}",), (("model.max_depth", str(number)),))
    status = "finished" if scores else "failed"
    return Result(point, str(number if key is None else key), status, f"{number:032x}", scores, "no memory")


@pytest.fixture
def report() -> Report:
    """A point of the front is there twice: a search may propose it again."""
    found = (*map(result, range(5)), result(1))
    return Report("optuna", len(found), ("model.max_depth",), AIM, found, unit="thousand USD")


def test_the_figure_has_the_front_as_a_staircase_and_each_point_once(report: Report, tmp_path: Path) -> None:
    table = outcome.results(report)
    drawn = dict(figures.figures(report, table))
    (axes,) = drawn["pareto"].axes
    (front,) = [line for line in axes.get_lines() if str(line.get_label()).startswith("Pareto")]
    assert front.get_label() == "Pareto front (3)"
    assert front.get_xydata().tolist() == [[0.1, 4.0], [0.2, 3.0], [0.4, 2.0]]  # type: ignore[union-attr]
    assert front.get_drawstyle() == "steps-post"
    assert axes.get_xlabel() == "fit, seconds, lower is better"
    assert axes.get_ylabel() == "RMSE over folds (thousand USD),\nlower is better"
    figures.draw(tmp_path, report, table, dpi=80)
    assert min(Image.open(tmp_path / "pareto.png").size) > 250


def test_the_staircase_of_an_objective_that_is_maximised_goes_the_other_way() -> None:
    aim = Aim(("cv_rmse", "cv_r2_score"), ("minimize", "maximize"))
    found = [
        Result(Point((), (("x", str(n)),)), str(n), "finished", f"{n:032x}", {"cv_rmse": rmse, "cv_r2_score": r2})
        for n, (rmse, r2) in enumerate([(1.0, 0.5), (2.0, 0.9)])
    ]
    report = Report("grid", 2, ("x",), aim, tuple(found))
    (axes,) = dict(figures.figures(report, outcome.results(report)))["pareto"].axes
    (front,) = axes.get_lines()
    assert front.get_drawstyle() == "steps-pre"


def test_the_screen_has_the_front_and_says_what_best_means(report: Report, capsys: pytest.CaptureFixture[str]) -> None:
    outcome.show(report, outcome.results(report), SweepNotRecorded(), quiet=False)
    out = capsys.readouterr().out
    assert "Pareto front of cv_rmse, fit_seconds: 3 points" in out
    rows = [line.split() for line in out.splitlines() if "±" in line and not line.startswith("best")]
    assert [row[:4] for row in rows] == [
        ["2.000", "±", "0.50", "0.4000"], ["3.000", "±", "0.50", "0.2000"], ["4.000", "±", "0.50", "0.1000"],
    ]  # fmt: skip
    assert "best        by cv_rmse alone: max_depth=2: cv_rmse 2.000 ± 0.50" in out


def test_the_story_has_every_objective(report: Report) -> None:
    told = telling.story(report, outcome.results(report), "0" * 32, lambda run_id: run_id)
    assert "| RMSE over folds (thousand USD) | fit, seconds | held out | point | run |\n|---|---|---|---|---|" in told
    assert told.count("| max\\_depth=") + told.count("| max_depth=") == 3
    assert "| 3.000 ± 0.50 | 0.2000 |" in told


def test_a_point_is_told_of_with_all_its_scores(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(5, AIM, workers=1)
    with Screen(5, AIM) as screen:
        for number in (1, 2, 4):
            screen.update(result(number))
            progress.ended(result(number), now=0.0)
    said = capsys.readouterr().err.splitlines()
    assert said[:3] == [
        "1/5 finished cv_rmse 3.000 ± 0.50, fit_seconds 0.2000: max_depth=1; best cv_rmse 3.000",
        "2/5 finished cv_rmse 2.000 ± 0.50, fit_seconds 0.4000: max_depth=2; best cv_rmse 2.000",
        "3/5 failed max_depth=4: no memory",
    ]
    console = Console(file=io.StringIO(), width=80, height=24)
    console.print(block(progress, console, 0.0, None, ending=False))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "best  by cv_rmse alone: cv_rmse 2.000 ± 0.50: max_depth=2" in shown
