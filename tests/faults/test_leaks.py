"""No secret leaves the process: one test for each way that a hostile review found (docs/security.md)."""

from __future__ import annotations

import logging
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from boston_exp import process, redaction
from boston_exp.config.schema import Storage, Tracking
from boston_exp.config.settings import Typed
from boston_exp.errors import InvalidConfig
from boston_exp.storage import credentials
from boston_exp.tracking import backends
from boston_exp.tracking.destination import resolve, without_user
from boston_exp.training import provenance
from tests.conftest import ROOT, Command, git, python
from tests.integration.test_sweeps import ran

SECRET = "s3cr3t-value-of-a-key"  # noqa: S105


def holding(folder: Path, secret: str = SECRET) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file() and secret.encode() in file.read_bytes()]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in a folder of a larger repository."""
    folder = tmp_path / "team" / "project"
    for name, text in {
        "boston_exp/run.py": "old = 1\n",
        "conf/config.yaml": "seed: 42\n",
        ".env.example": "AWS_SECRET_ACCESS_KEY=\n",
        "data/raw/own.csv.dvc": "outs: []\n",
        "../deploy_token.txt": "none\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.setattr(provenance, "PROJECT_ROOT", folder)
    process.reset()
    git("init", "--quiet", cwd=folder.parent)
    git("add", "--all", cwd=folder.parent)
    git("commit", "--quiet", "--message", "first", cwd=folder.parent)
    return folder


# -- 1: the patch, and what was composed


def test_the_patch_is_of_the_project_alone_and_without_secrets(project: Path) -> None:
    (project / "../deploy_token.txt").write_text(SECRET)
    (project / "data/raw/own.csv.dvc").write_text(f"outs: [{SECRET}]\n")
    assert not provenance.code().dirty  # nothing of the project's code has changed
    process.reset()
    (project / ".env.example").write_text(f'AWS_SECRET_ACCESS_KEY={SECRET}\nPGPASSWORD="{SECRET}"\n')
    (project / "conf" / "new.yaml").write_text(f"uri: postgresql://me:{SECRET}@host/db\npassword: {SECRET}\na: 1\n")
    code = provenance.code()
    assert SECRET.encode() not in code.patch
    assert b"+a: 1" in code.patch
    assert code.says == provenance.SCRUBBED


@pytest.mark.parametrize(
    "line",
    [
        'API_KEY = "sk-live-SECRET"', "aws_secret_access_key = SECRET", '{"password":"SECRET"}', "password: SECRET",
        "Authorization: Bearer SECRET", "-----BEGIN PRIVATE KEY-----\\nSECRET\\n-----END PRIVATE KEY-----",
        "passphrase: SECRET", "url: http://me:SECRET@host",
    ],
)  # fmt: skip
def test_a_secret_is_scrubbed_however_it_is_written(line: str, project: Path) -> None:
    (project / "conf" / "new.yaml").write_text(
        line.replace("SECRET", "correcthorsebattery").replace("\\n", "\n") + "\n"
    )
    code = provenance.code()
    assert b"correcthorsebattery" not in code.patch
    assert code.says == provenance.SCRUBBED


def test_binary_files_are_not_in_the_patch(project: Path) -> None:
    (project / "boston_exp" / "key.bin").write_bytes(bytes(range(256)))
    code = provenance.code()
    assert code.says == provenance.NO_BINARY
    assert b"GIT binary patch" not in code.patch


def test_redacting_costs_as_much_as_there_is_text() -> None:
    """Counted by a ratio of two lengths; it was quadratic: 42 s for 120 kB."""
    for piece in ("http://a.b/c,", "secret", "x://", "token: ", "password='"):
        costs = []
        for times in (2_000, 20_000):
            begun = time.process_time()
            redaction.redact_source(piece * times)
            costs.append(time.process_time() - begun)
        assert costs[1] < 40 * max(costs[0], 0.005), piece


def test_a_patch_without_secrets_is_kept_as_it_is(project: Path) -> None:
    (project / "boston_exp" / "run.py").write_text("def of(token: str, password: str | None = None) -> None: ...\n")
    code = provenance.code()
    assert code.says == provenance.WHOLE
    assert b"+def of(token: str, password: str | None" in code.patch


def test_a_patch_that_is_too_large_is_a_list_of_files_and_the_run_says_so(
    command: Command, store: Path, project: Path
) -> None:
    (project / "boston_exp" / "run.py").write_text("x = 1\n" * 300_000)
    result = command("model=ridge", "figures=none", f"tracking.uri=sqlite:///{store}")
    assert result.code == 0, result.err
    assert "the run cannot be reproduced from it" in result.err
    client = MlflowClient(f"sqlite:///{store}")
    (run,) = client.search_runs([client.get_experiment_by_name("boston-housing").experiment_id])
    assert "cannot be reproduced" in run.data.tags["git.patch"]
    listed = Path(client.download_artifacts(run.info.run_id, "git/changed_files.csv")).read_text()
    assert '"boston_exp/run.py",' in listed
    assert [item.path for item in client.list_artifacts(run.info.run_id, "git")] == ["git/changed_files.csv"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            f"# @package _global_\nstorage:\n  endpoint_url: http://me:{SECRET}@host/db\n",
            "storage.endpoint_url holds a URI with",
        ),
        (f"# @package _global_\nmodel:\n  api_key: {SECRET}\n", "model.api_key is a secret"),
        (
            f"# @package _global_\nhydra:\n  job:\n    env_set:\n      A_TOKEN: {SECRET}\n",
            "env_set.A_TOKEN is a secret",
        ),
    ],
)
def test_a_secret_in_a_preset_is_refused_and_not_copied(text: str, says: str, command: Command, tmp_path: Path) -> None:
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    (tmp_path / "own" / "experiment" / "mine.yaml").write_text(text)
    for more in ((), ("-m", "seed=1,2")):
        result = command("--config-dir", str(tmp_path / "own"), "experiment=mine", *more)
        assert result.code == 2, result.err
        assert says in result.err
    assert holding(tmp_path) == [tmp_path / "own" / "experiment" / "mine.yaml"]


# -- 2: everything that is written or shown


@pytest.mark.parametrize(
    "typed",
    [
        "data.name=${oc.env:AWS_SECRET_ACCESS_KEY}",
        "data.name=x://${oc.env:AWS_SECRET_ACCESS_KEY}",
        "hydra.job.env_copy=[AWS_SECRET_ACCESS_KEY]",
        "hydra.sweep.subdir=${oc.env:AWS_SECRET_ACCESS_KEY}",
    ],
)
def test_a_secret_variable_is_not_composed_into_anything(
    typed: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    for more in ((), ("-m", "seed=1,2")):
        result = command(typed, *more)
        assert result.code == 2, result.err
        assert "AWS_SECRET_ACCESS_KEY" in result.err
        assert SECRET not in result.err
    assert holding(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_failure_that_quotes_a_secret_is_told_without_it(
    launcher: str, tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the screen, in results.csv, the points' states, their logs, the store, Optuna's study."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    (tmp_path / "talking.py").write_text(
        "import os, logging\nfrom sklearn.linear_model import Ridge\n"
        "class Talking(Ridge):\n    def fit(self, X, y):\n"
        "        logging.getLogger('boston_exp').warning('key %s', os.environ['AWS_SECRET_ACCESS_KEY'])\n"
        "        raise ValueError('no access with ' + os.environ['AWS_SECRET_ACCESS_KEY'])\n"
    )
    own = ("model=ridge", "model._target_=talking.Talking", "trusted_packages=[sklearn,talking]", "figures=none")
    optuna = ("hydra/sweeper=optuna", f"hydra.sweeper.storage=sqlite:///{tmp_path}/o.db", "hydra.sweeper.n_trials=2")
    more = (*optuna, "model.alpha=interval(1,2)") if launcher == "basic" else ("model.alpha=1,2",)
    code, out, err = ran(tmp_path, store, *own, *more, f"hydra/launcher={launcher}", "tracking.log_model=none")
    assert code == 1
    assert "no access with ***" in err
    assert SECRET not in out + err
    assert holding(tmp_path) == []
    logs = list((tmp_path / "sweep").rglob("*.log"))
    assert any("key ***" in log.read_text() for log in logs)


def test_ordinary_words_and_paths_are_left_alone(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("POSTGRES_PASSWORD", "postgres"), ("MY_TOKEN", "boston-housing"), ("A_TOKEN", str(tmp_path))):
        monkeypatch.setenv(name, value)
    folder = tmp_path / "ws@2" / "token=1"
    folder.mkdir(parents=True)
    (folder / "own.csv").write_text("a,y\n" + "".join(f"{i},{i * 2 + i % 3}\n" for i in range(40)))
    (tmp_path / "postgres.db").touch()
    own = ("data=csv", "data.target=y", "model=ridge", "figures=none", "tracking.experiment_name=postgres")
    result = command(*own, "data.path='ws@2/token=1/own.csv'", "tracking.uri=sqlite:///ws@2/m.db")
    assert result.code == 0, result.err
    assert "recorded in sqlite:////" in result.out
    assert "ws@2/m.db" in result.out
    assert "***" not in result.out + result.err


def test_streams_and_logs_are_redacted_at_the_edge(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    redaction.hide(SECRET)
    redaction.log_records()
    handler = logging.FileHandler(tmp_path / "log")
    logger = logging.getLogger("test-redaction")
    logger.addHandler(handler)
    try:
        with redaction.streams():
            print("a", SECRET, file=sys.stderr)
            sys.stdout.writelines([SECRET, "\n"])
            try:
                raise ValueError(SECRET)
            except ValueError:
                logger.exception("with %s", SECRET)
    finally:
        logger.removeHandler(handler)
        handler.close()
    out, err = capsys.readouterr()
    assert (out, err.splitlines()[0]) == ("***\n", "a ***")
    assert "ValueError: ***" in (tmp_path / "log").read_text()
    assert holding(tmp_path) == []


# -- 3: a login goes to the server that it was set for


def login(uri: str | None, typed: bool, conf: str | None = None) -> dict[str, str]:
    from boston_exp.config.commands import Doctor

    tracking = Tracking(backend="mlflow", uri=uri or conf)
    where = resolve(Doctor(tracking=tracking, storage=Storage("embedded")), Typed(("tracking.uri=x",) if typed else ()))
    faults = backends.faults(where)
    if faults:
        raise InvalidConfig(*faults)
    return dict(where.login.variables)


LOGIN = {"MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": SECRET}


@pytest.mark.parametrize("place", ["environment", "file"])
def test_a_login_is_bound_to_a_host(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def given(more: dict[str, str]) -> None:
        process.reset()
        for name in (*LOGIN, "MLFLOW_TRACKING_URI"):
            monkeypatch.delenv(name, raising=False)
        if place == "environment":
            for name, value in more.items():
                monkeypatch.setenv(name, value)
        monkeypatch.setattr(credentials, "dotenv", lambda: more if place == "file" else {})

    given(LOGIN)
    assert login(None, typed=False, conf="https://ours.example.com") == LOGIN  # as env=production has it
    assert login("https://elsewhere.example.com", typed=True) == {}
    assert login("http://127.0.0.1:5000", typed=True) == LOGIN  # conf/tracking/server.yaml has it
    given({**LOGIN, "MLFLOW_TRACKING_URI": "https://ours.example.com/path"})
    assert login("https://OURS.example.com", typed=True) == LOGIN
    assert login("https://elsewhere.example.com", typed=True) == {}
    assert login("http://127.0.0.1:5000", typed=True) == {}


@pytest.mark.parametrize("place", ["~/.netrc", "~/.mlflow/credentials"])
def test_a_password_that_a_library_would_add_goes_over_plain_http_neither(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    file = Path(place).expanduser()
    file.parent.mkdir(exist_ok=True)
    file.write_text("machine ours.example.com login me password hush" if "netrc" in place else "[mlflow]\n")
    file.chmod(0o600)
    with pytest.raises(InvalidConfig, match="over plain http"):
        login(None, typed=False, conf="http://ours.example.com")
    assert login(None, typed=False, conf="https://ours.example.com") == {}


def test_no_password_goes_over_plain_http_to_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in LOGIN.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidConfig, match=r"over plain http to http://ours\.example\.com"):
        login(None, typed=False, conf="http://ours.example.com")
    assert login(None, typed=False, conf="http://127.0.0.1:5000") == LOGIN


@pytest.mark.slow
def test_another_host_gets_no_login_and_is_told_how(
    command: Command, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that keeps what it is sent, and asks for a login."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    sent: list[str] = []

    class Asking(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent.append(self.headers.get("Authorization", ""))
            self.send_response(401)
            self.end_headers()

        def log_message(self, *arguments: object) -> None: ...

    for name, value in LOGIN.items():
        monkeypatch.setenv(name, value)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Asking)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        result = command("model=ridge", "figures=none", f"tracking.uri={url}", f"tracking.local_uri=sqlite:///{store}")
    finally:
        server.shutdown()
        server.server_close()
    assert result.code == 2
    assert f"{url} asks for a login; the one in the environment was set for another server" in result.err
    assert f"export MLFLOW_TRACKING_URI={url}" in result.err
    assert sent
    assert set(sent) == {""}


# -- 4


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://me:p@ss@host:5000/x", "http://host:5000/x"),
        ("http://me@host", "http://host"),
        ("http://host/a@b", "http://host/a@b"),
    ],
)
def test_an_address_without_its_user(uri: str, shown: str) -> None:
    assert without_user(uri) == shown


def test_env_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    for name in (".env.example", "compose/make_env.py", "compose/docker-compose.yml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / ".env.new").touch(mode=0o666)
    (tmp_path / ".env.new").chmod(0o666)
    subprocess.run([sys.executable, "compose/make_env.py"], cwd=tmp_path, check=True, capture_output=True)
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert not (tmp_path / ".env.new").exists()


def test_a_refused_secret_is_not_in_the_shells_answer_either(tmp_path: Path) -> None:
    result = python("-m", "boston_exp.run", f"+model.password={SECRET}", cwd=tmp_path)
    assert result.code == 2
    assert SECRET not in result.out + result.err
    assert holding(tmp_path) == []
