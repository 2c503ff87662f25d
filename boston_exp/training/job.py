"""What training is told by whatever runs it, and what it tells back; training itself never asks who that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from boston_exp.config.invocation import again
from boston_exp.errors import Fault
from boston_exp.redaction import redact
from boston_exp.tracking import backends
from boston_exp.tracking.destination import Destination

RUN_ID = "run_id"  # file in a run's output folder: the run's id, and the store that has it


def mark(folder: Path, run_id: str | None, store: str) -> None:
    """Note in an output folder whose it is: `clean` removes it with its run."""
    if run_id is not None and folder.is_dir():
        (folder / RUN_ID).write_text(redact(f"{run_id}\n{store}\n"))


@dataclass(frozen=True)
class Trained:
    """A run that has ended well: its scores, its id, and the summary that a single run shows."""

    metrics: dict[str, float]
    run_id: str | None
    show: Callable[[], None]
    reused: bool = False  # an earlier run with the same fingerprint; nothing was trained


class Job:
    """A single run. The points of a sweep have a job of their own (sweep/jobs.py)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder  # Hydra's, of this job
        self._store = ""

    tags: Mapping[str, str] = MappingProxyType({})
    swept: tuple[str, ...] = ()  # keys of the settings by which this run differs from its siblings
    followed: bool = False  # by a job of this process that differs in a larger number of trees alone

    def placed(self, destination: Destination) -> Destination:
        """Where this job records, given where the configuration leads to."""
        self._store = destination.uri
        return destination

    def faults(self, destination: Destination, detach: bool) -> list[Fault]:
        """What is wrong with that store, and with `detach` where this is no sweep, known before heavy imports."""
        says = "detach=true leaves the points of a sweep on a cluster, and this is one run."
        mend = again("hydra/launcher=submitit_slurm", multirun=True) + "   (or ray)"
        return [*backends.faults(destination), *([Fault(says, mend)] if detach else [])]

    def stores_model(self, log_model: str | None) -> bool:
        """Whether the run stores its model, given `tracking.log_model`."""
        return log_model != "none"

    def skips_finished(self, skip_finished: bool | None) -> bool:
        """Whether a finished run with the same fingerprint is taken instead of a training."""
        return bool(skip_finished)

    def reports(self, report: str | None) -> bool:
        """Whether a page is written of this run, given `report`."""
        return report is not None

    def began(self, run_id: str | None) -> None:
        """The run is open."""
        mark(self._folder, run_id, self._store)

    def telling(self) -> AbstractContextManager[Callable[[str], None]]:
        """What is told the stages of a training, while it lasts."""
        from boston_exp.reporting.progress import shown

        return shown()

    def rungs(self, trees: int | None) -> Sequence[int] | None:
        """Numbers of trees at which all folds are scored, of a model that grows to so many; None: fold by fold."""
        return None

    def reached(self, step: int, metrics: dict[str, float]) -> None:
        """A fold was scored, or all of them at a number of trees. Raises Pruned if going on is not worth it."""

    def ended(self, trained: Trained) -> None:
        """The run is recorded, or an earlier one was taken."""
        trained.show()
