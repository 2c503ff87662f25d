"""The screens after a run and a sweep, at the widths that terminals have."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from boston_exp.experiment.dataset import Dataset
from boston_exp.experiment.metrics import METRICS
from boston_exp.experiment.split import Split
from boston_exp.reporting import numbers, terminal
from boston_exp.sweep import outcome
from boston_exp.sweep.plan import Aim, Point, Report, Result
from boston_exp.tracking.backends.none import SweepNotRecorded
from tests.conftest import Command

WHERE = "sqlite:///mlflow.db (from conf/tracking), experiment boston-housing"
ID = "0123456789abcdef0123456789abcdef"
NEXT = (
    "mlflow ui --backend-store-uri sqlite:///mlflow.db\nhttp://127.0.0.1:5000/#/experiments/1/runs?viewStateShareKey=x"
)


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A terminal, of as many columns as the variable COLUMNS says."""
    monkeypatch.setenv("TTY_COMPATIBLE", "1")  # which tells rich that the output is a terminal
    monkeypatch.setenv("TERM", "dumb")
    return monkeypatch


def metrics(scale: float, folds: bool) -> dict[str, float]:
    found = {"fit_seconds": 0.123}
    for metric in METRICS:
        value = 0.87654 if metric.unit == "" else 11.2345 if metric.unit == "%" else 3.00123 * scale
        found |= {metric.name: value, f"train_{metric.name}": value * 0.6}
        found |= {f"{metric.name}_ci_low": value * 0.7, f"{metric.name}_ci_high": value * 1.3}
        if folds:
            found |= {f"cv_{metric.name}": value * 1.2, f"cv_{metric.name}_std": value / 9}
    return found


def dataset(unit: str = "thousand USD") -> Dataset:
    X = pd.DataFrame({f"x{number}": [1.0, 2.0] for number in range(13)})
    return Dataset("boston", X, X, pd.Series([1.0, 2.0], name="y"), "md5", "file", False, "y", unit)


def split(of: Dataset) -> Split:
    return Split(of.X, of.X, of.y, of.y)


@pytest.mark.parametrize("width", [80, 60, 40])
@pytest.mark.parametrize("folds", [True, False])
@pytest.mark.parametrize("scale", [1.0, 12345.0, 3e9])
def test_no_number_of_the_summary_is_cut_at_any_width(
    columns: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int, folds: bool, scale: float
) -> None:
    columns.setenv("COLUMNS", str(width))
    scores = metrics(scale, folds)
    terminal.show_run("random_forest max_depth=15", dataset(), split(dataset()), scores)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "…" not in text
    for metric in METRICS:
        assert numbers.score(scores[metric.name]) in text
        if width >= 80 and scale == 1:
            assert numbers.interval(scores[f"{metric.name}_ci_low"], scores[f"{metric.name}_ci_high"]) in text
    if width >= 60 and scale == 1:
        assert ("folds ± spread" in text) == folds
        assert "95 % interval" in text


