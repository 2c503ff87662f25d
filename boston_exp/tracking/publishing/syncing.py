"""Brings the runs of a store to another one: several at once, once each, compared, in constant memory."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, suppress
from typing import Protocol

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from boston_exp import process
from boston_exp.config.invocation import again
from boston_exp.errors import Fault, InvalidConfig
from boston_exp.redaction import printable, redact
from boston_exp.storage.s3 import Access
from boston_exp.tracking.publishing.copy import RunCopier
from boston_exp.tracking.publishing.ledger import Ledger
from boston_exp.tracking.publishing.listing import all_experiments
from boston_exp.tracking.publishing.lock import HeldError, PublishLock
from boston_exp.tracking.publishing.registered import RegisteredModels
from boston_exp.tracking.publishing.source import Source
from boston_exp.tracking.synchronization import Done, Entry, Left, Plan

THREADS = 4  # runs at once
AHEAD = 2 * THREADS  # runs that are handed out: of all others the ids alone are in memory
LOOK = 0.5  # seconds between looks at what is under way
SHOWN = 300  # characters of a reason
BAD_REQUEST = 400


class Listed(Protocol):
    """Finds out what there is to do."""

    def __call__(self, experiments: Sequence[str], where: str, everything: bool) -> Plan: ...


class MlflowSynchronization:
    """From `source` to `target`. `lost` says why the target does not answer any more, None if it does."""

    def __init__(
        self,
        shown: str,
        source: Source,
        target: MlflowClient,
        experiment: Callable[[str], str],
        ledger: Ledger,
        listed: Listed,
        lock: PublishLock,
        lost: Callable[[], str | None],
        access: Access | None = None,
    ) -> None:
        self.shown = shown
        self._listed = listed
        self._source = source
        self._target = target
        self._lock = lock
        self._lost = lost
        self._copier = RunCopier(source, target, experiment, ledger, access)

    def plan(self, experiments: Sequence[str], where: str, everything: bool) -> Plan:
        try:
            return self._listed(experiments, where, everything)
        except MlflowException as error:
            if not where or error.get_http_status_code() != BAD_REQUEST:
                raise
            says = f"filter={where} is no condition of MLflow's: {redact(error.message).partition(chr(10))[0]}"
            raise InvalidConfig(Fault(says, again(without=["filter"]))) from error

    def experiments(self) -> list[str]:
        return sorted(each.name for each in all_experiments(self._source.client))

    def size(self, plan: Plan) -> int | None:
        return self._source.size([entry.run_id for entry in plan.todo])

    def carry_out(
        self, plan: Plan, registry: bool, told: Callable[[Done], None], waiting: Callable[[str], None]
    ) -> Done:
        done, threads = Done(), ThreadPoolExecutor(THREADS, "sync")
        try:
            with self._lock.held(waiting), closing(self._copier):
                self._bring(plan, done, told, threads)
                if registry:
                    self._register(done, told)
        except HeldError as held:
            done.left += [Left(entry.run_id, "", str(held)) for entry in plan.todo]
        except BaseException:  # Ctrl-C: who presses it wants to leave
            process.abandon_threads()
            raise
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
        return done

    def _bring(self, plan: Plan, done: Done, told: Callable[[Done], None], threads: ThreadPoolExecutor) -> None:
        """Parents are opened first, so that their points find them, and are written last, pointing at their points."""
        parents = [entry for entry in plan.todo if entry.run_id in plan.parents]
        points = [entry for entry in plan.todo if entry.run_id not in plan.parents]
        failed: dict[str, str] = {}
        for entry, error in self._each(self._open, parents, threads, at_once=1):
            if error is not None:
                failed[entry.run_id] = self._reason(error)
        for group, at_once in ((points, AHEAD), (parents, 1)):
            for entry, error in self._each(self._copy, group, threads, at_once):
                failed.pop(entry.run_id, None)
                if error is None:
                    done.runs += 1
                else:
                    failed[entry.run_id] = self._reason(error)
                done.bytes = self._copier.uploads.bytes
                self._lock.gets_on()
                told(done)
        again = [entry for entry in plan.todo if entry.run_id in failed] if failed and not self._lost() else []
        for entry, error in self._each(self._copy, again, threads, at_once=1):  # one connection may have broken
            if error is None:
                done.runs += 1
                del failed[entry.run_id]
            else:
                failed[entry.run_id] = self._reason(error)
            told(done)
        gone = bool(failed) and self._lost() is not None
        for run_id, reason in failed.items():
            run = self._source.run(run_id)
            if run is not None and not gone:
                with suppress(MlflowException):
                    self._copier.give_up(run)
            name = printable(run.info.run_name or "") if run else ""
            done.left.append(Left(run_id, name, reason))

    def _each(
        self,
        act: Callable[[Entry], None],
        entries: Iterable[Entry],
        threads: ThreadPoolExecutor,
        at_once: int,
    ) -> Iterator[tuple[Entry, Exception | None]]:
        """What became of each, as they end; once the target is lost, of the others that it is."""
        left, under_way = deque(entries), dict[Future[None], Entry]()
        gone: Exception | None = None
        while left or under_way:
            while left and gone is None and len(under_way) < at_once:
                entry = left.popleft()
                under_way[threads.submit(act, entry)] = entry
            if gone is not None and not under_way:
                yield from ((entry, gone) for entry in left)
                return
            ended, _ = wait(under_way, LOOK, FIRST_COMPLETED)
            for future in ended:
                error = future.exception()
                if error is not None and not isinstance(error, Exception):
                    raise error
                if error is not None and gone is None:
                    lost = self._lost()
                    gone = ConnectionError(lost) if lost else None
                yield under_way.pop(future), error and (gone or error)
            if time.monotonic() > self._copier.deadline:
                gone = TimeoutError("the source or the target takes too long to answer")
                process.abandon_threads()
                yield from ((entry, gone) for entry in under_way.values())
                under_way = {}

    def _open(self, entry: Entry) -> None:
        self._copier.open(self._run(entry))

    def _copy(self, entry: Entry) -> None:
        self._copier.copy(self._run(entry))

    def _run(self, entry: Entry) -> Run:
        return self._source.client.get_run(entry.run_id)

    def _reason(self, error: Exception) -> str:
        says = str(error) if isinstance(error, ConnectionError | TimeoutError) else f"{type(error).__name__}: {error}"
        return printable(redact(says).partition("\n")[0])[:SHOWN]

    def _register(self, done: Done, told: Callable[[Done], None]) -> None:
        models = RegisteredModels(self._source, self._target, self._copier)
        for left in models.bring():
            if left is None:
                done.versions += 1
                told(done)
            else:
                done.left.append(left)
