"""Trains, evaluates and records one experiment: `python -m boston_exp.run [overrides]`."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from boston_exp import completion
from boston_exp import config as configuration
from boston_exp.errors import ExpectedFailure, InvalidConfig, InvalidData, Terminated, Together, plainly, tell
from boston_exp.tracking import destination as destinations

if TYPE_CHECKING:
    from hydra.conf import HydraConf

    from boston_exp.config import Config, Typed
    from boston_exp.tracking.destination import Destination


@hydra.main(config_path=str(configuration.CONF), config_name="config", execution_whitelist=[])
def run(cfg: DictConfig) -> float:
    """Hydra's task: compose, check, train; returns the objective for whoever sweeps."""
    hydra_config = HydraConfig.get()
    try:
        typed = configuration.Typed(tuple(hydra_config.overrides.task), Path(hydra_config.runtime.cwd))
        config = configuration.parse(cfg, typed)
        destination = destinations.resolve(config, typed)
        faults = [*configuration.faults(config), *destinations.faults(destination)]
        if faults:
            raise InvalidConfig(*faults)
        return train(cfg, typed, config, destination, _name(hydra_config))
    except ExpectedFailure as failure:
        if hydra_config.mode == RunMode.MULTIRUN:
            raise
        tell(failure)
        sys.exit(2)


def train(cfg: DictConfig, typed: Typed, config: Config, destination: Destination, name: str) -> float:
    """One experiment, from the table to the record.

    The heavy imports stand here: what can be refused without them has been refused by now.
    """
    from boston_exp import record, summary, tracking
    from boston_exp.experiment import data, evaluation, models
    from boston_exp.storage import dvc_remote

    if config.data.path is not None:
        dvc_remote.fetch_if_missing(Path(config.data.path), config.storage.dvc_remote)
    with Together(InvalidData) as attempt:
        dataset = attempt(data.load, config)
        estimator = attempt(models.build, config)
    models.check_suits(estimator, dataset)
    rows = data.split(dataset, config.data.test_size, config.seed)
    tracker = tracking.open_tracker(destination, config.tracking.log_model)
    with tracker.start(record.plan(name, config, dataset, rows, estimator)) as recording:
        evaluated = evaluation.evaluate(estimator, rows, config.evaluation, config.seed, dataset.unit)
        with record.outcome(cfg, typed, config, dataset, rows, evaluated, name) as outcome:
            recording.log(outcome)
    summary.show(name, dataset, rows, evaluated.metrics, recording)
    return evaluated.metrics[config.objective.metric]


def _name(hydra_config: HydraConf) -> str:
    """What distinguishes this run at a glance: the preset or the model, and what was changed in it."""
    changed = [
        override.lstrip("+").removeprefix("model.")
        for override in hydra_config.overrides.task
        if override.lstrip("+").startswith("model.")
    ]
    choices = hydra_config.runtime.choices
    return " ".join([choices.get("experiment") or choices["model"], *changed])


def main() -> None:
    """The command: SIGTERM becomes an exception, so that an open run is closed as KILLED."""

    def terminate(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: closing the run is not to be interrupted
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)
    with plainly():
        run()
    completion.extend(sys.argv)


if __name__ == "__main__":
    main()
