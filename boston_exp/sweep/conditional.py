"""The space of a search over several options, each with parameters of its own: Optuna is asked for the option, then for
those alone, so that a study has for each trial what counted in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.distributions import CategoricalDistribution
from optuna.trial import BaseTrial

from boston_exp.sweep.options import Groups, Option
from boston_exp.sweep.plan import Families, Space, name_of
from boston_exp.sweep.spaces import Ranges, Suggested, end, in_grammar, suggested


class Conditional(Ranges):
    """Ranges that go for all, and those of the option that was chosen of each group."""

    def __init__(self, space: Space, groups: Groups) -> None:
        super().__init__(space)
        self._groups = groups
        each = [(group, name, option) for group, options in groups.items() for name, option in options.items()]
        self.written = {
            **{group: ",".join(options) for group, options in groups.items()},
            **{one.name: one.text for _, _, option in each for one in option.ranges.values()},
            **self.written,
        }
        settings = [name_of(key) for _, _, option in each for key in option.ranges]
        self.swept = tuple(dict.fromkeys([*groups, *settings, *self.swept]))
        self.lines += tuple(f"{group}={name} {option.fixed} {option.composed}" for group, name, option in each)
        self.lines += tuple(f"{name}={text}" for name, text in self.written.items())
        first = next(iter(groups))
        self.families = Families(
            first,
            {
                name: {name_of(key): one.name for key, one in option.ranges.items()}
                for name, option in groups[first].items()
            },
        )

    @property
    def logarithmic(self) -> tuple[str, ...]:
        own = [
            one for options in self._groups.values() for option in options.values() for one in option.ranges.values()
        ]
        return (*super().logarithmic, *(one.name for one in own if getattr(one.distribution, "log", False)))

    def suggest(self, trial: BaseTrial) -> Suggested:
        found: Suggested = {}
        for group, options in self._groups.items():
            found[group] = suggested(trial, group, CategoricalDistribution(list(options)))
            own = options[found[group]].ranges.values()
            found |= {one.name: suggested(trial, one.name, one.distribution) for one in own}
        return found | super().suggest(trial)

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        found = []
        for group in self._groups:
            option = self._chosen(group, params)
            found += [f"{group}={params[group]}", *(f"{key}={text}" for key, text in option.fixed.items())]
            found += [f"{key}={in_grammar(params[one.name])}" for key, one in option.ranges.items()]
        return found + super().overrides({key: params[key] for key in self._distributions})

    def defaults(self) -> list[Suggested]:
        """Every option once, as its configuration has it; what goes for all is left to the search."""
        first = {group: next(iter(options)) for group, options in self._groups.items()}
        found: list[Suggested] = []
        for group, options in self._groups.items():
            for name in options:
                chosen = {**first, group: name}
                params: Suggested = dict(chosen)
                for each in chosen:
                    params |= {one.name: one.default for one in self._chosen(each, chosen).ranges.values()}
                if params not in found:
                    found.append(params)
        return found

    def corners(self) -> tuple[Suggested, Suggested]:
        low, high = super().corners()
        for corner, side in ((low, 0), (high, -1)):
            for group, options in self._groups.items():
                corner[group] = list(options)[side]
                own = options[corner[group]].ranges.values()
                corner |= {one.name: end(one.distribution, side) for one in own}
        return low, high

    def importance_of(self, best: Mapping[str, Any]) -> list[str]:
        """Those of the best trial's options: others have no value of them."""
        return [one.name for group in self._groups for one in self._chosen(group, best).ranges.values()]

    def _chosen(self, group: str, params: Mapping[str, Any]) -> Option:
        return self._groups[group][params[group]]
