"""The two sweepers, as Hydra finds them (entry points in pyproject.toml); every command imports this, so it is light.

docs/decisions/0006-sweeps.md says why Hydra's basic sweeper and hydra-optuna-sweeper are extended.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from boston_exp.errors import ExpectedFailure, Fault, InvalidConfig, tell

# A launcher's class, the package it comes from, and the extra that brings it.
EXTRAS = {"hydra_ray_launcher": "ray", "hydra_submitit_launcher": "slurm"}


@contextmanager
def _told_plainly() -> Iterator[None]:
    """Outside of a job Hydra would print a traceback."""
    try:
        yield
    except ExpectedFailure as failure:
        tell(failure)
        sys.exit(2)


class _Extended(Sweeper):
    """Setting up, which both have in common."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from boston_exp.sweep import composing

        with _told_plainly():
            _require_launcher(str(config.hydra.launcher._target_))
        self.config = config
        self.hydra_context = composing.quick(hydra_context)
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=self.hydra_context, task_function=task_function, config=config
        )


def _require_launcher(target: str) -> None:
    package = target.split(".")[1]
    if package in EXTRAS and find_spec(f"hydra_plugins.{package}") is None:
        extra = EXTRAS[package]
        raise InvalidConfig(
            Fault(
                f"The launcher {target.rpartition('.')[2]} is not installed.",
                f"{sys.executable} -m pip install '.[{extra}]'   (in the project's folder)",
            )
        )


class GridSweeper(_Extended):
    """Every combination: Hydra's basic sweeper, which resumes, skips what is done, and outlives its failures."""

    def __init__(self, params: DictConfig | None = None) -> None:
        self._params: dict[str, Any] = dict(params or {})

    def sweep(self, arguments: list[str]) -> Any:
        from boston_exp.sweep import engine

        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*(f"{key}={value}" for key, value in self._params.items()), *arguments])
        latest = {override.get_key_element(): override for override in overrides}  # what is typed wins over a preset
        with _told_plainly():
            space = {key: override for key, override in latest.items() if override.is_sweep_override()}
            values = engine.values(space)
            fixed = [str(override.input_line) for key, override in latest.items() if key not in space]
            points = [engine.Point.of([*combination, *fixed], space) for combination in itertools.product(*values)]
            with engine.Sweep(self, "grid", space, points[0], points[-1], len(points)) as sweep:
                sweep.run(points)
        sweep.exit()


class OptunaSweeper(_Extended):
    """Optuna's search: hydra-optuna-sweeper's search space and samplers, around a study that loses nothing."""

    def __init__(
        self,
        sampler: Any,
        n_trials: int,
        n_jobs: int,
        storage: str | None,
        study_name: str | None,
        direction: Any,
        pruner: Any,
        params: DictConfig | None = None,
    ) -> None:
        self.sampler = sampler
        self.n_trials = n_trials
        self.n_jobs = n_jobs
        self.storage = storage
        self.study_name = study_name
        self.direction = direction
        self.pruner = pruner
        self.params: dict[str, Any] = dict(params or {})

    def sweep(self, arguments: list[str]) -> Any:
        with _told_plainly():
            from boston_exp.sweep import study

            study.search(self, arguments).exit()
