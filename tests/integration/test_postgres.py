"""A search whose study lies in PostgreSQL: the database's own binaries, started here on a free port."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from tests.integration.test_sweeps import OPTUNA, History, ran


def _binary(name: str) -> str | None:
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(installed[-1]) if installed else shutil.which(name)


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (_binary("initdb") and _binary("pg_ctl")), reason="PostgreSQL is not installed"),
]


@pytest.fixture
def database() -> Iterator[str]:
    """The URL of an empty database; PostgreSQL refuses to run as root, so root steps down."""
    initdb, pg_ctl = str(_binary("initdb")), str(_binary("pg_ctl"))
    root = os.geteuid() == 0
    down = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if root else []
    with tempfile.TemporaryDirectory(prefix="pg-") as name:
        folder = Path(name)
        if root:
            shutil.chown(folder, "nobody", "nogroup")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        data = ["-D", str(folder / "data")]
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
        subprocess.run([*down, initdb, *data, "-A", "trust", "-U", "optuna"], check=True, capture_output=True)
        start = [*down, pg_ctl, *data, "-o", options, "-w", "-l", str(folder / "log"), "start"]
        subprocess.run(start, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield f"postgresql+psycopg://optuna@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run([*down, pg_ctl, *data, "-m", "immediate", "stop"], check=True, capture_output=True)


def test_a_study_in_postgresql_goes_on_with_forked_workers(tmp_path: Path, store: Path, database: str) -> None:
    """A connection of the main process must neither be used nor closed by a fork."""
    overrides = (
        *OPTUNA, f'hydra.sweeper.storage="{database}"', "evaluation=cv",
        "hydra/launcher=joblib", "hydra.launcher.n_jobs=2",
    )  # fmt: skip
    for n_trials, says in ((4, "optuna of 4 points: 4 done"), (6, "optuna of 6 points: 2 done, 4 reused")):
        code, out, err = ran(tmp_path, store, *overrides, f"hydra.sweeper.n_trials={n_trials}")
        assert code == 0, err
        assert says in out
    (name,) = optuna.get_all_study_names(database)
    trials = optuna.load_study(study_name=name, storage=database).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 6
    assert len(History(store).parents) == 1
