"""Options of a group, each searched in a space of its own: from hydra.sweeper.spaces to ranges with their defaults.

    spaces: {model: {ridge: {model.alpha: "tag(log,interval(0.1,10))"}, knn: {model.n_neighbors: "int(interval(2,9))"}}}

A value that is no range is fixed for that option. What is typed for all, or stands in hydra.sweeper.params, wins.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.distributions import BaseDistribution

from boston_exp.config.invocation import again, key_of, quoted, was_typed
from boston_exp.errors import Fault, InvalidConfig, did_you_mean
from boston_exp.sweep.compat import distribution_of
from boston_exp.sweep.plan import Space, name_of
from boston_exp.sweep.spaces import NOT_IN_IT, in_grammar, member, widened

Compose = Callable[[list[str]], DictConfig]
WHERE = "hydra.sweeper.spaces"
MISSING = object()


@dataclass(frozen=True)
class Range:
    """Values of one setting, for one option."""

    name: str  # in the study: `ridge.alpha`
    text: str  # as it was written
    distribution: BaseDistribution
    default: Any  # of the composed configuration, as Optuna has it


@dataclass(frozen=True)
class Option:
    """`ranges` and `fixed` values by the keys of overrides, `+model.max_features` included."""

    ranges: Mapping[str, Range]
    fixed: Mapping[str, str]
    composed: str  # its model and preprocess, as JSON: with them the search is another one


Groups = Mapping[str, Mapping[str, Option]]  # options by their names, by their groups


def options(
    spaces: Mapping[str, Any], space: Space, fixed: list[str], loader: ConfigLoader, compose: Compose
) -> tuple[Groups, Space, list[str]]:
    """The options that are searched, and what is left of `space` and `fixed`, which go for all.

    A group that is typed, `model=ridge,knn`, says which of its options; one without a space has its defaults alone.
    Raises InvalidConfig with all that is wrong with them.
    """
    for_all = {name_of(key) for key in space} | {key_of(line) for line in fixed}
    rest = [line for line in fixed if key_of(line) not in spaces]
    faults: list[Fault] = []
    found: dict[str, dict[str, Option]] = {}
    for group, given in spaces.items():
        known = loader.get_group_options(group)
        written = dict(given) if isinstance(given, Mapping) else {}
        if not known or not written:
            groups = loader.list_groups("")
            says = f"{WHERE}: {group} is no group of options with their spaces.{did_you_mean(group, groups)}"
            faults.append(Fault(says, _without(f"{WHERE}.{group}")))
            continue
        found[group] = {}
        typed = _typed(group, space, fixed)
        for name in typed or [name for name in written if written[name] is not None]:
            where = f"{WHERE}.{group}.{name}"
            if name not in known:
                says = f"{where}: {name} is no option of {group}.{did_you_mean(name, known)}"
                others = ",".join(each for each in typed if each in known)
                mend = again(*([f"{group}={others}"] if others else []), without=[group], multirun=True)
                faults.append(Fault(says, mend if typed else _without(where)))
                continue
            own = _flat(written.get(name) or {})
            settings = {key: own[key] for key in own if name_of(key) not in for_all and name_of(key) not in spaces}
            try:
                found[group][name] = _option(group, name, settings, lambda more: compose([*rest, *more]))
            except InvalidConfig as refused:
                faults += refused.faults
        faults += _for_some(group, found[group], space)
    if faults:
        raise InvalidConfig(*faults)
    return found, {key: each for key, each in space.items() if name_of(key) not in spaces}, rest


def _typed(group: str, space: Space, fixed: list[str]) -> list[str]:
    """The options of a group that were typed, if any were."""
    if group in space:
        return list(space[group].sweep_string_iterator())
    return [line.partition("=")[2] for line in fixed if key_of(line) == group]


def _for_some(group: str, found: Mapping[str, Option], space: Space) -> Iterator[Fault]:
    """Ranges that go for all options, of a setting that not every one has."""
    for key, override in space.items():
        first, *path = key.split(".")
        if first != group or not path or not found:
            continue
        without = [name for name, option in found.items() if not _has(json.loads(option.composed).get(group), path)]
        others = [name for name in found if name not in without]
        if not without or not others:  # what none has, Hydra says best
            continue
        text = str(override.input_line).partition("=")[2]
        says = f"{key}={text} goes for every option of {group}, and {', '.join(without)} has no {'.'.join(path)}."
        changes = [_set(f"{WHERE}.{group}.{name}", key, text) for name in others]
        yield Fault(says, again(*changes, without=[key], multirun=True))


def _has(node: Any, path: list[str]) -> bool:
    return not path or (isinstance(node, Mapping) and path[0] in node and _has(node[path[0]], path[1:]))


def _option(group: str, name: str, settings: Mapping[str, str], compose: Compose) -> Option:
    where, parser = f"{WHERE}.{group}.{name}", OverridesParser.create()
    fixed: dict[str, str] = {}
    written: dict[str, tuple[str, BaseDistribution]] = {}
    for key, text in settings.items():
        try:
            override = parser.parse_override(f"{key}={text}")
            if override.is_sweep_override():
                written[key] = (text, distribution_of(f"{key}={text}")[override.get_key_element()])
            else:
                fixed[key] = text
        except (HydraException, ValueError, AssertionError, NotImplementedError) as error:
            says = f"{where}: {key}: {text} is no range: {str(error).splitlines()[0]}"
            mend = again(_set(where, key, "interval(1,10)"), multirun=True) + "   (or a list: 1,2,3)"
            raise InvalidConfig(Fault(says, mend)) from error
    try:
        config = compose([f"{group}={name}", *(f"{key}={text}" for key, text in fixed.items())])
    except (HydraException, OmegaConfBaseException) as error:
        lines = str(error.__cause__ or error).splitlines()
        says = f"{where}: {group}={name} does not compose with what is set for it: {lines[0]}"
        raise InvalidConfig(Fault(says, _without(where))) from error
    faults: list[Fault] = []
    ranges = {}
    for key, (text, distribution) in written.items():
        setting, default = _default(config, name_of(key))
        if default is MISSING:
            known = map(str, OmegaConf.select(config, setting.rpartition(".")[0] or "model", default={}))
            says = (
                f"{where}: {setting} is no setting that has a default.{did_you_mean(setting.rpartition('.')[2], known)}"
            )
            faults.append(Fault(says, _without(f"{where}.{setting}")))
            continue
        inside = member(distribution, default)
        if inside is NOT_IN_IT:
            says = f"{where}: {setting}: {text} leaves out {in_grammar(default)}, the default, which is tried first."
            faults.append(Fault(says, again(_set(where, setting, widened(distribution, default)), multirun=True)))
            continue
        label = f"{name}.{name_of(setting).removeprefix(f'{group}.')}"
        ranges[setting] = Range(label, text, distribution, inside)
    if faults:
        raise InvalidConfig(*faults)
    nodes = {part: OmegaConf.to_object(config[part]) if config[part] else None for part in ("model", "preprocess")}
    return Option(ranges, fixed, json.dumps(nodes, sort_keys=True))


def _default(config: DictConfig, name: str) -> tuple[str, Any]:
    """The override's key and the value of the composed configuration; of a parameter that its YAML does not list,
    `+model.max_features`, that of the class."""
    value = OmegaConf.select(config, name, default=MISSING)
    if value is not MISSING:
        return name, value
    from boston_exp.experiment.targets import named

    parent, _, parameter = name.rpartition(".")
    target = OmegaConf.select(config, f"{parent}._target_", default=None)
    whitelist = [f"{package}.*" for package in config.trusted_packages]
    try:
        parameters = inspect.signature(named(str(target), whitelist)).parameters
        default = parameters[parameter].default
    except (HydraException, ImportError, KeyError, TypeError, ValueError):
        return name, MISSING
    return f"+{name}", MISSING if default is inspect.Parameter.empty else default


def _flat(node: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """`{model.alpha: …}` and `{model: {alpha: …}}` alike; what is given last counts."""
    found: dict[str, str] = {}
    for key, value in node.items():
        name = f"{prefix}{key}"
        found |= _flat(value, f"{name}.") if isinstance(value, Mapping) else {name: in_grammar(value)}
    return found


def _set(where: str, key: str, text: str) -> str:
    return f"++{where}.{name_of(key)}={quoted(text)}"


def _without(key: str) -> str:
    """The command without a space that was typed, or that a preset has."""
    return again(without=[key], multirun=True) if was_typed(key) else again(f"~{key}", multirun=True)
