"""Real clusters on this machine: Slurm with two nodes, and Ray with two nodes that share nothing but a network.

They need root, and Debian's slurm-wlm, munge and iproute2; `missing` says what is not there.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.services import BIN, ROOT, free_port, plain_environment, process

NODES = ("node1", "node2")
SLURM = ("slurmctld", "slurmd", "munged", "unshare")
NAMESPACES = ("ip", "unshare", "nsenter")
NETWORK = "10.213.77"  # of the bridge between this machine's own namespaces; .1 is the bridge itself


def missing(programs: Sequence[str]) -> str:
    """Why a cluster cannot be made here, for a test that is skipped; "" where it can."""
    absent = [name for name in programs if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if absent:
        return f"{', '.join(absent)} not installed (apt-get install slurm-wlm munge iproute2)"
    return "" if os.geteuid() == 0 else "needs root"


@contextmanager
def slurm(folder: Path, cpus: int = 2) -> Iterator[dict[str, str]]:
    """A controller and two nodes, each with a host name of its own; they share this machine's folders. Gives the
    environment in which Slurm's commands find them."""
    folder.chmod(0o755)  # munge refuses a socket in a folder that not everybody can enter
    key, munge_socket = folder / "munge.key", folder / "munge.socket"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    ports = [free_port() for _ in NODES]
    (folder / "state").mkdir()
    lines = [
        "ClusterName=tests", "SlurmctldHost=localhost(127.0.0.1)", f"SlurmctldPort={free_port()}",
        "SlurmUser=root", "SlurmdUser=root", "AuthType=auth/munge", f"AuthInfo=socket={munge_socket}",
        f"StateSaveLocation={folder}/state", f"SlurmdSpoolDir={folder}/spool-%n",
        f"SlurmctldPidFile={folder}/slurmctld.pid", f"SlurmdPidFile={folder}/%n.pid",
        "ProctrackType=proctrack/linuxproc", "TaskPlugin=task/none", "JobAcctGatherType=jobacct_gather/none",
        "AccountingStorageType=accounting_storage/none", "SelectType=select/cons_tres", "SelectTypeParameters=CR_CPU",
        "SlurmdParameters=config_overrides", "MpiDefault=none", "ReturnToService=2", "KillWait=5",
        "SchedulerParameters=sched_interval=1,batch_sched_delay=0", "JobRequeue=0",
        *(f"NodeName={node} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs={cpus}"
          for node, port in zip(NODES, ports, strict=True)),
        "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP",
    ]  # fmt: skip
    (folder / "slurm.conf").write_text("\n".join(lines) + "\n")
    environment = {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    munge = [f"--{name}={folder}/munge.{name.split('-')[0]}" for name in ("pid-file", "log-file", "seed-file")]
    with ExitStack() as stack:
        daemon = ["munged", "--force", "--foreground", f"--key-file={key}", f"--socket={munge_socket}", *munge]
        stack.enter_context(_daemon("munge", daemon, folder, environment))
        stack.enter_context(_daemon("slurmctld", ["slurmctld", "-D", "-i"], folder, environment))
        for node in NODES:
            command = ["unshare", "--uts", "sh", "-c", f"hostname {node} && exec slurmd -D -N {node}"]
            stack.enter_context(_daemon(node, command, folder, environment))
        until(lambda: "2 idle" in output(["sinfo", "-h", "-o", "%D %t"], environment), folder)
        yield environment
        subprocess.run(["scancel", "--me"], env={**os.environ, **environment}, check=False)
        until(lambda: output(["squeue", "--noheader"], environment) == "", folder)  # a job outlives the daemons


@dataclass(frozen=True)
class Node:
    """A network namespace with processes, host name and folders of its own."""

    name: str
    address: str
    init: int  # pid of its first process, as this machine knows it

    def entered(self, *command: str, folder: str) -> list[str]:
        """A command that runs there."""
        return ["nsenter", "--all", "--target", str(self.init), f"--wdns={folder}", *command]


@contextmanager
def separate_nodes(folder: Path, private: Path) -> Iterator[list[Node]]:
    """Two nodes and a bridge between them and this machine. `private` is empty on each, whatever is in it here, and the
    project a copy that each writes to for itself."""
    bridge = f"br{os.getpid()}"
    with ExitStack() as stack:
        _ip("link", "add", bridge, "type", "bridge")
        stack.callback(_ip, "link", "del", bridge)
        _ip("addr", "add", f"{NETWORK}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        nodes = []
        for number, name in enumerate(NODES, 2):
            space, here, there = f"{name}-{os.getpid()}", f"v{number}h{os.getpid()}", f"v{number}n{os.getpid()}"
            _ip("netns", "add", space)
            stack.callback(_ip, "netns", "del", space)
            _ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", space)
            _ip("link", "set", here, "master", bridge, "up")
            for words in (
                ("addr", "add", f"{NETWORK}.{number}/24", "dev", there),
                ("link", "set", there, "up"),
                ("link", "set", "lo", "up"),
            ):
                _ip("-n", space, *words)
            script = f"""
                set -e
                hostname {name}
                mount -t tmpfs tmpfs /dev/shm
                mkdir -p {private}
                mount -t tmpfs tmpfs {private}
                mkdir {private}/.upper {private}/.work
                mount -t overlay overlay -o lowerdir={ROOT},upperdir={private}/.upper,workdir={private}/.work {ROOT}
                touch {private}/.ready
                exec sleep infinity
            """
            unshared = ["unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
            command = ["ip", "netns", "exec", space, *unshared, "sh", "-c", script]
            started = stack.enter_context(_daemon(name, command, folder, {}))
            init: list[int] = []

            def ready(started: subprocess.Popen[bytes] = started, init: list[int] = init) -> bool:
                inner = psutil.Process(started.pid).children()
                init[:] = [each.pid for each in inner]
                return bool(init) and Path(f"/proc/{init[0]}/root{private}/.ready").exists()

            until(ready, folder)
            stack.callback(os.kill, init[0], signal.SIGKILL)  # with it, all that runs there
            nodes.append(Node(name, f"{NETWORK}.{number}", init[0]))
        yield nodes


@contextmanager
def ray_on(nodes: Sequence[Node], folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """A Ray cluster of these nodes, the first its head, a core on each. Gives its address."""
    address = f"{nodes[0].address}:6379"
    with ExitStack() as stack:
        for node in nodes:
            place = ["--head", "--port=6379"] if node is nodes[0] else [f"--address={address}"]
            own = [f"--node-ip-address={node.address}", "--num-cpus=1", "--disable-usage-stats", "--block"]
            command = [
                str(BIN / "ray"),
                "start",
                *place,
                *own,
                *(["--include-dashboard=false"] if place[0] == "--head" else []),
            ]
            inside = node.entered(*command, folder=environment["PWD"])
            stack.enter_context(_daemon(f"ray-{node.name}", inside, folder, environment))
            if node is nodes[0]:
                until(lambda: _answers(nodes[0].address, 6379), folder)
        look = "import ray; ray.init(address='auto', logging_level='error'); print(len(ray.nodes()), 'nodes')"

        def complete() -> bool:
            inside = nodes[0].entered(sys.executable, "-c", look, folder=environment["PWD"])
            return "2 nodes" in output(inside, environment)

        until(complete, folder)
        yield address


def _daemon(
    name: str, command: list[str], folder: Path, more: Mapping[str, str]
) -> AbstractContextManager[subprocess.Popen[bytes]]:
    return process(command, folder, {**plain_environment(), **more}, f"{name}.log", 15)


def until(true: Callable[[], bool], folder: Path | None = None, patience: float = 60) -> None:
    until = time.monotonic() + patience
    while not true():
        logs = sorted(folder.glob("*.log")) if folder else []
        said = "\n".join(f"== {log.name}\n{log.read_text()[-1500:]}" for log in logs)
        assert time.monotonic() < until, said
        time.sleep(0.3)


def _answers(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((address, port)) == 0


def output(command: list[str], environment: Mapping[str, str]) -> str:
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    return done.stdout


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
