"""Runs one point in whatever process: composed, in a folder of its own, with its own log file, as Hydra runs a job.

By Hydra's own functions, but not by its `run_job`: that copies Hydra's part of the configuration four times, which took
an eighth of the time of a small point. tests/sweep/test_runner.py compares both.
"""

from __future__ import annotations

import copy
import inspect
import logging
import os
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobRuntime, JobStatus, configure_log, env_override, setup_globals
from hydra.errors import HydraException
from hydra.types import HydraContext, TaskFunction
from hydra.utils import execution_whitelist
from omegaconf import DictConfig, OmegaConf, flag_override, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from boston_exp.sweep.mailbox import sweep_dir_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PointRunner:
    """What a worker needs of Hydra: the master configuration, the loader, and the task by its name."""

    context: HydraContext
    master: DictConfig
    module: str
    function: str

    @staticmethod
    def of(context: HydraContext, master: DictConfig, task_function: TaskFunction) -> PointRunner:
        return PointRunner(context, master, task_function.__module__, task_function.__qualname__)

    @property
    def sweep_dir(self) -> Path:
        return sweep_dir_of(self.master.hydra)

    def run(self, number: int, overrides: list[str]) -> None:
        """Run it; how it ended is in the mailbox. A point that does not compose is left to the main process to tell.

        Raises RuntimeError, which can be pickled, with what the task raised: it may not have come to say so itself.
        """
        setup_globals()
        try:
            config = self.context.config_loader.load_sweep_config(self.master, overrides)
        except (HydraException, OmegaConfBaseException):
            return
        with open_dict(config):
            config.hydra.job.id = f"{config.hydra.job.name}_{number}"
            config.hydra.job.num = number
        task: TaskFunction = inspect.unwrap(getattr(import_module(self.module), self.function))
        try:
            with execution_whitelist(self.context.execution_whitelist, reset=True), _as_hydras(config):
                run_job(task, config, self.context)
        except (Exception, SystemExit) as error:
            raise RuntimeError(f"{type(error).__name__}: {error}") from None


@contextmanager
def _as_hydras(config: DictConfig) -> Iterator[None]:
    """This configuration is what HydraConfig gives, in a folder of the job's own; back in the old one afterwards."""
    hydra, before, cwd = HydraConfig.instance(), HydraConfig.instance().cfg, Path.cwd()
    hydra.cfg = config  # as HydraConfig.set_config does, which copies it
    try:
        folder = Path(cwd, str(config.hydra.sweep.dir), str(config.hydra.sweep.subdir))
        with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
            config.hydra.runtime.output_dir = os.path.normpath(folder)
        OmegaConf.set_readonly(config.hydra, True)
        folder.mkdir(parents=True, exist_ok=True)
        if config.hydra.job.chdir:
            os.chdir(folder)
        yield
    finally:
        hydra.cfg = before
        os.chdir(cwd)


def run_job(task: TaskFunction, config: DictConfig, context: HydraContext) -> None:
    """The task, with the log, the files and the callbacks of a job of Hydra's. Raises what the task raises."""
    hydra: Any = config.hydra
    own = _without_hydra(config)
    configure_log(hydra.job_logging, hydra.verbose, execution_whitelist=context.execution_whitelist)
    if hydra.output_subdir is not None:
        folder = Path(hydra.runtime.output_dir, hydra.output_subdir)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(OmegaConf.to_yaml(own), encoding="utf-8")
        inside = textwrap.indent(OmegaConf.to_yaml(hydra), "  ")
        (folder / "hydra.yaml").write_text(f"hydra:\n{inside}", encoding="utf-8")
        (folder / "overrides.yaml").write_text(OmegaConf.to_yaml(hydra.overrides.task), encoding="utf-8")
    done = JobReturn(
        overrides=list(hydra.overrides.task),
        cfg=own,
        hydra_cfg=config,
        working_dir=str(Path.cwd()),
        task_name=JobRuntime.instance().get("name"),
        status=JobStatus.FAILED,
    )
    variables = {str(name): str(value) for name, value in hydra.job.env_set.items()}
    with env_override(variables):
        context.callbacks.on_job_start(config=config, task_function=task)
        try:
            done.return_value = task(own)
            done.status = JobStatus.COMPLETED
        except BaseException as error:
            done.return_value = error
            _log_to_files("Job failed", error)
            raise
        finally:
            context.callbacks.on_job_end(config=config, job_return=done)


def _without_hydra(config: DictConfig) -> DictConfig:
    """A copy of it without hydra's part, which is the larger one and is not copied."""
    loose = {"readonly": False, "struct": False, "no_deepcopy_set_nodes": True}
    with flag_override(config, [*loose], [*loose.values()]):
        hydra = config.pop("hydra")
    try:
        return copy.deepcopy(config)
    finally:
        with flag_override(config, [*loose], [*loose.values()]):
            config.hydra = hydra


def _log_to_files(message: str, error: BaseException) -> None:
    """Into the job's log, with the traceback; the screen is the main process's."""
    told = (type(error), error, error.__traceback__)
    record = log.makeRecord(__name__, logging.ERROR, __file__, 0, message, (), told)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)
