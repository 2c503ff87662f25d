"""A point is run as Hydra's own `run_job` runs a job: the same files, settings, log, callbacks and working folder."""

from __future__ import annotations

import copy
import logging
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from boston_exp.sweep.runner import PointRunner
from tests.conftest import ROOT

seen: list[dict[str, Any]] = []


def task(cfg: DictConfig) -> float:
    """What a task can see of its job."""
    hydra: Any = HydraConfig.get()
    logging.getLogger("boston_exp.tried").info("told")
    seen.append(
        {
            "cfg": OmegaConf.to_yaml(cfg, resolve=True),
            "struct": OmegaConf.is_struct(cfg),
            "type": OmegaConf.get_type(cfg),
            "output_dir": Path(hydra.runtime.output_dir).name,
            "num": hydra.job.num,
            "id": hydra.job.id,
            "readonly": OmegaConf.is_readonly(HydraConfig.instance().cfg.hydra),  # type: ignore[union-attr]
            "cwd": Path.cwd().name,
            "variable": os.environ.get("BOSTON_EXP_TRIED"),
        }
    )
    if cfg.model.alpha == 13:
        raise ValueError("unlucky")
    return float(cfg.model.alpha)


@dataclass
class Heard:
    """Callbacks, as Hydra calls them."""

    calls: list[Any] = field(default_factory=list)

    def on_job_start(self, config: DictConfig, **more: Any) -> None:
        self.calls.append(("start", config.hydra.job.num, sorted(more)))

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **more: Any) -> None:
        raised = job_return._return_value if job_return.status is JobStatus.FAILED else job_return.return_value
        told = (job_return.status, repr(raised), list(job_return.overrides or ()), job_return.task_name)
        self.calls.append(("end", config.hydra.job.num, told, Path(str(job_return.working_dir)).name))


class Loader:
    def __init__(self, config: DictConfig) -> None:
        self._config = config

    def load_sweep_config(self, master: DictConfig, overrides: list[str]) -> DictConfig:
        return copy.deepcopy(self._config)


@pytest.fixture(params=[False, True], ids=["stays", "chdir"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str, float], DictConfig]]:
    def make(folder: str, alpha: float) -> DictConfig:
        with initialize_config_dir(str(ROOT / "conf")):
            made = compose(
                "config",
                [
                    "model=ridge",
                    f"model.alpha={alpha}",
                    f"hydra.job.chdir={str(request.param).lower()}",
                    "+hydra.job.env_set.BOSTON_EXP_TRIED=yes",
                    f"hydra.sweep.dir={tmp_path / folder}",
                ],
                return_hydra_config=True,
            )
        with read_write(made.hydra), open_dict(made.hydra):
            made.hydra.job.num, made.hydra.job.id, made.hydra.job.name = 7, "run_7", "run"
            made.hydra.runtime.cwd = str(tmp_path)
            made.hydra.runtime.output_dir = str(tmp_path)
        return made

    yield make
    HydraConfig.instance().cfg = None


def ran(config: DictConfig, how: str) -> tuple[dict[str, Any], list[Any], list[str], dict[str, Any]]:
    """What the task saw, what callbacks heard, the end of its log, and the files of its folder as data."""
    seen.clear()
    heard = Heard()
    context = HydraContext(config_loader=Loader(config), callbacks=heard, execution_whitelist=[])  # type: ignore[arg-type]
    setup_globals()
    cwd = Path.cwd()
    if how == "hydra":
        done = run_job(task, copy.deepcopy(config), "hydra.sweep.dir", "hydra.sweep.subdir", context)
        assert done.status in (JobStatus.COMPLETED, JobStatus.FAILED)
    else:
        runner = PointRunner(context, config, __name__, "task")
        if config.model.alpha == 13:
            with pytest.raises(RuntimeError, match="ValueError: unlucky"):
                runner.run(7, [])
        else:
            runner.run(7, [])
    assert Path.cwd() == cwd
    assert "BOSTON_EXP_TRIED" not in os.environ
    folder = Path(config.hydra.sweep.dir) / "7"
    (log,) = folder.glob("*.log")
    lines = [re.sub(r"^\[[^]]*\]\[[^]]*\]", "", line) for line in log.read_text().splitlines()]
    told = [line for line in lines if line.startswith("[") or line == lines[-1]]  # without the traceback's own lines
    files = {file.name: OmegaConf.load(file) for file in sorted((folder / ".hydra").iterdir())}
    return seen[0], heard.calls, told, files


@pytest.mark.parametrize("alpha", [0.5, 13])
def test_it_is_as_hydra_runs_it(config: Callable[[str, float], DictConfig], alpha: float) -> None:
    theirs, ours = (ran(config(how, alpha), how) for how in ("hydra", "ours"))
    assert ours[0] == theirs[0]
    assert ours[1] == theirs[1]
    assert ours[2] == theirs[2]
    assert list(ours[3]) == list(theirs[3]) == ["config.yaml", "hydra.yaml", "overrides.yaml"]
    for name in theirs[3]:
        assert OmegaConf.to_yaml(ours[3][name]).replace("/ours", "/hydra") == OmegaConf.to_yaml(theirs[3][name])
