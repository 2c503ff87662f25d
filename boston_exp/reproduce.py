"""Is a recorded run the same when it is trained again: `python -m boston_exp.reproduce run_id=<id>`."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from boston_exp import command
from boston_exp.config.commands import Reproduce
from boston_exp.config.invocation import again
from boston_exp.config.settings import PROJECT_ROOT
from boston_exp.errors import Fault, InvalidConfig

ALL = "all"


@command.task("reproduce")
def reproduce(cfg: DictConfig) -> None:
    """Hydra's task: compose, find the run, train it again, compare, record, print; exit code 1 where it differs."""
    config, typed, destination = command.recorded(cfg, Reproduce)
    if isinstance(config.run_id, list):
        says = "reproduce takes one run, or run_id=all for a sample of all of them."
        raise InvalidConfig(Fault(says, again(f"run_id={next(iter(typed.texts('run_id')), 'best')}")))
    run_id = typed.text("run_id")
    if not run_id:
        says = "reproduce takes a run, or run_id=all for a sample of all of them."
        raise InvalidConfig(Fault(says, again("run_id=best")))

    from boston_exp.lifecycle import selection
    from boston_exp.lifecycle.reproduction import reproducing, sampling, screen
    from boston_exp.lifecycle.reproduction.asked import Asked
    from boston_exp.tracking import backends

    asked = Asked(config, typed, destination, PROJECT_ROOT)
    history = backends.open_history(destination)
    if run_id == ALL:
        several = sampling.reproduced(asked, history)
        screen.show_several(several, config.format)
        sys.exit(int(not all(each.is_same for each in several)))
    found = reproducing.reproduced(asked, history, selection.identified(history, run_id, "run_id"))
    screen.show(found, config.format)
    if not found.is_same:
        sys.exit(1)


def main() -> None:
    """The command."""
    command.main("reproduce", reproduce)


if __name__ == "__main__":
    main()
