"""Was a sweep's range too narrow: is its best value at the edge, and better than the nearest inner one beyond noise?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from boston_exp.config.invocation import again
from boston_exp.experiment.checks.finding import Finding

BEYOND_NOISE = 2.63  # standard errors, as in baselines.py
FEWEST = 3  # values of a parameter: of two, both are edges
NEAR = 0.1  # of the span of another parameter: points that differ by less are alike in it
GROUPS = ("model", "preprocess")  # whose parameters have a range that can be too narrow
# Where a parameter ends by its nature, or where beyond lies nothing but the same. scikit-learn's documentation of each.
LOWEST: Mapping[str, float] = {
    **dict.fromkeys(("alpha", "ccp_alpha", "l2_regularization", "reg_alpha", "reg_lambda", "min_split_gain"), 0),
    **dict.fromkeys(("l1_ratio", "epsilon", "min_impurity_decrease", "min_weight_fraction_leaf"), 0),
    **dict.fromkeys(("min_samples_leaf", "n_neighbors", "max_depth", "degree", "min_child_samples", "p"), 1),
    **dict.fromkeys(("n_estimators", "max_iter", "iterations", "n_components", "depth", "leaf_size"), 1),
    **dict.fromkeys(("min_samples_split", "max_leaf_nodes", "num_leaves", "max_bins"), 2),
}
HIGHEST: Mapping[str, float] = {
    **dict.fromkeys(("max_features", "l1_ratio", "subsample", "max_samples", "colsample_bytree"), 1),
    **dict.fromkeys(("feature_fraction", "bagging_fraction", "learning_rate", "quantile"), 1),
    "max_bins": 255,
}
NOTHING = ("null", "none")  # no limit: above every number
Losses = Callable[[int], np.ndarray | None]


@dataclass(frozen=True)
class _Values:
    """What was tried of one parameter, by point: numbers, math.inf for null, or words."""

    name: str
    texts: tuple[str, ...]
    numbers: tuple[float, ...] | None  # None where there are words

    @staticmethod
    def of(name: str, texts: Sequence[str]) -> _Values:
        try:
            numbers = tuple(math.inf if text.lower() in NOTHING else float(text) for text in texts)
        except ValueError:
            return _Values(name, tuple(texts), None)
        return _Values(name, tuple(texts), numbers)

    def near(self, logarithmic: bool) -> Callable[[int, int], bool]:
        """Whether two points are alike in this parameter."""
        placed = _placed(self.numbers, logarithmic) if self.numbers else None
        span = np.ptp(placed[np.isfinite(placed)]) if placed is not None and np.isfinite(placed).any() else 0.0

        def alike(one: int, other: int) -> bool:
            if self.texts[one] == self.texts[other] or placed is None:
                return self.texts[one] == self.texts[other]
            return bool(abs(placed[one] - placed[other]) <= NEAR * span)

        return alike


def at_the_edge(
    points: Sequence[Mapping[str, str]],
    best: int,
    losses: Losses,
    factor: float,
    logarithmic: Sequence[str] = (),
) -> list[Finding]:
    """BX401: for each parameter whose best value is the lowest or highest that was tried, and could go on.

    `points` are those with a score, as `model.max_depth` and its text; `best` is the place of the best one. `losses`
    gives what each row contributes to a point's score, (n_rows,), less is better, None where that is not recorded;
    `factor` multiplies the standard error of their difference, for training rows that overlap. The nearest inner value
    is that of a point that is alike in everything else.
    """
    names = [name for name in points[best] if all(name in point for point in points)]
    tried = {name: _Values.of(name, [point[name] for point in points]) for name in names}
    alike = {name: values.near(name in logarithmic) for name, values in tried.items()}
    found = []
    for name in names:
        values = tried[name]
        edge = _edge(values, best)
        if edge is None or values.numbers is None:
            continue
        own, inner = values.numbers[best], None
        others = [other for other in names if other != name]
        for place, number in enumerate(values.numbers):
            if number != own and all(alike[other](best, place) for other in others):
                nearer = inner is None or abs(number - own) < abs(values.numbers[inner] - own)
                inner = place if nearer else inner
        t = _better(losses(best), losses(inner), factor) if inner is not None else 0.0
        if inner is not None and t > BEYOND_NOISE:
            found.append(_finding(values, best, inner, edge, t))
    return found


def _edge(values: _Values, best: int) -> str | None:
    """`lowest` or `highest`, where the best value is that of those tried and something lies beyond."""
    if values.name.partition(".")[0] not in GROUPS or values.numbers is None:
        return None
    tried, own, name = set(values.numbers), values.numbers[best], values.name.rpartition(".")[2]
    if len(tried) < FEWEST or not math.isfinite(own):
        return None
    if own == min(tried):
        return "lowest" if own > LOWEST.get(name, -math.inf) else None
    if own == max(tried):
        return "highest" if own < HIGHEST.get(name, math.inf) else None
    return None


def _better(best: np.ndarray | None, inner: np.ndarray | None, factor: float) -> float:
    """By how many standard errors; 0 where that is not known."""
    if best is None or inner is None or len(best) != len(inner) or len(best) < 2:
        return 0.0
    difference = inner - best
    error = factor * float(difference.std(ddof=1)) / np.sqrt(len(difference))
    return float(difference.mean()) / error if error > 0 else 0.0


def _finding(values: _Values, best: int, inner: int, edge: str, t: float) -> Finding:
    own, short = values.texts[best], values.name.rpartition(".")[2]
    says = (
        f"The best {short} is the {edge} that was tried, {own}, and better than the nearest, {values.texts[inner]}, "
        f"beyond noise (t = {t:.1f}): the range may be too narrow."
    )
    assert values.numbers is not None
    beyond = _beyond(values.numbers[best], values.numbers[inner], short)
    mend = again(f"{values.name}={values.texts[inner]},{own},{beyond}", multirun=True)
    return Finding("BX401", says, mend, t)


def _beyond(own: float, inner: float, name: str) -> str:
    """The next value in the same direction: by the same factor where both are above zero, else by the same step."""
    further = own * own / inner if own > 0 and inner > 0 else 2 * own - inner
    further = min(max(further, LOWEST.get(name, -math.inf)), HIGHEST.get(name, math.inf))
    if own.is_integer() and inner.is_integer():
        whole = math.ceil(further) if own > inner else math.floor(further)
        return str(whole if whole != own else int(own + math.copysign(1, own - inner)))
    return f"{further:.4g}"


def _placed(numbers: Sequence[float], logarithmic: bool) -> np.ndarray:
    found = np.array(numbers, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(found) if logarithmic else found
