"""Makes a run's model the one in production, or gives it back: `python -m boston_exp.promote run_id=best`."""

from __future__ import annotations

from omegaconf import DictConfig

from boston_exp import command
from boston_exp.config.commands import Promote
from boston_exp.config.invocation import again
from boston_exp.config.settings import PROJECT_ROOT
from boston_exp.errors import Fault, InvalidConfig


@command.task("promote")
def promote(cfg: DictConfig) -> None:
    """Hydra's task: compose, look, plan, ask the gate, do it, say what was done."""
    config, typed, destination = command.recorded(cfg, Promote)
    run_id = typed.text("run_id")
    things = {"run_id": run_id, "rollback": config.rollback, "history": config.history}
    asked_for = [name for name, given in things.items() if given]
    if len(asked_for) != 1:
        both = f"promote does one thing at a time, and {' and '.join(asked_for)} were given."
        says = both if asked_for else "promote takes a run, or rollback=true."
        raise InvalidConfig(Fault(says, again("run_id=best", without=["rollback", "history"])))

    from boston_exp.lifecycle import selection
    from boston_exp.lifecycle.promotion import journal, obstacles, promoting, screen
    from boston_exp.lifecycle.promotion.plan import Asked
    from boston_exp.tracking import backends

    asked = Asked(config, typed, destination, PROJECT_ROOT)
    registry, history = backends.open_registry(destination), backends.open_history(destination)
    if config.history:
        screen.show_history(registry.events(asked.name), registry.aliases(asked.name), asked.name, config.format)
        return
    metric = selection.metric_named(config.metric)
    with journal.alone(asked.root) as lock:
        tools = promoting.tools(asked, registry, lock)
        promoting.settle(asked, tools)
        faults = list(obstacles.faults(asked))
        if faults:
            raise InvalidConfig(*faults)
        plan = promoting.planned(asked, history, registry, str(run_id), metric)
        if plan.unchanged:
            screen.show_unchanged(plan, config.format)
        elif config.dry_run and plan.verdict.opens:
            screen.show_plan(plan, config.format)
        else:
            done = promoting.perform(plan, tools, history)
            screen.show_done(plan, done, tools, config.format)


def main() -> None:
    """The command."""
    command.main("promote", promote)


if __name__ == "__main__":
    main()
