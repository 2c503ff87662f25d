"""Composes the points of a sweep: Hydra's way for the first of a shape, its values changed for the others.

Hydra reads and merges some thirty files for every job, which takes 0.07 s. Points that differ by plain values alone (no
group, no `~`, no list or mapping) have the same nodes, and Hydra, too, applies such values last: 0.001 s. The
configuration of one is that of the next, changed: nobody may use it any more when the next is asked for.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, flag_override, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from boston_exp.config.invocation import key_of, quoted
from boston_exp.config.parsing import parse
from boston_exp.config.schema import Config
from boston_exp.config.settings import Typed
from boston_exp.sweep.mailbox import sweep_dir_of
from boston_exp.sweep.plan import Point
from boston_exp.training.naming import run_name

PLAIN = re.compile(r"\+?([A-Za-z_]\w*(?:\.\w+)*)=[^\[{$]*")
Parsed = tuple[DictConfig, Config, Typed]


class QuickLoader:
    """Takes the place of Hydra's config loader where launchers ask for a job's configuration."""

    def __init__(self, loader: ConfigLoader) -> None:
        self._loader = loader
        self._is_group: dict[str, bool] = {}
        self._composed: dict[tuple[str, ...], tuple[DictConfig, tuple[str, ...]]] = {}  # by shape, with its overrides

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._loader, name)

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        overrides = tuple(sweep_overrides)
        typed: Any = OmegaConf.to_container(master_config.hydra.overrides.hydra, resolve=False)
        sweep = (str(master_config.hydra.sweep.dir), *typed)
        shape = (*sweep, *(self._shape(override) for override in overrides))
        if shape not in self._composed:
            return self._from_hydra(shape, overrides, master_config)
        config, before = self._composed[shape]
        changed = [each for each, its in zip(overrides, before, strict=True) if each != its]
        try:
            _change(config, changed, list(overrides))
        except OmegaConfBaseException:  # Hydra's message is the better one
            return self._from_hydra(shape, overrides, master_config)
        self._composed[shape] = (config, overrides)
        return config

    def _from_hydra(self, shape: tuple[str, ...], overrides: tuple[str, ...], master_config: DictConfig) -> DictConfig:
        self._composed.pop(shape, None)
        config: DictConfig = self._loader.load_sweep_config(master_config, list(overrides))
        self._composed[shape] = (config, overrides)
        return config

    def _shape(self, override: str) -> str:
        """What has to be the same for two points to have the same nodes: everything but plain values."""
        plain = PLAIN.fullmatch(override)
        if not plain or override.startswith("hydra."):
            return override
        key = plain[1]
        if "." not in key and key not in self._is_group:
            self._is_group[key] = bool(self._loader.get_group_options(key))
        return override if self._is_group.get(key) else override.partition("=")[0]


def _change(config: DictConfig, changed: list[str], overrides: list[str]) -> None:
    OmegaConf.set_readonly(config.hydra, None)  # the job before has made it read-only
    for override in OverridesParser.create().parse_overrides(changed):
        OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
    with read_write(config), open_dict(config), flag_override(config.hydra, ["readonly", "struct"], False):
        config.hydra.overrides.task = overrides


def with_quick_loader(context: HydraContext) -> HydraContext:
    """The same context, its loader replaced by a QuickLoader."""
    return HydraContext(
        config_loader=QuickLoader(context.config_loader),
        callbacks=context.callbacks,
        execution_whitelist=context.execution_whitelist,
    )


class Composer:
    """Composes and parses points in the main process."""

    def __init__(self, context: HydraContext, master: DictConfig) -> None:
        self.master = master
        self.cwd = Path(master.hydra.runtime.cwd)
        self.sweep_dir = sweep_dir_of(master.hydra)
        self._loader = context.config_loader

    def go_on_in(self, folder: str) -> None:
        """Make an earlier part's folder that of this sweep; its points get it as if it had been typed."""
        key = "hydra.sweep.dir"
        with read_write(self.master.hydra), open_dict(self.master.hydra):
            typed = [each for each in self.master.hydra.overrides.hydra if key_of(str(each)) != key]
            self.master.hydra.overrides.hydra = [*typed, f"{key}={quoted(folder)}"]
            self.master.hydra.sweep.dir = folder
        self.sweep_dir = Path(folder)

    def compose(self, point: Point) -> DictConfig:
        """The whole configuration of a point, hydra's part included. Raises what Hydra does if it does not compose."""
        return self._loader.load_sweep_config(self.master, list(point.overrides))

    def name_of(self, point: Point) -> str:
        """As its run is called; of a point that does not compose, too."""
        choices, typed = self.master.hydra.runtime.choices, Typed(point.overrides)
        chosen = {group: typed.text(group) or choice for group, choice in choices.items()}
        return run_name(chosen, point.overrides, [name for name, _ in point.swept], typed.text("name"))

    def parsed(self, point: Point) -> Parsed:
        """Configuration without hydra's part, as plain objects, and as typed."""
        cfg = copy.deepcopy(self.compose(point))
        with read_write(cfg), open_dict(cfg):
            del cfg["hydra"]
        typed = Typed(tuple(point.overrides), self.cwd)
        return cfg, parse(cfg, typed, Config), typed
