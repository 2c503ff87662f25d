"""Brings recorded runs to a server or another store, once each: `python -m boston_exp.sync env=production`."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from boston_exp import command
from boston_exp.config.commands import Sync


@command.task("sync")
def sync(cfg: DictConfig) -> None:
    """Hydra's task: compose, look what there is to do, bring it, say what was done; exits 1 if something is left."""
    config, typed, destination = command.recorded(cfg, Sync)

    from boston_exp.lifecycle.syncing import bringing, screen
    from boston_exp.tracking import backends

    with backends.open_sync(destination, config.source, typed.cwd) as parts:
        if config.dry_run:
            screen.show_planned(bringing.planned(parts, config, destination), config.format)
            return
        with screen.progress() as told:
            brought = bringing.bring(parts, config, destination, told)
    screen.show_done(brought, destination, config.format)
    sys.exit(int(bool(brought.done.left)))


def main() -> None:
    """The command."""
    command.main("sync", sync)


if __name__ == "__main__":
    main()
