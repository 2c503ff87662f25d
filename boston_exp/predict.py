"""Predicts new rows: `python -m boston_exp.predict from_model=models:/<name>@champion input=new.csv`."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from boston_exp import command
from boston_exp.config.commands import Predict


@command.task("predict")
def predict(cfg: DictConfig) -> None:
    """Hydra's task: compose, find the model, predict, say what was seen; exit 1 for a broken promise, where asked."""
    config, typed, destination = command.recorded(cfg, Predict)

    from boston_exp.lifecycle.prediction import predicting, recording, screen, source

    model = source.opened(str(typed.text("from_model")), typed.cwd, destination, config.trusted_packages)
    found = predicting.predict(model, config, typed.cwd)
    recorded = None
    if config.record and found.scored is not None:
        recorded = recording.record(destination, model, found.scored, config.input)
    screen.show(found, model, config, recorded)
    if config.alarm and found.scored is not None and found.scored.broken:
        sys.exit(1)


def main() -> None:
    """The command."""
    command.main("predict", predict)


if __name__ == "__main__":
    main()
