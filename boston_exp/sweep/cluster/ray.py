"""Ray: an actor on the cluster has the points, so that they outlive the command that submitted them.

Nothing has to be shared with the nodes but the cluster itself: a point's task goes with it, and how it ended comes back
as the value that it returns. Where the actor is lost (its node, the cluster), so are the points that it has: Ray ends
them. https://docs.ray.io/en/latest/ray-core/actors/named-actors.html#actor-lifetimes
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any

import cloudpickle
import psutil
from omegaconf import DictConfig, OmegaConf

from boston_exp.config.invocation import again
from boston_exp.errors import ClusterUnusable, Fault
from boston_exp.sweep import mailbox
from boston_exp.sweep.cluster.board import Board
from boston_exp.sweep.cluster.protocol import Place
from boston_exp.sweep.mailbox import State
from boston_exp.sweep.plan import ENDED
from boston_exp.sweep.runner import PointRunner

NAMESPACE = "boston_exp"
PATIENCE = 30.0  # seconds for the actor to answer


class Ray:
    """Points as tasks of an actor. If it `leaves` them, the actor stays when this process ends."""

    name = "Ray"
    queues = True
    every = 0.25

    def __init__(self, settings: DictConfig, runner: PointRunner, name: str, leaves: bool) -> None:
        import ray

        given: Any = OmegaConf.to_container(settings.ray, resolve=True)
        options = {"num_cpus": 1, **(given.get("remote") or {})}
        connect(given.get("init") or {})
        self._sweep_dir = runner.sweep_dir
        self._made = (cloudpickle.dumps(runner), options)
        self._options = {"name": name, "namespace": NAMESPACE, "num_cpus": 0, "get_if_exists": True}
        self._options |= {"lifetime": "detached"} if leaves else {}
        cores = ray.cluster_resources().get("CPU", 1.0)  # type: ignore[no-untyped-call]
        self.count = max(1, int(cores / (options["num_cpus"] or 1)))
        self._actor = self._opened()

    def submit(self, numbers: Sequence[int]) -> None:
        tasks = {number: asdict(mailbox.read_task(mailbox.task_file(self._sweep_dir, number))) for number in numbers}
        self._told("submit", tasks)

    def places(self) -> dict[int, Place]:
        from ray.exceptions import RayActorError

        try:
            told = self._told("look")
        except RayActorError:  # with it, its points
            self._actor = self._opened()
            return {}
        states: dict[int, dict[str, Any] | None] = told["states"]
        for number, said in states.items():
            before = mailbox.read_state(self._sweep_dir, number)
            if said is not None and (before is None or before.status not in ENDED):
                mailbox.write_state(self._sweep_dir, number, State(**said))
        self._told("forget", [number for number in states if number not in told["nodes"]])
        return {number: Place(f"task {number}", node) for number, node in told["nodes"].items()}

    def cancel(self) -> None:
        """Ray interrupts what runs, which closes its run, and drops what waits."""
        with suppress(Exception):  # the cluster may be what failed
            self._told("cancel")
        self.close()

    def close(self) -> None:
        import ray

        with suppress(Exception):
            ray.kill(self._actor)

    def _opened(self) -> Any:
        import ray

        with _answering():
            return ray.remote(Board).options(**self._options).remote(*self._made)

    def _told(self, method: str, *arguments: Any) -> Any:
        import ray

        with _answering():
            return ray.get(getattr(self._actor, method).remote(*arguments), timeout=PATIENCE)


def connect(init: Mapping[str, Any]) -> None:
    """Connect this process to a cluster, or start one of its own. Raises ClusterUnusable."""
    import ray

    if not ray.is_initialized():
        with _answering():
            ray.init(**{"namespace": NAMESPACE, **init})


def nodes_elsewhere(init: Mapping[str, Any]) -> list[str]:
    """Addresses of a cluster's nodes that are not this machine; a cluster of its own making has none."""
    if is_own(init):
        return []
    import ray

    connect(init)
    own = {address.address for addresses in psutil.net_if_addrs().values() for address in addresses}
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return sorted({node["NodeManagerAddress"] for node in nodes if node["Alive"]} - own)


def is_own(init: Mapping[str, Any]) -> bool:
    """Whether these settings start a cluster, which ends with this process."""
    return init.get("address") in (None, "local")


def places_of(name: str) -> dict[int, Place]:
    """The points that an actor of this name has; none where there is no such actor. For who is connected."""
    import ray

    try:
        actor: Any = ray.get_actor(name, namespace=NAMESPACE)
    except ValueError:
        return {}
    with _answering():
        told: Any = ray.get(actor.look.remote(), timeout=PATIENCE)
    return {number: Place(f"task {number}", node) for number, node in told["nodes"].items()}


@contextmanager
def _answering() -> Iterator[None]:
    """What Ray raises where there is no cluster, as one clear message; a lost actor's error is left as it is."""
    from ray.exceptions import GetTimeoutError

    try:
        yield
    except (ConnectionError, GetTimeoutError, TimeoutError, RuntimeError, ValueError) as error:
        said = str(error).strip().partition("\n")[0]
        mend = f"ray status; then: {again()}"
        raise ClusterUnusable(Fault(f"Ray's cluster does not answer: {said}", mend)) from error
