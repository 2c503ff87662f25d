"""The space of a search as Optuna sees it: a distribution for each parameter, suggested one after the other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import BaseTrial, FixedTrial

from boston_exp.config.invocation import again
from boston_exp.errors import Fault, InvalidConfig
from boston_exp.sweep.compat import distribution_of
from boston_exp.sweep.plan import Families, Space, name_of, ranges_of, values

Suggested = dict[str, Any]  # values by the names of parameters, as the study has them
NOT_IN_IT = object()


class Ranges:
    """Every parameter has its range, whatever the others are."""

    families: Families | None = None  # where options have parameters of their own

    def __init__(self, space: Space) -> None:
        """Raises InvalidConfig for what is no range."""
        self._distributions = distributions(space)
        self.written: Mapping[str, str] = ranges_of(
            space
        )  # what is searched, by the names of parameters, as it was written
        self.swept = tuple(map(name_of, space))  # names of the settings that are set by it
        self.lines = tuple(f"{key}={text}" for key, text in self.written.items())  # what makes it another space

    @property
    def logarithmic(self) -> tuple[str, ...]:
        """Names of the parameters that are searched on a logarithmic scale."""
        return tuple(name_of(key) for key, each in self._distributions.items() if getattr(each, "log", False))

    def suggest(self, trial: BaseTrial) -> Suggested:
        return {key: suggested(trial, key, each) for key, each in self._distributions.items()}

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        """What a trial's parameters mean to Hydra."""
        return [f"{key}={in_grammar(value)}" for key, value in params.items()]

    def defaults(self) -> list[Suggested]:
        """What is tried first."""
        return []

    def corners(self) -> tuple[Suggested, Suggested]:
        """Two sets of parameters that differ in each."""
        low, high = ({key: end(each, side) for key, each in self._distributions.items()} for side in (0, -1))
        return low, high

    def importance_of(self, best: Mapping[str, Any]) -> list[str] | None:
        """The parameters whose importance can be told, by the best trial; None: all of them."""
        return None

    def holds(self, params: Mapping[str, Any]) -> bool:
        """Whether a trial was given a value of every parameter, before it was cut off."""
        try:
            return self.suggest(FixedTrial(dict(params))) == params
        except ValueError:
            return False


def suggested(trial: BaseTrial, name: str, distribution: BaseDistribution) -> Any:
    """The trial's value of one parameter."""
    if isinstance(distribution, FloatDistribution):
        return trial.suggest_float(
            name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(
            name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    assert isinstance(distribution, CategoricalDistribution)
    return trial.suggest_categorical(name, distribution.choices)


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Optuna's distributions by the keys of the space.

    Raises InvalidConfig with everything that is no range.
    """
    values({key: override for key, override in space.items() if override.is_discrete_sweep()})
    faults: list[Fault] = []
    found: dict[str, BaseDistribution] = {}
    for key, override in space.items():
        try:
            found |= distribution_of(str(override.input_line))
        except (ValueError, AssertionError) as error:
            says = f"{override.input_line} is not a range that Optuna can search: {error}"
            mend = again(f"{key}=interval(1,10)", multirun=True) + f"   (or a list: {key}=1,2,3)"
            faults.append(Fault(says, mend))
    if faults:
        raise InvalidConfig(*faults)
    return found


def in_grammar(value: object) -> str:
    """A value as Hydra's override grammar writes it: `null`, `true`, numbers, text as it is."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def end(distribution: BaseDistribution, side: int) -> object:
    """The lowest value, or with `side=-1` the highest."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[side]
    return distribution.low if side == 0 else distribution.high  # type: ignore[attr-defined]


def member(distribution: BaseDistribution, value: object) -> Any:
    """A value of the configuration as the study has it, NOT_IN_IT if the distribution does not have it."""
    if isinstance(distribution, CategoricalDistribution):
        plain = [choice for choice in distribution.choices if in_grammar(choice) == in_grammar(value)]
        equal = [choice for choice in distribution.choices if _number(choice) == _number(value) is not None]
        return next(iter((*plain, *equal)), NOT_IN_IT)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not distribution.low <= value <= distribution.high
    ):
        return NOT_IN_IT
    steps = (value - distribution.low) / (distribution.step or 1)
    whole = isinstance(distribution, FloatDistribution) and distribution.step is None
    if not whole and not math.isclose(steps, round(steps), abs_tol=1e-9):
        return NOT_IN_IT
    return float(value) if isinstance(distribution, FloatDistribution) else int(value)


def _number(choice: object) -> float | None:
    return choice if isinstance(choice, int | float) and not isinstance(choice, bool) else None


def widened(distribution: BaseDistribution, value: object) -> str:
    """In Hydra's grammar, a range that has this value as well."""
    if isinstance(distribution, CategoricalDistribution):
        return ",".join(map(in_grammar, [*distribution.choices, value]))
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{in_grammar(value)},{distribution.low},{distribution.high}"
    text = f"interval({min(distribution.low, value)},{max(distribution.high, value)})"
    whole = isinstance(distribution, IntDistribution) and isinstance(value, int)
    text = f"int({text})" if whole else text
    return f"tag(log,{text})" if distribution.log and value > 0 else text
