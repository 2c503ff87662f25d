"""Families of models: counted, ordered, told apart, and drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from rich.console import Console

from boston_exp.sweep import families, family_figures, figures, outcome
from boston_exp.sweep.plan import Aim, Families, Point, Report, Result
from boston_exp.sweep.telling import name_of

FAMILIES = Families("model", {"ridge": {"model.alpha": "ridge.alpha"}, "knn": {"model.p": "knn.p"}, "svr": {}})


@dataclass(frozen=True)
class Alike:
    entries: int
    run_ids: tuple[str, ...]


def point(model: str, score: float | None, status: str = "finished", **settings: str) -> Result:
    pairs = (("model", model), *((f"model.{name}", value) for name, value in settings.items()))
    metrics = {} if score is None else {"cv_rmse": score, "cv_rmse_std": 0.5, "rmse": score + 1}
    name = f"{model}{score}{status}"
    return Result(Point(tuple(f"{key}={value}" for key, value in pairs), pairs), name, status, name, metrics)


def report(*results: Result) -> Report:
    swept = ("model", "model.alpha", "model.p")
    made = Report("optuna", 9, swept, Aim(("cv_rmse",), ("minimize",)), results, families=FAMILIES)
    return replace(made, compared=families.compared(made, lambda of: Alike(0, ())))


SEVERAL = (
    point("ridge", 3.0, alpha="1.0"), point("knn", 2.0, p="1"), point("ridge", 2.5, alpha="10.0"),
    point("knn", None, "pruned", p="2"), point("svr", None, "failed"), point("ridge", 2.7, alpha="100.0"),
)  # fmt: skip


def test_families_are_ordered_by_their_best_and_say_how_often_they_were_tried() -> None:
    made = report(*SEVERAL)
    assert [(each.name, len(each.points)) for each in made.compared] == [("knn", 2), ("ridge", 3), ("svr", 1)]
    console = Console(width=100, record=True)
    console.print(families.shown(made, made.compared, console))
    lines = [line.split() for line in console.export_text().splitlines()]
    assert lines[1][:6] == ["knn", "2", "(1", "pruned)", "2.000", "±"]
    assert lines[3][:4] == ["svr", "1", "(1", "failed)"]
    narrow = Console(width=30, record=True)
    narrow.print(families.shown(made, made.compared, narrow))
    assert "2.000 ± 0.50" in " ".join(narrow.export_text().split())


def test_a_family_contends_if_one_of_its_points_does_and_nothing_is_said_where_that_is_not_known() -> None:
    made = report(*SEVERAL)
    assert {each.contends for each in made.compared} == {None}
    assert families.how_sure(made, made.compared) == ""
    contending = families.compared(made, lambda of: Alike(4, ("ridge2.7finished",)))
    assert [each.contends for each in contending] == [True, True, False]
    assert "Not told from knn (max-t test, 5 %), marked ≈: ridge." in families.how_sure(made, contending)
    alone = families.compared(made, lambda of: Alike(4, ()))
    assert [each.contends for each in alone] == [True, False, False]
    assert "Every other is told from knn" in families.how_sure(made, alone)


def test_the_test_is_given_the_best_points_of_each_family() -> None:
    many = [point("ridge", 3.0 + place / 100) for place in range(60)] + [point("knn", 9.0)]
    given: list[int] = []

    def contending(of: Report) -> Alike:
        given.append(len(of.results))
        return Alike(2, ())

    families.compared(report(*many), contending)
    assert given == [families.COMPARED + 1]


def test_what_a_point_does_not_have_is_not_shown() -> None:
    made = report(*SEVERAL)
    table = outcome.results(made)
    rows = table.to_dict("records")
    assert name_of(made, rows[0]) == "model=knn p=1"
    assert name_of(made, rows[1]) == "model=ridge alpha=10"


def test_a_parameter_that_no_point_has_had_yet_is_a_gap() -> None:
    """A search that ends before it comes to the last option."""
    made = report(point("ridge", 3.0, alpha="1.0"))
    table = outcome.results(made)
    assert table["model.p"].isna().all()
    assert name_of(made, table.to_dict("records")[0]) == "model=ridge alpha=1"
    assert [name for name, _ in figures.figures(made, table)] == ["families", "history"]


def test_a_parameter_that_only_some_points_have_is_drawn_by_those() -> None:
    made = report(*SEVERAL)
    figure = figures.by_parameter(made, outcome.results(made))
    assert [axes.get_xlabel() for axes in figure.axes] == ["ridge.alpha"]  # of knn one point has a score
    drawn = [line for line in figure.axes[0].collections if line.get_label() == "point"]
    assert len(np.asarray(drawn[0].get_offsets())) == 3


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_figure_has_a_line_for_each_family_the_best_at_the_top(direction: str) -> None:
    made = replace(report(*SEVERAL, point("ridge", 900.0)), aim=Aim(("cv_rmse",), (direction,)))
    made = replace(made, compared=families.compared(made, lambda of: Alike(0, ())))
    axes = family_figures.families(made).axes[0]
    labels = [label.get_text().split(" ")[0] for label in axes.get_yticklabels()]
    assert labels == [each.name for each in made.compared if each.best]
    low, high = axes.get_ylim()
    assert low > high
    if direction == "minimize":  # a point far worse than all bests is counted, and squeezes nothing
        assert axes.get_xlim()[1] < 10
        assert "1 worse than shown" in [text.get_text() for text in axes.figure.legends[0].get_texts()]
