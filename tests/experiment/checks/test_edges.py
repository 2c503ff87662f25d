"""The best value at the edge of its range fires where it is better than the nearest inner one, and may go on."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from boston_exp.config import invocation
from boston_exp.config.invocation import Invocation
from boston_exp.experiment.checks.edges import at_the_edge
from boston_exp.experiment.checks.finding import Finding


@pytest.fixture(autouse=True)
def _typed() -> None:
    invocation.begin(Invocation.of("run", ["-m", "model=ridge", "model.alpha=0.1,1,10"]))


def fired(name: str, texts: list[str], losses: list[float], noise: float = 0.1, factor: float = 1.5) -> list[Finding]:
    """Of points that differ in one parameter, by their mean losses over a hundred rows."""
    rng = np.random.default_rng(0)
    rows = [mean + noise * rng.normal(size=100) for mean in losses]
    best = int(np.argmin(losses))
    return at_the_edge([{name: text} for text in texts], best, rows.__getitem__, factor)


@pytest.mark.parametrize(
    ("name", "texts", "losses", "change"),
    [
        ("model.alpha", ["0.1", "1", "10"], [3.0, 2.0, 1.0], "model.alpha=1,10,100"),
        ("model.alpha", ["0.1", "1", "10"], [1.0, 2.0, 3.0], "model.alpha=1,0.1,0.01"),
        ("model.n_neighbors", ["3", "5", "7"], [3.0, 2.0, 1.0], "model.n_neighbors=5,7,10"),
        ("model.max_depth", ["4", "6", "8"], [3.0, 2.0, 1.0], "model.max_depth=6,8,11"),
        ("model.max_features", ["0.3", "0.5", "0.9"], [3.0, 2.0, 1.0], "model.max_features=0.5,0.9,1"),
        ("model.coef0", ["-1", "0", "2"], [3.0, 2.0, 1.0], "model.coef0=0,2,4"),
    ],
)
def test_an_edge_that_beats_the_nearest_fires(name: str, texts: list[str], losses: list[float], change: str) -> None:
    (finding,) = fired(name, texts, losses)
    assert finding.code == "BX401"
    assert finding.mend == f"python -m boston_exp.run -m model=ridge {change}" or "model.alpha=0.1,1,10" in finding.mend
    assert change in finding.mend


@pytest.mark.parametrize(
    ("name", "texts", "losses"),
    [
        ("model.alpha", ["0", "1", "10"], [1.0, 2.0, 3.0]),
        ("model.min_samples_leaf", ["1", "5", "10"], [1.0, 2.0, 3.0]),
        ("model.min_samples_split", ["2", "5", "10"], [1.0, 2.0, 3.0]),
        ("model.n_neighbors", ["1", "5", "10"], [1.0, 2.0, 3.0]),
        ("model.max_features", ["0.3", "0.5", "1.0"], [3.0, 2.0, 1.0]),
        ("model.max_depth", ["5", "10", "null"], [3.0, 2.0, 1.0]),
        ("model.max_depth", ["5", "10", "null"], [3.0, 1.0, 2.0]),
        ("model.weights", ["uniform", "distance", "other"], [3.0, 2.0, 1.0]),
        ("model.alpha", ["1", "10"], [2.0, 1.0]),
        ("model.alpha", ["0.1", "1", "10"], [2.0, 1.0, 3.0]),
        ("seed", ["1", "2", "3"], [3.0, 2.0, 1.0]),
        ("data.test_size", ["0.1", "0.2", "0.3"], [3.0, 2.0, 1.0]),
    ],
)
def test_a_natural_bound_and_an_inner_best_do_not(name: str, texts: list[str], losses: list[float]) -> None:
    """Nor words, nor two values, which are edges both, nor what is no parameter of a model."""
    assert fired(name, texts, losses) == []


def test_a_difference_within_noise_does_not() -> None:
    assert fired("model.alpha", ["0.1", "1", "10"], [1.02, 1.01, 1.0], noise=1.0) == []


def test_losses_that_are_not_recorded_do_not() -> None:
    points = [{"model.alpha": text} for text in ("0.1", "1", "10")]
    assert at_the_edge(points, 2, lambda place: None, 1.0) == []


def test_the_nearest_inner_point_is_alike_in_everything_else() -> None:
    """In a grid of two parameters: the neighbour of the best in one of them, the other as it is."""
    points = [
        {"model.max_depth": depth, "model.learning_rate": rate}
        for depth, rate in product(["2", "4", "8"], ["0.01", "0.1", "0.3"])
    ]
    rng, asked = np.random.default_rng(0), []

    def losses(place: int) -> np.ndarray:
        asked.append(place)
        depth, rate = (float(value) for value in points[place].values())
        return 10 - depth + abs(rate - 0.1) + 0.1 * rng.normal(size=100)

    (finding,) = at_the_edge(points, 7, losses, 1.5)
    assert "max_depth" in finding.says
    assert asked == [7, 4]


def test_where_every_value_is_as_good_it_rarely_fires() -> None:
    """The best of five is taken, which is an edge in two cases of five: at most 10 of 200 draws fire."""
    count = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        shared = rng.exponential(size=400)
        rows = [shared + 0.3 * rng.normal(size=400) for _ in range(5)]
        points = [{"model.alpha": text} for text in ("0.01", "0.1", "1", "10", "100")]
        best = int(np.argmin([each.mean() for each in rows]))
        count += bool(at_the_edge(points, best, rows.__getitem__, 1.5))
    assert count <= 10
