"""Hands points to any of Hydra's launchers, hears how each of them ends, and leaves no worker behind."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf

from boston_exp.sweep import points as files
from boston_exp.sweep.points import PATIENCE, State

POLL = 0.05  # seconds between looks at what the workers have said
Heard = Callable[[int, State], None]


class Workers:
    """A launcher, and what has to be known of it."""

    def __init__(self, launcher: Launcher, settings: DictConfig) -> None:
        self._launcher = launcher
        self.settings = settings
        self.target = str(settings._target_)
        self.in_process = isinstance(launcher, BasicLauncher)

    @property
    def count(self) -> int:
        """How many points run at once."""
        if self.in_process:
            return 1
        n_jobs = int(self.settings.get("n_jobs", -1))
        return n_jobs if n_jobs > 0 else max(1, cores() + 1 + n_jobs)

    @property
    def threads(self) -> int | None:
        """A worker's share of the cores; None where there is one worker, this process."""
        return None if self.in_process else max(1, cores() // self.count)

    @property
    def chunk(self) -> int:
        """How many points the launcher gets at once.

        Launchers keep what every job returns, a megabyte of configuration each, until the last one is back. An array
        job of Slurm is worth more than that memory.
        """
        if self.in_process:
            return 1
        return sys.maxsize if "submitit" in self.target else 20 * self.count

    @property
    def forks(self) -> bool:
        """Whether workers start with all that this process has imported. Elsewhere than on Linux a fork is not safe."""
        return sys.platform == "linux" and self.settings.get("backend") in ("loky", "multiprocessing")

    @property
    def are_kept(self) -> bool:
        """Whether a forked worker goes from point to point."""
        return self.forks and self.ends_together

    @property
    def may_import(self) -> bool:
        """Whether this process, idle while they work, may import: a fork at that moment might wait for ever."""
        return not self.in_process and (self.are_kept or not self.forks)

    @property
    def ends_together(self) -> bool:
        """Whether one worker that is killed takes the others with it."""
        return self.settings.get("backend") == "loky"

    def launch(
        self, folder: Path, first: int, overrides: Sequence[list[str]], heard: Heard
    ) -> tuple[Exception | None, dict[int, str | None]]:
        """Run the points, numbered from `first`; every one that ends is heard of at once.

        Gives what the launcher raised, which loses no point that it did, and the points whose worker was killed, with
        their runs; of others that it came back without nothing is known.
        """
        waiting = set(range(first, first + len(overrides)))

        def take(number: int, state: State) -> None:
            if number in waiting and state.status in files.ENDED:
                waiting.discard(number)
                heard(number, state)

        def run() -> None:
            try:
                if self.are_kept:
                    from boston_exp.sweep import forks

                    forks.launch(self._launcher, overrides, first)
                else:
                    self._launcher.launch(overrides, initial_job_idx=first)
            except Exception as error:
                raised.append(error)

        raised: list[Exception] = []
        if self.in_process:
            with files.listening(take):
                run()
        else:
            with _ended_with() as launched:
                thread = threading.Thread(target=run, daemon=True)  # a pool that lost a worker waits for it for ever
                thread.start()
                _watch(folder, waiting, take, thread, self.ends_together)
                launched.clean = not thread.is_alive()
        lost = {number: last.run_id for number in waiting if (last := files.lost(folder, number))}
        for number in waiting:
            files.withdraw(folder, number)
        return raised[0] if raised else None, lost


def _watch(folder: Path, waiting: set[int], take: Heard, launching: threading.Thread, ends_together: bool) -> None:
    lost_at: float | None = None
    seen: dict[int, int] = {}
    while waiting:
        alive = launching.is_alive()
        for number, state in files.news(folder, waiting, seen):
            take(number, state)
            lost_at = lost_at and time.monotonic()
        running = [number for number in waiting if number in seen]
        for number in [] if ends_together else running:
            last = files.lost(folder, number)
            if last:
                lost_at = time.monotonic()
                take(number, replace(last, status="failed", message=files.LOST))
        if not alive:
            return
        if lost_at and not running and time.monotonic() - lost_at > 4 * PATIENCE:
            return  # the launcher waits for a worker that is gone, and begins nothing new
        time.sleep(POLL)
    launching.join(PATIENCE)


@dataclass
class _Launched:
    clean: bool = False


@contextmanager
def _ended_with() -> Iterator[_Launched]:
    """Leave no worker behind: told to end, given time to close their runs, then killed."""
    me = psutil.Process()
    before = set(me.children(recursive=True))
    launched = _Launched()
    try:
        yield launched
    finally:
        if not launched.clean:
            files.abandoned.append(True)
            workers = [child for child in me.children(recursive=True) if child not in before and _is_worker(child)]
            for worker in workers:
                _signal(worker.terminate)
            _, stubborn = psutil.wait_procs(workers, timeout=PATIENCE)
            for worker in stubborn:
                _signal(worker.kill)
            psutil.wait_procs(stubborn, timeout=PATIENCE)


def _is_worker(process: psutil.Process) -> bool:
    """Python's own helper of a pool ends with its parent, and complains when it is killed."""
    with suppress(psutil.Error):
        return "resource_tracker" not in " ".join(process.cmdline())
    return False


def _signal(send: Any) -> None:
    with suppress(psutil.NoSuchProcess):
        send()


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
