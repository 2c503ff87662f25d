"""Runs one point through Hydra, in whatever process: composed, in a folder of its own, with its own log file."""

from __future__ import annotations

import inspect
import io
from contextlib import redirect_stderr
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from hydra.core.utils import run_job, setup_globals
from hydra.errors import HydraException
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from boston_exp.sweep.mailbox import sweep_dir_of


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
            done = run_job(task, config, "hydra.sweep.dir", "hydra.sweep.subdir", self.context)
        except SystemExit as error:  # Hydra hangs the job on it, which holds the exception: pickled, that has no end
            raise RuntimeError(f"SystemExit: {error}") from None
        with redirect_stderr(io.StringIO()):  # Hydra says that the job failed; the main process says more of it
            try:
                done.return_value  # noqa: B018 (raises what the task raised)
            except Exception as error:
                raise RuntimeError(f"{type(error).__name__}: {error}") from None
