"""Points on one of Hydra's launchers for a cluster (Ray, submitit): told by files, as each of them ends."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf

from boston_exp import process
from boston_exp.sweep import mailbox
from boston_exp.sweep.ending import TimeIsUp
from boston_exp.sweep.mailbox import State
from boston_exp.sweep.plan import ENDED, Assignment, Source

POLL = 0.05  # seconds between looks at the mailbox
LOOK = 1.0  # seconds between looks for processes that are gone
PATIENCE = 2.5  # seconds for a worker to close its run when it is told to end


class Launched:
    """A launcher of Hydra's, which gets points in chunks."""

    in_process = False

    def __init__(self, launcher: Launcher, sweep_dir: Path, count: int, cores: int) -> None:
        self.count = count
        self.threads = max(1, cores // count)
        self._launcher = launcher
        self._sweep_dir = sweep_dir
        # Launchers keep what every job returns, a megabyte of configuration each, until the last one of a chunk is
        # back. An array job of Slurm is worth more than that memory.
        self._chunk = sys.maxsize if "submitit" in type(launcher).__module__ else 20 * count

    def run(self, source: Source) -> Generator[tuple[int, Exception | None]]:
        while chunk := list(islice(iter(lambda: source.next(None), None), self._chunk)):
            yield from self._run(chunk, source.deadline)

    def close(self) -> None: ...

    def _run(self, chunk: list[Assignment], deadline: float | None) -> Iterator[tuple[int, Exception | None]]:
        waiting = {number for number, _ in chunk}
        raised: list[Exception] = []

        def launch() -> None:
            try:
                self._launcher.launch([overrides for _, overrides in chunk], initial_job_idx=chunk[0][0])
            except Exception as error:
                raised.append(error)

        with _workers_ended():
            thread = threading.Thread(target=launch, daemon=True)  # a launcher may wait for a lost worker for ever
            thread.start()
            for number in self._ended(waiting, thread, deadline):
                waiting.discard(number)
                yield number, None
            if thread.is_alive():
                process.abandon_threads()
        for number in sorted(waiting):
            mailbox.withdraw_task(self._sweep_dir, number)
            last = mailbox.read_state(self._sweep_dir, number)
            lost = last is not None and mailbox.is_lost(self._sweep_dir, number, last)
            yield number, raised[0] if raised else WorkerLostError() if lost else None

    def _ended(self, waiting: set[int], launching: threading.Thread, deadline: float | None) -> Iterator[int]:
        """Numbers of points as they end, until the launcher is back, or has nothing running and begins nothing new."""
        running: dict[int, State] = {}  # points that have begun, and what they said
        lost: set[int] = set()
        looked, lost_at = 0.0, None
        while waiting:
            alive = launching.is_alive()
            for number, state in mailbox.new_states(self._sweep_dir, waiting):
                running[number] = state
                if state.status in ENDED:
                    del running[number]
                    yield number
                lost_at = lost_at and time.monotonic()
            if time.monotonic() - looked > LOOK:
                looked = time.monotonic()
                lost = {number for number, state in running.items() if mailbox.is_lost(self._sweep_dir, number, state)}
                if lost and lost_at is None:
                    lost_at = looked
            if not alive or (lost_at and running.keys() <= lost and time.monotonic() - lost_at > 4 * PATIENCE):
                return
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeIsUp
            time.sleep(POLL)
        launching.join(PATIENCE)


class WorkerLostError(Exception):
    """The process that had a point is gone."""


@contextmanager
def _workers_ended() -> Iterator[None]:
    """On an exception leave no process behind: terminate, give time to close runs, then kill."""
    me = psutil.Process()
    before = set(me.children(recursive=True))
    try:
        yield
    except BaseException:
        process.abandon_threads()
        workers = [child for child in me.children(recursive=True) if child not in before and _is_worker(child)]
        for worker in workers:
            with suppress(psutil.NoSuchProcess):
                worker.terminate()
        _, stubborn = psutil.wait_procs(workers, timeout=PATIENCE)
        for worker in stubborn:
            with suppress(psutil.NoSuchProcess):
                worker.kill()
        psutil.wait_procs(stubborn, timeout=PATIENCE)
        raise


def _is_worker(child: psutil.Process) -> bool:
    """Python's resource tracker ends with its parent, and complains when it is killed."""
    with suppress(psutil.Error):
        return "resource_tracker" not in " ".join(child.cmdline())
    return False


def ray_nodes_elsewhere(init: DictConfig) -> list[str]:
    """Addresses of a Ray cluster's nodes that are not this machine; a cluster of its own making has none."""
    if init.get("address") in (None, "local"):
        return []
    import ray

    if not ray.is_initialized():
        ray.init(**OmegaConf.to_container(init, resolve=True))  # type: ignore[arg-type]
    own = {address.address for addresses in psutil.net_if_addrs().values() for address in addresses}
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return sorted({node["NodeManagerAddress"] for node in nodes if node["Alive"]} - own)
