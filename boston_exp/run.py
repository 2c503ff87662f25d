"""Trains, evaluates and records one experiment: `python -m boston_exp.run [overrides]`."""

from __future__ import annotations

import math
from contextlib import suppress

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from boston_exp import command
from boston_exp.config import checks
from boston_exp.config.parsing import parse
from boston_exp.config.schema import Config
from boston_exp.errors import InvalidConfig, Pruned
from boston_exp.lifecycle import base
from boston_exp.sweep import jobs
from boston_exp.tracking import destination as destinations
from boston_exp.training import collector
from boston_exp.training.naming import class_name, run_name


@command.task("config")
def run(cfg: DictConfig) -> float | tuple[float, ...]:
    """Hydra's task: compose, check, train; returns the objective, or all of several, for whoever sweeps."""
    from boston_exp.experiment.metrics import objective_faults  # imports NumPy, which --help and --cfg do without

    with suppress(Pruned), jobs.current(HydraConfig.get()) as job:
        typed = command.typed()
        config = parse(cfg, typed, Config)
        destination = job.placed(destinations.resolve(config, typed))
        faults = [*checks.faults(config), *objective_faults(config), *job.faults(destination, config.detach)]
        if faults:
            raise InvalidConfig(*faults)
        if config.explain:
            from boston_exp.training import explaining

            explaining.explain(config, typed)
            return math.nan
        from boston_exp.training.train import Experiment, train  # all that is heavy, once nothing is refused without it

        choices = HydraConfig.get().runtime.choices
        name = run_name(choices, typed.overrides, job.swept, config.name) or class_name(config.model)
        trained = train(Experiment(cfg, typed, config, destination, name), job)
        job.ended(trained)
        return config.objective.of(trained.metrics)
    return math.nan  # pruned, which is no failure


def main() -> None:
    """The command."""
    collector.postpone()
    command.main("run", run, prepare=base.expanded)


if __name__ == "__main__":
    # the module by its name, not as __main__: workers of every launcher import the task from there
    from boston_exp.run import main as this_command

    this_command()
