"""Trains, evaluates and records one experiment: `python -m boston_exp.run [overrides]`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from boston_exp import checks, completion, garbage, settings
from boston_exp import config as configuration
from boston_exp.errors import ExpectedFailure, InvalidConfig, InvalidData, Together, plainly, tell, terminable
from boston_exp.sweep import points
from boston_exp.tracking import destination as destinations

if TYPE_CHECKING:
    from hydra.conf import HydraConf

    from boston_exp.config import Config
    from boston_exp.settings import Typed
    from boston_exp.sweep.points import Job
    from boston_exp.tracking.destination import Destination


@hydra.main(config_path=str(configuration.CONF), config_name="config", execution_whitelist=[])
def run(cfg: DictConfig) -> float | tuple[float, ...]:
    """Hydra's task: compose, check, train; returns the objective, or all of several, for whoever sweeps."""
    hydra_config = HydraConfig.get()
    try:
        with points.job(hydra_config) as job:
            typed = settings.Typed(_overrides(hydra_config), Path(hydra_config.runtime.cwd))
            config = configuration.parse(cfg, typed)
            destination = destinations.resolve(config, typed)
            if job.away:
                destination = destination.of_host(points.host())
            faults = checks.faults(config)
            if not job.in_sweep:  # a sweep has looked at its store before it began
                faults += destinations.faults(destination)
            if faults:
                raise InvalidConfig(*faults)
            metrics = train(cfg, typed, config, destination, _name(hydra_config), job)
    except ExpectedFailure as failure:
        if hydra_config.mode == RunMode.MULTIRUN:
            raise
        tell(failure)
        sys.exit(2)
    objective = tuple(metrics[name] for name in config.objective.metrics)
    return objective if len(objective) > 1 else objective[0]


def train(
    cfg: DictConfig, typed: Typed, config: Config, destination: Destination, name: str, job: Job
) -> dict[str, float]:
    """One experiment, from the table to the record; gives its metrics.

    The heavy imports stand here: what can be refused without them has been refused by now.
    """
    from boston_exp import record, summary, tracking
    from boston_exp.experiment import data, evaluation, models
    from boston_exp.storage import dvc_remote

    if config.data.path is not None:
        dvc_remote.fetch_if_missing(Path(config.data.path), config.storage, typed)
    with Together(InvalidData) as attempt:
        dataset = attempt(data.load, config)
        estimator = attempt(models.build, config)
    models.check_suits(estimator, dataset)
    rows = data.split(dataset, config.data.test_size, config.seed)
    plan = record.plan(name, config, dataset, rows, estimator, job.tags)
    tracker = tracking.open_tracker(destination, publishes=job.away or not job.in_sweep, asks=job.asks_server)
    store_model = config.tracking.stores_model(job.in_sweep)
    if job.in_sweep if config.skip_finished is None else config.skip_finished:
        done = tracker.find_finished(plan.tags["fingerprint"], with_model=store_model)
        if done:
            job.ended(done.run_id, done.metrics, reused=True)
            if not job.in_sweep:
                summary.show_reused(name, done)
            return done.metrics
    with tracker.start(plan) as recording:
        job.began(recording.run_id)
        garbage.collect()
        evaluated = evaluation.evaluate(estimator, rows, config.evaluation, config.seed, dataset.unit, job.reached)
        with record.outcome(cfg, typed, config, dataset, rows, evaluated, name, store_model) as outcome:
            recording.log(outcome)
    job.ended(recording.run_id, evaluated.metrics, reused=False)
    if not job.in_sweep:
        summary.show(name, dataset, rows, evaluated.metrics, recording)
    return evaluated.metrics


def _name(hydra_config: HydraConf) -> str:
    """What distinguishes this run at a glance: the preset or the model, and what was changed in it."""
    changed = [
        override.lstrip("+").removeprefix("model.")
        for override in _overrides(hydra_config)
        if override.lstrip("+").startswith("model.")
    ]
    choices = hydra_config.runtime.choices
    return " ".join([choices.get("experiment") or choices.get("model") or "model", *changed])


def _overrides(hydra_config: HydraConf) -> tuple[str, ...]:
    """What was typed, interpolations as they are."""
    return tuple(OmegaConf.to_container(hydra_config.overrides.task, resolve=False))  # type: ignore[arg-type]


def main() -> None:
    """The command."""
    garbage.wait()
    try:
        with terminable(), plainly():
            settings.refuse_secrets(sys.argv[1:])
            run()
        completion.extend(sys.argv)
    except SystemExit as stop:
        points.leave(stop.code if isinstance(stop.code, int) else 1)
        raise
    points.leave(0)


if __name__ == "__main__":
    # the module by its name, not as __main__: workers of every launcher import the task from there
    from boston_exp.run import main as command

    command()
