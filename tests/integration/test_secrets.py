"""No secret in any file that is written nor in anything that is printed, whichever way it was given."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests import services
from tests.conftest import Command, Result, git, python
from tests.services import BIN, DATA_KEY, ENVIRONMENT, PASSWORD, Service

pytestmark = pytest.mark.slow
SECRETS = (*ENVIRONMENT.values(), PASSWORD)


def leaks(folder: Path, but: Iterable[Path] = ()) -> list[str]:
    """Files of a folder that hold a secret, those apart that are meant to."""
    found = []
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file not in but:
            content = file.read_bytes()
            found += [f"{file}: {secret}" for secret in SECRETS if secret.encode() in content]
    return found


def printed(result: Result) -> list[str]:
    return [secret for secret in SECRETS if secret in result.out + result.err]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, gateway: Service) -> Service:
    """An MLflow server that asks for a password."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = EDIT\ndatabase_uri = sqlite:///{folder}/auth.db\n"
    )
    more = {
        "MLFLOW_SERVER_OPTIONS": "--app-name basic-auth",
        "MLFLOW_FLASK_SERVER_SECRET_KEY": PASSWORD,
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_ADMIN_USERNAME": "boss",
        "MLFLOW_ADMIN_PASSWORD": PASSWORD,
    }
    with services.mlflow_server(folder, gateway.url, **more) as service:
        yield service


@pytest.mark.parametrize("way", ["environment", "file", "profile"])
def test_secrets_given_each_way_work_and_are_nowhere(
    way: str, clone: Path, tmp_path: Path, gateway: Service, guarded: Service
) -> None:
    """A run, a sweep and a run that fails, with keys to S3 and a password to the server."""
    login = {"MLFLOW_TRACKING_USERNAME": "boss", "MLFLOW_TRACKING_PASSWORD": PASSWORD}
    keys = {**DATA_KEY, **{name: ENVIRONMENT[name] for name in ENVIRONMENT if name.startswith("MLFLOW_S3_")}}
    environment, meant = {}, []
    if way == "environment":
        environment = {**keys, **login, "MLFLOW_TRACKING_URI": guarded.url}
    elif way == "file":
        given = keys | login | {"MLFLOW_TRACKING_URI": guarded.url}
        (clone / ".env").write_text("".join(f"{name}={value}\n" for name, value in given.items()))
        meant = [clone / ".env"]
    else:
        key, secret = DATA_KEY.values()
        meant = [tmp_path / "credentials"]
        meant[0].write_text(f"[mine]\naws_access_key_id={key}\naws_secret_access_key={secret}\n")
        server = guarded.url.replace("://", f"://boss:{PASSWORD}@")
        environment = {
            "AWS_SHARED_CREDENTIALS_FILE": str(meant[0]),
            "AWS_PROFILE": "mine",
            "MLFLOW_TRACKING_URI": server,
        }
    uri = () if way == "profile" else (f"tracking.uri={guarded.url}",)
    common = ("storage=minio", f"storage.endpoint_url={gateway.url}", "figures=none", "model=ridge")
    calls = [
        (
            "-m",
            "boston_exp.run",
            *common,
            *uri,
            f"tracking.experiment_name={clone.parent.name}",
        ),  # the data comes from S3, too
        ("-m", "boston_exp.run", "-m", *common, *uri, "model.alpha=1,2", "tracking.log_model=all"),
        ("-m", "boston_exp.doctor", "storage=minio", f"storage.endpoint_url={gateway.url}", *uri, "format=json"),
        ("-m", "boston_exp.run", *common, f"tracking.uri={guarded.url}/nowhere"),
    ]
    if way != "profile":  # artifacts straight into S3, with the key that reaches them
        calls.append(("-m", "boston_exp.run", *common, "tracking.uri=sqlite:///direct.db"))
    for number, call in enumerate(calls):
        result = python(*call, cwd=clone, project=clone, **environment)
        assert printed(result) == []
        assert (result.code == 0) == (number != 3), result.out + result.err
    assert (clone / "data" / "raw" / "housing.csv").exists()
    assert leaks(clone, meant) == []
    assert leaks(guarded.folder) == []  # the server's database, users and log
    assert git("status", "--porcelain", "--", ".dvc", "data", cwd=clone) == ""


def test_a_wrong_secret_is_not_told_either(clone: Path, gateway: Service) -> None:
    wrong = {**DATA_KEY, "AWS_SECRET_ACCESS_KEY": PASSWORD}
    call = ("-m", "boston_exp.run", "storage=minio", f"storage.endpoint_url={gateway.url}")
    result = python(*call, cwd=clone, project=clone, **wrong)
    assert result.code == 2
    assert "the secret key is wrong" in result.err
    assert printed(result) == []
    assert leaks(clone) == []


def test_dvc_by_hand_uses_the_same_keys_and_git_sees_none(clone: Path, gateway: Service) -> None:
    """`dotenv run` hands .env to any command; the address is the machine's own affair, in .dvc/config.local."""
    (clone / ".env").write_text("".join(f"{name}={value}\n" for name, value in DATA_KEY.items()))
    local = [str(BIN / "dvc"), "remote", "modify", "--local", "minio", "endpointurl", gateway.url]
    subprocess.run(local, cwd=clone, check=True, capture_output=True)
    for verb in ("pull", "push"):
        command = [str(BIN / "dotenv"), "run", "--", str(BIN / "dvc"), verb, "--remote", "minio"]
        done = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert printed(Result(0, done.stdout, done.stderr)) == []
    assert (clone / "data" / "raw" / "housing.csv").exists()
    assert git("status", "--porcelain", cwd=clone) == ""
    assert leaks(clone, [clone / ".env"]) == []


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("+storage.secret_access_key=abcdefgh", "storage.secret_access_key is a secret"),
        ("++tracking.password=abcdefgh", "tracking.password is a secret"),
        ("tracking.uri=http://me:PASSWORD@localhost:5000", "tracking.uri was given with a password"),
        ("tracking.experiment_name=SECRET", "with the value of AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_a_typed_secret_is_refused_with_the_right_way_to_give_it(
    typed: str, says: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in DATA_KEY.items():
        monkeypatch.setenv(name, value)
    secret = DATA_KEY["AWS_SECRET_ACCESS_KEY"]
    result = command(typed.replace("PASSWORD", PASSWORD).replace("SECRET", secret))
    assert result.code == 2
    assert says in result.err
    assert "environment" in result.err or "export" in result.err
    assert printed(result) == []
    assert leaks(tmp_path) == []
    assert not (tmp_path / "outputs").exists()
