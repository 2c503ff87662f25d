"""A recorded configuration trained with the code that recorded it, in a process of its own and a store of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from boston_exp.config.invocation import for_services
from boston_exp.config.parsing import literal
from boston_exp.config.secrecy import SECRET
from boston_exp.config.settings import ROOT_VARIABLE, SECRETS
from boston_exp.errors import Fault, FitFailed
from boston_exp.lifecycle.reproduction.original import Original
from boston_exp.redaction import redact
from boston_exp.tracking import backends
from boston_exp.tracking.destination import SQLITE, Destination
from boston_exp.tracking.recorded import History, RecordedRun

PRIMARY = "recorded"  # the configuration that Hydra composes
REFUSED = 2  # exit code where the configuration or the table cannot be used
SHOWN = 15  # lines of what a training that failed has said
# Of services and of Hydra, DVC and Python: what is trained finds none of them.
SETTINGS = ("MLFLOW_", "AWS_", "MINIO_", "DVC_", "HYDRA_", "BOSTON_EXP_", "OPTUNA_", "POSTGRES_", "PG", "PYTHON")
THREADS = {
    "blas": ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"),
    "openmp": ("OMP_NUM_THREADS", "LOKY_MAX_CPU_COUNT"),  # joblib counts the cores, of which a point has its share
}
# `python -m boston_exp.run` that the kernel ends with us, should we be killed. 1 is PR_SET_PDEATHSIG: prctl(2)
BOUND = """
import ctypes, os, runpy, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv.pop(1)):
    sys.exit(1)
runpy.run_module("boston_exp.run", run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class Retrained:
    """The new run, in a store that is gone once the command ends."""

    run: RecordedRun
    history: History
    store: Destination


def retrained(
    original: Original,
    project: Path,
    table: Path | None,
    trusted: list[str],
    folder: Path,
    python: Path | None = None,
    variables: Mapping[str, str] | None = None,
    packages: Path | None = None,
) -> Retrained:
    """Train it with the code in `project`; what is written goes to `folder`, which is made.

    `python` is that of another environment, `variables` are set besides the recorded threads, `packages` is a folder of
    packages that go before those that are installed.

    Raises FitFailed, with the end of what it has said, where it fails.
    """
    folder.mkdir()
    store = Destination("mlflow", f"{SQLITE}{folder / 'mlflow.db'}", "", str(folder / "mlartifacts"), "again")
    node = configuration(original, table, trusted, store)
    (folder / f"{PRIMARY}.yaml").write_text(yaml.safe_dump(node, sort_keys=False), encoding="utf-8")
    command = [
        str(python or sys.executable),
        "-c",
        BOUND,
        str(os.getpid()),
        "--config-dir",
        str(folder),
        "--config-name",
        PRIMARY,
    ]
    environment = _environment(project, packages) | _threads(original.platform) | dict(variables or {})
    with (folder / "said").open("wb") as said, _ended(command, project, environment, said) as process:
        code = process.wait()
    history = backends.open_history(store)
    runs = history.newest(top=1)
    if code or not runs or runs[0].status != "FINISHED":
        text = redact((folder / "said").read_text(encoding="utf-8", errors="replace"))
        lines = [line for line in text.splitlines() if not line.lstrip().startswith("next:")]  # of a folder that goes
        told = "\n".join(f"  {line}" for line in lines[-SHOWN:])
        says = f"{original.shown} cannot be trained again here (exit code {code}). What it said last:\n{told}"
        look = f"git show {original.commit[:12]}   (the code that it is from)"
        anew = (
            for_services("run", f"base={original.run.run_id}") + "   (trains its overrides with the code as it is here)"
        )
        raise FitFailed(Fault(says, anew if code == REFUSED else look))
    return Retrained(runs[0], history, store)


def configuration(original: Original, table: Path | None, trusted: list[str], store: Destination) -> dict[str, Any]:
    """The recorded configuration as Hydra's primary one, with neutral values for what says how it is recorded and told.

    No key is added: the code that reads it may be older than this.
    """
    node: dict[str, Any] = literal(original.config)
    tracking = {
        "backend": "mlflow", "uri": store.uri, "local_uri": store.uri, "artifact_root": store.artifact_root,
        "experiment_name": store.experiment_name, "on_outage": "keep", "log_model": "none",
    }  # fmt: skip
    nowhere = ("endpoint_url", "region", "data_bucket", "artifact_bucket", "ca_bundle", "model_remote")
    data = {"allow_changed": True} | ({"path": str(table)} if table else {})  # it has the recorded md5
    recorded = node.get("trusted_packages") or []
    groups: dict[str, dict[str, Any]] = {
        "data": data,
        "tracking": tracking,
        "storage": dict.fromkeys(nowhere),
        "figures": {"draw": False},
    }
    values = {
        "quiet": True, "explain": False, "report": None, "name": None, "skip_finished": None, "max_failures": None,
        "timeout": None,
        "trusted_packages": [name for name in recorded if name in trusted],
    }  # fmt: skip
    for group, own in groups.items():
        if isinstance(node.get(group), dict):
            node[group] |= {key: value for key, value in own.items() if key in node[group]}
    node |= {key: value for key, value in values.items() if key in node}
    for part in ("model", "preprocess"):
        if part in node:
            node[part] = _on_cores_of_here(node[part])
    folder = str(Path(str(store.sqlite_path)).parent / "hydra")
    hydra = {"output_subdir": None, "run": {"dir": folder}, "job": {"chdir": False}}
    return node | {"defaults": ["schema", "_self_"], "hydra": hydra}  # ours last: none of these is a record's to say


def _on_cores_of_here(node: Any) -> Any:
    """With no `n_jobs` above the number of cores: joblib would start as many processes as a record says."""
    if isinstance(node, list):
        return [_on_cores_of_here(item) for item in node]
    if not isinstance(node, dict):
        return node
    cores = os.cpu_count() or 1
    return {
        key: min(value, cores)
        if str(key).rpartition("__")[2] == "n_jobs" and isinstance(value, int)
        else _on_cores_of_here(value)
        for key, value in node.items()
    }


def _environment(project: Path, packages: Path | None) -> dict[str, str]:
    """Without passwords, keys and settings of services: code that is trained needs none of them."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in SECRETS and not name.startswith(SETTINGS) and not SECRET.search(name)
    }
    path = [
        str(project),
        *([str(packages)] if packages else []),
        *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)),
    ]
    return kept | {"PYTHONPATH": os.pathsep.join(path), ROOT_VARIABLE: str(project), "MLFLOW_DISABLE_TELEMETRY": "true"}


def _threads(platform: Mapping[str, Any]) -> dict[str, str]:
    """As many as the run had, where it says so and there are cores for them: a point of a sweep has its share.

    More than there are cores would wait for each other awake: 10 to 50 times as long.
    """
    cores = os.cpu_count() or 1
    found: dict[str, str] = {}
    for pool in platform.get("pools") or []:
        if pool.get("threads"):
            found |= dict.fromkeys(THREADS.get(str(pool.get("library")), ()), str(min(pool["threads"], cores)))
    return found


@contextmanager
def _ended(
    command: list[str], folder: Path, environment: dict[str, str], said: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is gone, with all that it has started, once this is left."""
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
