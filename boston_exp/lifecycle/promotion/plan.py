"""What was asked for, and what will be done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from boston_exp.config.commands import Promote
from boston_exp.config.settings import Typed
from boston_exp.lifecycle.promotion import names
from boston_exp.lifecycle.promotion.gate import Verdict
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.recorded import RecordedRun, Version

REFIT, ALL = "refit", "all"  # tag of a version: on which rows its model was fitted once more


@dataclass(frozen=True)
class Asked:
    """What was typed, and where."""

    config: Promote
    typed: Typed
    destination: Destination
    root: Path  # of the project

    @property
    def dvc(self) -> str:
        """What is done with files: those in data/models/ are the champion's; another alias is one of the registry."""
        return self.config.dvc if self.config.alias == names.CHAMPION else "none"

    @property
    def name(self) -> str:
        return names.registered_name(self.config.name, self.destination.experiment_name)


@dataclass(frozen=True)
class Plan:
    """What will be done. `version` is that of an earlier promotion of this run, `current` has the alias now."""

    asked: Asked
    run: RecordedRun
    model: str
    verdict: Verdict
    version: Version | None
    current: Version | None
    rollback: bool = False

    @property
    def refit(self) -> bool:
        """Whether the model is one that was fitted on all rows."""
        return self.asked.config.refit is not None or (self.version is not None and self.version.tags.get(REFIT) == ALL)

    @property
    def unchanged(self) -> bool:
        """Whether the run has the alias already."""
        return self.current is not None and self.version is not None and self.current.number == self.version.number
