"""The improvement that a search can still expect, by a Gaussian process over the trials that it has.

The idea is that of Makarova et al. 2022, "Automatic termination for hyperparameter optimization" (AutoML Conference,
https://proceedings.mlr.press/v188/makarova22a.html), with expected improvement in place of its bound on the regret:
a model of the objective over the whole space says what the best candidate that was not tried would gain on average.
optuna.terminator, which has the bound, goes with Optuna 6 and needs torch. docs/decisions/0018-searches.md.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import BaseTrial, FixedTrial, FrozenTrial

N_CANDIDATES = 2000
N_NEAR = 25  # candidates around each of the BEST trials
BEST = 10
NEAR = 0.05  # standard deviation of what is around a trial, as a share of each range
MOST = 150  # trials of which the model is made, the better ones: it costs the cube of their number
MOST_NOISE = (
    0.1  # of the variance: folds are the same for all trials; more would explain a few rough scores all by itself
)
ENOUGH = 10  # trials a parameter that has a value, below which a model is a guess (Loeppky, Sacks and Welch 2009)
SEED = 0  # of the candidates: the same trials give the same answer


@dataclass(frozen=True)
class Candidates:
    """Points of a space, conditional parameters included, and how any point of it becomes numbers."""

    distributions: Mapping[str, BaseDistribution]
    conditional: frozenset[str]  # parameters that not every point has
    places: np.ndarray  # (N_CANDIDATES, n_columns)


def candidates(suggest: Callable[[BaseTrial], Any]) -> Candidates:
    """Random points of the space that `suggest` asks a trial for."""
    rng = np.random.default_rng(SEED)
    drawn = [_Drawn(rng) for _ in range(N_CANDIDATES)]
    for trial in drawn:
        suggest(trial)
    known = {name: each for trial in drawn for name, each in trial.distributions.items()}
    conditional = frozenset(name for name in known if any(name not in trial.params for trial in drawn))
    return Candidates(known, conditional, _places(known, conditional, [trial.params for trial in drawn]))


def expected(trials: Sequence[FrozenTrial], among: Candidates, maximize: bool) -> float:
    """The expected improvement of the best candidate on the best trial, in the objective's unit.

    Both by the model's mean and spread of the objective without its noise: a trial that was lucky is not taken at its
    word. A trial that was pruned counts with the last that it reported. 0 where all trials came out alike, infinite
    where they are too few to tell.
    """
    from scipy.stats import norm

    if len(trials) < ENOUGH * float(np.mean([len(trial.params) for trial in trials])):
        return math.inf
    costs = (-1.0 if maximize else 1.0) * np.array([trial.value for trial in trials], dtype=np.float64)
    kept = np.argsort(costs, kind="stable")[:MOST]
    costs, best = costs[kept], costs.min()
    # The bad end of a space can be worse by any factor, and a stationary model would spend all of its spread on it.
    costs = np.minimum(costs, np.median(costs) + (np.median(costs) - best))
    scale = costs.std()
    if scale == 0:
        return 0.0
    places = _places(among.distributions, among.conditional, [trials[index].params for index in kept])
    model, noise = _fitted(places, (costs - costs.mean()) / scale)
    rng = np.random.default_rng(SEED)
    near = np.repeat(places[:BEST], N_NEAR, axis=0)
    moved = np.clip(near + rng.normal(scale=NEAR, size=near.shape), 0, 1)
    near = np.where((near == 0) | (near == 1), near, moved)  # categories, and what is at an edge, stay
    mean, spread = model.predict(np.vstack([among.places, near]), return_std=True)
    spread = np.sqrt(np.maximum(spread**2 - noise, 1e-12))
    gain = model.predict(places).min() - mean
    improvement = gain * norm.cdf(gain / spread) + spread * norm.pdf(gain / spread)
    return float(improvement.max() * scale)


def _fitted(places: np.ndarray, costs: np.ndarray) -> tuple[Any, float]:
    """The Gaussian process, and the variance of its noise."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    lengths = np.full(places.shape[1], 0.5)
    smooth = ConstantKernel(1.0, (0.1, 10)) * Matern(lengths, (0.05, 20), nu=2.5)
    model = GaussianProcessRegressor(smooth + WhiteKernel(0.01, (1e-6, MOST_NOISE)), random_state=SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a length at its bound: the parameter does not matter
        model.fit(places, costs)
    return model, float(model.kernel_.k2.noise_level)


def _places(
    distributions: Mapping[str, BaseDistribution], conditional: frozenset[str], points: Sequence[Mapping[str, Any]]
) -> np.ndarray:
    """Points as (n_points, n_columns) from 0 to 1: numbers on their scale, a column for each category, and one that
    says that a conditional parameter is missing."""
    columns = []
    for name, each in distributions.items():
        given = np.array([each.to_internal_repr(point[name]) if name in point else np.nan for point in points])
        if isinstance(each, CategoricalDistribution):
            columns += [(given == index).astype(np.float64) for index in range(len(each.choices))]
            continue
        assert isinstance(each, FloatDistribution | IntDistribution)
        low, high = float(each.low), float(each.high)
        if each.log:
            given, low, high = np.log(given), np.log(low), np.log(high)
        scaled = (given - low) / (high - low or 1.0)
        columns.append(np.where(np.isnan(given), 0.5, scaled))
        if name in conditional:
            columns.append(np.isnan(given).astype(np.float64))
    return np.column_stack(columns)


class _Drawn(FixedTrial):
    """A trial that draws what it is asked for, as Optuna's random search does, without a study."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__({})
        self._rng = rng
        self._values: dict[str, Any] = {}
        self._ranges: dict[str, BaseDistribution] = {}

    @property
    def params(self) -> dict[str, Any]:
        return self._values

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        return self._ranges

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        return float(self._drawn(name, FloatDistribution(low, high, log=log, step=step), step))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        return int(self._drawn(name, IntDistribution(low, high, log=log, step=step), step))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        if name not in self._values:
            self._ranges[name] = CategoricalDistribution(choices)
            self._values[name] = choices[int(self._rng.integers(len(choices)))]
        return self._values[name]

    def _drawn(self, name: str, range_: FloatDistribution | IntDistribution, step: float | None) -> float:
        if name not in self._values:
            low, high = range_.low, range_.high
            half = (step or 0.0) / 2
            ends = np.log([low, high]) if range_.log else np.array([low - half, high + half])
            value = float(np.exp(self._rng.uniform(*ends)) if range_.log else self._rng.uniform(*ends))
            value = low + round((value - low) / step) * step if step else value
            self._ranges[name], self._values[name] = range_, min(max(value, low), high)
        return self._values[name]
