"""The two sweepers, as Hydra finds them (entry points in pyproject.toml).

Every command of any Hydra application in this environment imports this module: it is light, and importing it changes
nothing.

docs/decisions/0006-sweeps.md says why Hydra's basic sweeper and hydra-optuna-sweeper are extended.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

if TYPE_CHECKING:
    from boston_exp.sweep.options import Groups
    from boston_exp.sweep.plan import Space
    from boston_exp.sweep.search import Search

EXTRAS = {
    "hydra_ray_launcher": "ray",
    "hydra_submitit_launcher": "slurm",
}  # packages of launchers, and what brings them
SELECTING = ("evaluation", "evaluation.selection_metric")  # settings that say what a sweep selects by


class _Extended(Sweeper):
    """What both have in common: setting up, parsing what was typed, running."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from boston_exp.config.secrecy import refuse_hydras
        from boston_exp.sweep import composing, workers
        from boston_exp.sweep.pool import start_fork_server
        from boston_exp.tracking import backends

        self.config = config
        self.task_function = task_function
        self.hydra_context = composing.with_quick_loader(hydra_context)
        with _failures_told():
            refuse_hydras(config.hydra)
            _require_launcher(str(config.hydra.launcher._target_))
        if workers.is_pool(config.hydra.launcher):
            every = config.tracking.get("log_model") == "all"
            start_fork_server(backends.import_ahead(str(config.tracking.backend)) if every else [])

    def _parsed(self, params: Mapping[str, Any], arguments: list[str]) -> tuple[dict[str, Override], list[str]]:
        """What is swept, by its keys, and the overrides that are fixed; what is typed wins over a preset's params.

        A sweep selects by folds: unless an evaluation is given, it is `evaluation=cv`.
        """
        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*(f"{key}={value}" for key, value in params.items()), *arguments])
        latest = {override.get_key_element(): override for override in overrides}
        latest.pop("detach", None)  # of the sweep, and of none of its points
        space = {key: override for key, override in latest.items() if override.is_sweep_override()}
        _refuse_deletions(space)
        fixed = [str(override.input_line) for key, override in latest.items() if key not in space]
        chosen = self.config.hydra.runtime.choices.get("evaluation") if self.config else None
        given = any(key.lstrip("+") in SELECTING for key in latest) or "evaluation.n_splits=0" in fixed
        if chosen == "holdout" and not given:
            fixed.append("evaluation=cv")
        return space, fixed

    def _run(self, search: Search) -> int:
        from boston_exp.sweep import multirun, workers
        from boston_exp.sweep.runner import PointRunner

        assert self.config is not None
        assert self.hydra_context is not None
        assert self.task_function is not None
        runner = PointRunner.of(self.hydra_context, self.config, self.task_function)

        def make_workers(name: str) -> workers.Workers:
            assert self.config is not None
            return workers.workers_for(self.config.hydra.launcher, runner, name, bool(self.config.detach))

        return multirun.run(self.hydra_context, self.config, search, make_workers)


class GridSweeper(_Extended):
    """Every combination: Hydra's basic sweeper, which resumes, skips what is done, and outlives its failures."""

    def __init__(self, params: DictConfig | None = None) -> None:
        self._params: dict[str, Any] = dict(params or {})

    def sweep(self, arguments: list[str]) -> Any:
        from boston_exp.sweep.search import Grid

        with _failures_told():
            code = self._run(Grid(*self._parsed(self._params, arguments)))
        if code:
            sys.exit(code)


class OptunaSweeper(_Extended):
    """Optuna's search: hydra-optuna-sweeper's search space and samplers, around a study that loses nothing."""

    def __init__(self, params: DictConfig | None = None, spaces: DictConfig | None = None, **settings: Any) -> None:
        self._params: dict[str, Any] = dict(params or {})
        self._spaces = OmegaConf.create({}) if spaces is None else spaces
        self._settings = settings

    def sweep(self, arguments: list[str]) -> Any:
        with _failures_told():
            from boston_exp.sweep.optuna_search import OptunaSearch
            from boston_exp.sweep.optuna_settings import Settings
            from boston_exp.tracking.study_database import raised_as_unusable

            groups, space, fixed = self._grouped(*self._parsed(self._params, arguments))
            settings = Settings.of(self._settings)
            search = OptunaSearch(settings, space, fixed, groups)
            with raised_as_unusable(settings.storage):
                code = self._run(search)
        if code:
            sys.exit(code)

    def _grouped(self, space: Space, fixed: list[str]) -> tuple[Groups | None, Space, list[str]]:
        """The options that have spaces of their own, and what goes for all."""
        if not self._spaces:
            return None, space, fixed
        from boston_exp.sweep.options import options

        assert self.hydra_context is not None
        loader, master = self.hydra_context.config_loader, self.config
        spaces: Any = OmegaConf.to_container(self._spaces, resolve=True)
        return options(spaces, space, fixed, loader, lambda overrides: loader.load_sweep_config(master, overrides))


@contextmanager
def _failures_told() -> Iterator[None]:
    """Outside of a job Hydra would print a traceback."""
    from boston_exp.errors import ExpectedFailure, print_failure
    from boston_exp.signals import obey

    try:
        yield
    except ExpectedFailure as failure:
        print_failure(failure)
        sys.exit(2)
    except Exception:
        obey()  # what a signal's exception turned into is not worth a traceback
        raise


def _refuse_deletions(space: Mapping[str, Override]) -> None:
    from boston_exp.config.invocation import again
    from boston_exp.errors import Fault, InvalidConfig

    faults = [
        Fault(f"{each.input_line} deletes a setting: there are no values to sweep.", again(without=[key.lstrip("~")]))
        for key, each in space.items()
        if each.is_delete()
    ]
    if faults:
        raise InvalidConfig(*faults)


def _require_launcher(target: str) -> None:
    from boston_exp.config.invocation import again
    from boston_exp.errors import Fault, InvalidConfig
    from boston_exp.sweep.workers import KNOWN

    if target.count(".") < 2:
        says = f"hydra.launcher._target_={target} is not the full name of a launcher."
        raise InvalidConfig(Fault(says, again("hydra/launcher=joblib", without=["hydra.launcher"], multirun=True)))
    if target.rpartition(".")[2] not in KNOWN:
        says = f"hydra.launcher._target_={target} is no launcher that runs points of a sweep here."
        raise InvalidConfig(Fault(says, again("hydra/launcher=joblib", without=["hydra.launcher"], multirun=True)))
    package = target.split(".")[1]
    if package in EXTRAS and find_spec(f"hydra_plugins.{package}") is None:
        extra = EXTRAS[package]
        raise InvalidConfig(
            Fault(
                f"The launcher {target.rpartition('.')[2]} is not installed.",
                f"{sys.executable} -m pip install -e '.[{extra}]'   (in the project's folder)",
            )
        )
