"""Joblib's workers, forked from this process and fed with numbers and overrides alone.

Hydra's joblib launcher hands every job the configuration, Hydra's own state and the task: 0.15 MB, for which the main
process takes 0.015 s while the workers want its core, and has each worker look for Hydra's plugins again, which takes
0.02 s. A fork has all of that from its parent.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from hydra.core.utils import run_job
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra_plugins.hydra_joblib_launcher._core import process_joblib_cfg
from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.backend import context as loky
from omegaconf import open_dict
from omegaconf.errors import OmegaConfBaseException

_launcher: Any = None  # a worker has its parent's


def launch(launcher: Launcher, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> None:
    """Run the jobs as `JoblibLauncher.launch` does, with the same settings; what one returns stays with its worker.

    Loky's workers outlive a job, and start at once when they are forked; it warns of that, as threads do not survive a
    fork. None runs here that a worker needs: what starts threads is first used in the workers, and a fork waits for the
    thread that publishes (tracking/publishing.py).
    """
    global _launcher
    if _launcher not in (None, launcher):
        get_reusable_executor().shutdown(wait=True)  # the workers of an earlier sweep have its launcher
    _launcher = launcher
    warnings.filterwarnings("ignore", ".*fork.* start method should not be used with .*loky", UserWarning)
    loky.set_start_method("fork", force=True)
    settings = dict(_launcher.joblib)
    process_joblib_cfg(settings)
    with parallel_config(settings.pop("backend"), inner_max_num_threads=settings.pop("inner_max_num_threads", None)):
        Parallel(**settings)(
            delayed(_job)(number, list(overrides)) for number, overrides in enumerate(job_overrides, initial_job_idx)
        )


def _job(number: int, overrides: list[str]) -> None:
    context = _launcher.hydra_context
    try:
        config = context.config_loader.load_sweep_config(_launcher.config, overrides)
    except (HydraException, OmegaConfBaseException):
        return  # the main process sees why it does not compose; raised here, it would end the other workers
    with open_dict(config):
        config.hydra.job.id = f"{config.hydra.job.name}_{number}"
        config.hydra.job.num = number
    run_job(_launcher.task_function, config, "hydra.sweep.dir", "hydra.sweep.subdir", context)