def test_the_summary_has_at_most_twelve_lines_of_80_columns(
    columns: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    columns.setenv("COLUMNS", "80")
    terminal.show_run("random_forest max_depth=15", dataset(), split(dataset()), metrics(1.0, folds=True))
    terminal.show_record(WHERE, ID, NEXT)
    lines = capsys.readouterr().out.splitlines()
    assert sum(-(-len(line) // 80) for line in lines) <= 12


def test_a_pipe_gets_plain_text_and_whole_lines(command: Command) -> None:
    result = command("model.n_estimators=5", "figures=none")
    assert "\x1b" not in result.out
    assert "404 rows to train on, 102 held out, 13 features, fit in" in result.out.splitlines()[0]


def test_no_colour_where_none_is_wanted(columns: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    columns.setenv("TERM", "xterm-256color")
    changed = Dataset(**{**vars(dataset()), "changed": True})
    for wanted in (True, False):
        columns.setenv("NO_COLOR", "" if wanted else "1")
        terminal.show_run("ridge", changed, split(changed), metrics(1.0, folds=False))
        assert ("\x1b[33m" in capsys.readouterr().out) == wanted


def test_quiet_prints_the_id_alone(command: Command) -> None:
    one = command("model.n_estimators=5", "figures=none", "quiet=true")
    assert re.fullmatch(r"[0-9a-f]{32}\n", one.out)
    again = command("model.n_estimators=5", "figures=none", "quiet=true", "skip_finished=true")
    assert again.out == one.out
    swept = command("-m", "model.n_estimators=2,3", "figures=none", "quiet=true")
    assert re.fullmatch(r"[0-9a-f]{32}\n", swept.out)
    assert swept.err == ""


def report(points: int, parameters: int, metric: str = "cv_rmse") -> Report:
    names = [f"model.a_parameter_{number}" for number in range(parameters)]
    found = []
    for number in range(points):
        swept = tuple((name, f"{0.123456789 * (number + 1)}") for name in names)
        scores = {metric: 3.71234 + number, f"{metric}_std": 0.54321, "rmse": 3.0, "rmse_ci_low": 2.2}
        scores |= {"rmse_ci_high": 3.9}
        found.append(Result(Point((), swept), str(number), "finished", f"{number:08x}{'0' * 24}", scores))
    aim = Aim((metric,), ("minimize",))
    return Report("grid", points, tuple(names), aim, tuple(found), {}, "a grid", "thousand USD", (), "Ridge on boston")


class Parent(SweepNotRecorded):
    run_id = ID


@pytest.mark.parametrize("parameters", [1, 3, 9])
@pytest.mark.parametrize("width", [100, 80])
def test_a_sweeps_table_cuts_neither_metric_nor_id(
    columns: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], parameters: int, width: int
) -> None:
    columns.setenv("COLUMNS", str(width))
    outcome.show(made := report(36, parameters), outcome.results(made), Parent("here"), quiet=False)
    text = capsys.readouterr().out
    table = text[text.index("RMSE over") : text.index("and 31 more")]
    assert max(map(len, table.splitlines())) <= width
    assert "3.712 ± 0.54" in table
    assert "00000000" in table
    assert "…" not in table
    assert "and 31 more: python -m boston_exp.leaderboard sweep=01234567" in text
    assert "cv_rmse 3.712 ± 0.54, held out 3.000 (2.200 to 3.900) thousand USD" in text


@pytest.mark.parametrize("width", [100, 60, 40])
def test_several_objectives_cut_nothing_either(
    columns: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    columns.setenv("COLUMNS", str(width))
    names = ("cv_rmse", "cv_mae", "cv_r2_score", "predict_seconds")
    of = report(3, 2)
    scores = {"cv_rmse": 3.71234, "cv_mae": 2.51234, "cv_r2_score": 0.81234, "predict_seconds": 0.00123456}
    several = replace(of, aim=Aim(names, ("minimize", "minimize", "maximize", "minimize")))
    several = replace(several, results=tuple(replace(each, metrics=scores) for each in of.results))
    outcome.show(several, outcome.results(several), Parent("here"), quiet=False)
    text = capsys.readouterr().out
    for part in ("3.712", "2.512", "0.8123", "0.001235", "00000001", "Pareto front of"):
        assert part in text
    assert "…" not in text


def test_selecting_on_held_out_rows_is_said_in_the_line_of_the_score(capsys: pytest.CaptureFixture[str]) -> None:
    outcome.show(made := report(3, 1, "rmse"), outcome.results(made), Parent("here"), quiet=False)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("best ")]
    assert "rmse 3.000 ± 0.54, optimistic: selected on the held-out rows (evaluation=cv selects by folds)" in line


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.8771904, "0.8772"), (3.0, "3.000"), (11.2204, "11.22"), (23456.7, "23,460"), (1234567.0, "1,235,000"),
     (1.2345e9, "1.234e+09"), (1.2346e-7, "1.235e-07"), (0.0, "0.000"), (float("nan"), "nan")],
)  # fmt: skip
def test_scores_have_four_significant_digits(value: float, text: str) -> None:
    assert numbers.score(value) == text
    assert os.linesep not in numbers.plus_minus(value, value)


def test_a_table_of_ones_own_goes_to_an_experiment_of_its_own(command: Command, store: Path, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    (tmp_path / "houses.csv").write_text("a,b,y\n" + "".join(f"{n},{n % 7},{2 * n}\n" for n in range(40)))
    own = ("data=csv", "data.path=houses.csv", "data.target=y", "model=ridge", "figures=none")
    result = command(*own, "evaluation=cv")
    assert result.code == 0, result.err
    assert "experiment houses" in result.out
    client = MlflowClient(f"sqlite:///{store}")
    (run,) = client.search_runs([client.get_experiment_by_name("houses").experiment_id])
    assert run.data.tags["dataset"] == "houses"
    assert "leaderboard tracking.uri=" in run.data.tags["mlflow.note.content"]
    assert "tracking.experiment_name=houses" in run.data.tags["mlflow.note.content"]
    assert client.get_experiment_by_name("boston-housing") is None
    for more, name in ((["data.name=ours"], "ours"), (["tracking.experiment_name=theirs"], "theirs")):
        assert f"experiment {name}" in command(*own, *more).out
    listed = command("experiments=[houses]", program="leaderboard")
    assert "houses (data" in listed.out, listed.err
