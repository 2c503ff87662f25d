"""The best runs, ranked by what they were selected on: `python -m boston_exp.leaderboard [overrides]`."""

from __future__ import annotations

from omegaconf import DictConfig

from boston_exp import command
from boston_exp.config.commands import Leaderboard


@command.task("leaderboard")
def leaderboard(cfg: DictConfig) -> None:
    """Hydra's task: compose, open the history, rank, print."""
    config, typed, destination = command.recorded(cfg, Leaderboard)

    from boston_exp.lifecycle import selection
    from boston_exp.lifecycle.ranking import screen, standings
    from boston_exp.tracking import backends
    from boston_exp.tracking.recorded import joined

    metric = selection.metric_named(config.metric)
    history = backends.open_history(destination, config.experiments)
    points = ""
    sweep = typed.text("sweep")
    if sweep:
        points = selection.points_of(history, selection.identified(history, sweep, "sweep"))
    where = joined(config.filter or "", points)
    screen.show(standings.boards(history, metric, config.top, where), config.format)


def main() -> None:
    """The command."""
    command.main("leaderboard", leaderboard)


if __name__ == "__main__":
    main()
