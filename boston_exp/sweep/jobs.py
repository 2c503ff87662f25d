"""A point of a sweep, in the process that trains it: what it is told, and what it says."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from hydra.types import RunMode

from boston_exp import redaction
from boston_exp.config import secrecy
from boston_exp.errors import ExpectedFailure, Fault, Kind, Pruned, traced
from boston_exp.experiment import threads as threads_of_libraries
from boston_exp.signals import terminable
from boston_exp.sweep import fidelity, mailbox
from boston_exp.sweep.ending import TimeIsUp
from boston_exp.sweep.mailbox import State, Task
from boston_exp.tracking.destination import Destination
from boston_exp.training.job import Job, Trained

log = logging.getLogger(__name__)
ShouldPrune = Callable[[int, dict[str, float]], bool]


class SweepJob(Job):
    """One point: its run is a child of the sweep's, and the main process learns how it ended."""

    def __init__(self, folder: Path, sweep_dir: Path, number: int, task: Task) -> None:
        super().__init__(folder)
        self._sweep_dir = sweep_dir
        self._number = number
        self._task = task
        self.should_prune: ShouldPrune = _never
        self.pruned_by_trees: Mapping[str, Any] | None = None  # settings of the pruner, where it looks at trees
        self._trees: int | None = None  # at the end, where they are
        self._run_id: str | None = None
        parent = {"mlflow.parentRunId": task.parent_run_id} if task.parent_run_id else {}
        self.tags = {"sweep.point": task.key, **parent}
        self.swept = tuple(task.swept)
        self.followed = task.followed

    def placed(self, destination: Destination) -> Destination:
        """The shared store on this machine; on another one a store of its own, which it publishes itself."""
        destination = replace(destination, experiment_name=self._task.experiment or destination.experiment_name)
        if self._task.main_host != mailbox.host():
            return super().placed(destination.on_host(mailbox.host()))
        return super().placed(destination.for_worker(self._task.asks_server))

    def faults(self, destination: Destination, detach: bool) -> list[Fault]:
        return []  # the main process has looked before the first point

    def stores_model(self, log_model: str | None) -> bool:
        return log_model == "all"

    def skips_finished(self, skip_finished: bool | None) -> bool:
        return skip_finished is not False

    def reports(self, report: str | None) -> bool:
        return False  # the page is the sweep's

    def began(self, run_id: str | None) -> None:
        super().began(run_id)
        self.say("running", run_id)

    def telling(self) -> AbstractContextManager[Callable[[str], None]]:
        return nullcontext(self._goes_on)  # the screen is the sweep's

    def _goes_on(self, stage: str) -> None:
        """Before each stage; in the main process nobody else looks at the clock."""
        if self._task.ends_at is not None and time.time() >= self._task.ends_at:
            raise TimeIsUp

    def rungs(self, trees: int | None) -> Sequence[int] | None:
        if self.pruned_by_trees is None:
            return None
        if trees is None:  # of a search over several models this one does not grow: its folds are no steps to compare
            self.should_prune = _never
            return None
        self._trees = trees
        return fidelity.rungs(self.pruned_by_trees, trees)

    def reached(self, step: int, metrics: dict[str, float]) -> None:
        worse = self.should_prune(step, metrics)
        if worse and self._trees is None:
            raise Pruned(f"pruned after fold {step}, clearly worse than the others so far", step, metrics)
        if worse and step != self._trees:  # at its end there is nothing to save any more
            raise Pruned(f"pruned at {step} trees, clearly worse than the others so far", 0, metrics, step)

    def ended(self, trained: Trained) -> None:
        self.say("reused" if trained.reused else "finished", trained.run_id, trained.metrics)

    def say(
        self,
        status: str,
        run_id: str | None = None,
        metrics: dict[str, float] | None = None,
        message: str = "",
        trace: str = "",
    ) -> None:
        """Write the state that the main process reads."""
        self._run_id = run_id or self._run_id
        state = State(status, os.getpid(), mailbox.host(), self._run_id, metrics or {}, message, trace)
        mailbox.write_state(self._sweep_dir, self._number, state)


@contextmanager
def current(hydra_config: HydraConf) -> Iterator[Job]:
    """The job of this configuration: a single run's, or a point's, which tells the main process how it ended."""
    sweep_dir = mailbox.sweep_dir_of(hydra_config)
    number = hydra_config.job.get("num")
    file = mailbox.task_file(sweep_dir, number)
    if hydra_config.mode != RunMode.MULTIRUN or not file.parent.exists():
        yield Job(Path(hydra_config.runtime.output_dir))
        return
    if not file.exists():
        raise RuntimeError("this point was withdrawn: the main process gave up on the launcher that has it")
    task = mailbox.read_task(file)
    job = SweepJob(Path(hydra_config.runtime.output_dir), sweep_dir, number, task)
    with ExitStack() as stack:
        secrecy.known()
        redaction.log_records()
        logging.raiseExceptions = False
        stack.enter_context(redaction.streams())
        stack.enter_context(_no_screen())
        stack.enter_context(terminable())
        job.say("running")
        try:
            if task.threads is not None:
                stack.enter_context(limited_to(task.threads))
            job.should_prune = _pruner(hydra_config, task)
            if job.should_prune is not _never and hydra_config.sweeper.get("resource") == fidelity.TREES:
                job.pruned_by_trees = hydra_config.sweeper.pruner
            yield job
        except Pruned as pruned:
            log.info("%s", pruned)
            job.say("pruned", message=str(pruned))
            raise
        except (Exception, SystemExit) as error:
            if isinstance(error, ExpectedFailure) and any(fault.kind is Kind.SECRET for fault in error.faults):
                secrecy.remove_composed(hydra_config)
            job.say("failed", message=f"{type(error).__name__}: {error}", trace=traced(error))
            raise


def _never(step: int, metrics: dict[str, float]) -> bool:
    return False


def _pruner(hydra_config: HydraConf, task: Task) -> ShouldPrune:
    elsewhere = task.main_host != mailbox.host() and str(hydra_config.sweeper.get("storage")).startswith("sqlite")
    if task.trial is not None and elsewhere:
        log.warning("%s is an sqlite file of another machine: nothing is pruned here", hydra_config.sweeper.storage)
    if task.trial is None or elsewhere:
        return _never
    from boston_exp.tracking.studies import reporter

    return reporter(hydra_config, *task.trial)


@contextmanager
def _no_screen() -> Iterator[None]:
    """The main process has the screen; the job's own log file gets everything."""
    root = logging.getLogger()
    screens = [each for each in root.handlers if type(each) is logging.StreamHandler]
    for screen in screens:
        root.removeHandler(screen)
    try:
        yield
    finally:
        for screen in screens:
            root.addHandler(screen)


@contextmanager
def limited_to(threads: int) -> Iterator[None]:
    """Limit the threads of every library to this worker's share of the cores."""
    from joblib import parallel_config

    before = os.environ.get("LOKY_MAX_CPU_COUNT")
    os.environ["LOKY_MAX_CPU_COUNT"] = str(threads)  # joblib.cpu_count(), which is what n_jobs=-1 comes to
    try:
        with threads_of_libraries.pools().limit(limits=threads), parallel_config(n_jobs=1):
            yield
    finally:
        if before is None:
            del os.environ["LOKY_MAX_CPU_COUNT"]
        else:
            os.environ["LOKY_MAX_CPU_COUNT"] = before
