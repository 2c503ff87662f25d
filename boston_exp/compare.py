"""Is one run better than another, and how sure is that: `python -m boston_exp.compare 'runs=[A,B]'`."""

from __future__ import annotations

import sys
from pathlib import Path

from omegaconf import DictConfig

from boston_exp import command
from boston_exp.config.commands import Compare
from boston_exp.config.invocation import again
from boston_exp.errors import Fault, InvalidConfig


@command.task("compare")
def compare(cfg: DictConfig) -> None:
    """Hydra's task: compose, find the runs, compare, print, write the report."""
    config, typed, destination = command.recorded(cfg, Compare)
    names = typed.texts("runs")
    if len(names) < 2:
        raise InvalidConfig(Fault("compare takes two runs or more.", again("runs=[best,<id>]")))

    from boston_exp.lifecycle import evidence, selection
    from boston_exp.lifecycle.comparing import differences, pairs, screen
    from boston_exp.tracking import backends

    metric = selection.metric_named(config.metric)
    history = backends.open_history(destination)
    runs = selection.several(history, names, "runs", metric)
    found = pairs.compare(history, runs, metric, config.rope)
    differing = differences.differences(history, runs)
    screen.show(found, differing, config.format)
    if config.report:
        from boston_exp.lifecycle.comparing import html

        slices = evidence.recorded_slices(history, runs)
        html.write(typed.cwd / Path(config.report).expanduser(), found, slices, differing)
        print(f"report      {config.report}", file=sys.stderr)  # stdout may be JSON


def main() -> None:
    """The command."""
    command.main("compare", compare)


if __name__ == "__main__":
    main()
