"""Removes runs with all that belongs to them: `python -m boston_exp.clean 'what=[failed,killed]'`; a dry run first."""

from __future__ import annotations

from omegaconf import DictConfig

from boston_exp import command
from boston_exp.config.commands import Clean


@command.task("clean")
def clean(cfg: DictConfig) -> None:
    """Hydra's task: compose, choose, show; remove where that is confirmed."""
    config, typed, destination = command.recorded(cfg, Clean)

    from boston_exp.lifecycle import selection
    from boston_exp.lifecycle.cleaning import choice, screen
    from boston_exp.lifecycle.cleaning.items import items
    from boston_exp.tracking import backends

    age = choice.check(config.what, config.older_than, typed.text("run_id"), typed.text("sweep"))
    history, removal = backends.open_history(destination), backends.open_removal(destination)
    run, sweep = (
        selection.identified(history, text, key) if (text := typed.text(key)) else None for key in ("run_id", "sweep")
    )
    registered = choice.registered(history, removal)
    chosen = choice.chosen(history, registered, config.what, age, run, sweep)
    store = "" if destination.server else destination.uri  # whose ids the output folders here have
    only_these = run is not None or sweep is not None
    found = items(history, removal, registered, chosen, config.what, age, store, config.study_storage, only_these)
    if config.confirm:
        for each in found:
            each.remove()
    screen.show(found, chosen, config.format, removed=config.confirm, on_server=destination.server is not None)


def main() -> None:
    """The command."""
    command.main("clean", clean)


if __name__ == "__main__":
    main()
