"""The real services, started for tests on free ports of 127.0.0.1 and ended with them."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import psutil
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
# Keys of the tests' own services, new every time: a test that looks for them in files must not find this one in a diff.
ENVIRONMENT = {
    name: secrets.token_hex(10 if name.endswith(("USER", "KEY_ID")) else 20)
    for name in (
        "MINIO_ROOT_USER",
        "MINIO_ROOT_PASSWORD",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "MLFLOW_S3_ACCESS_KEY_ID",
        "MLFLOW_S3_SECRET_ACCESS_KEY",
    )
}
PASSWORD = secrets.token_hex(16)  # of databases
DATA_KEY = {name: ENVIRONMENT[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def plain_environment(**more: str) -> dict[str, str]:
    """Of a service: nothing of the user's, nor of another test's."""
    unwanted = ("MLFLOW_", "AWS_", "MINIO_", "DVC_", "HYDRA_", "PG")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    return {**kept, "PATH": f"{BIN}{os.pathsep}{kept['PATH']}", "MLFLOW_DISABLE_TELEMETRY": "true", **more}


@contextmanager
def process(
    command: list[str], folder: Path, environment: dict[str, str], log_name: str = "log", patience: float = 10
) -> Iterator[subprocess.Popen[bytes]]:
    """A service in the foreground, its output in a file of `folder`; ended by its pid, after `patience` seconds with
    everything that it started."""
    with (folder / log_name).open("ab") as log:
        started = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(patience)
        except subprocess.TimeoutExpired:
            kill(started)


def wait_for(url: str, started: subprocess.Popen[bytes], log: Path, patience: float = 120) -> None:
    until = time.monotonic() + patience
    while True:
        try:
            urllib.request.urlopen(url, timeout=2)  # noqa: S310 (our own service)
            return
        except OSError:
            assert started.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.1)


def kill(started: subprocess.Popen[Any]) -> None:
    """At once, with everything that it started."""
    with suppress(psutil.NoSuchProcess):
        everything = [*psutil.Process(started.pid).children(recursive=True), psutil.Process(started.pid)]
        for each in everything:
            with suppress(psutil.NoSuchProcess):
                each.kill()
    started.wait()


@dataclass(frozen=True)
class Service:
    url: str
    process: subprocess.Popen[bytes]
    folder: Path


@contextmanager
def gateway(folder: Path) -> Iterator[Service]:
    """The S3 gateway of `make stack`, set up by compose/setup.py with the data of the embedded remote."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = plain_environment(
        **ENVIRONMENT, MINIO_PORT=str(port), S3_ENDPOINT=url, SEED=str(ROOT / "data/remote")
    )
    with process(["sh", str(ROOT / "compose/gateway.sh")], folder, environment) as started:
        wait_for(f"{url}/minio/health/live", started, folder / "log")
        setup = [sys.executable, str(ROOT / "compose/setup.py")]
        subprocess.run(setup, env=environment, check=True, capture_output=True)
        yield Service(url, started, folder)


@cache
def _new_database() -> bytes:
    """Of a server that has nothing yet: the migrations take each start a second, and are the same."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "mlflow.db"
        SqlAlchemyStore(f"sqlite:///{file}", "mlflow-artifacts:/").engine.dispose()
        return file.read_bytes()


@contextmanager
def mlflow_server(folder: Path, s3: str, port: int | None = None, **more: str) -> Iterator[Service]:
    """The MLflow server of `make stack`: on sqlite, handing artifacts through to an S3 gateway."""
    port = port or free_port()
    database = folder / ".stack" / "mlflow.db"
    if not database.exists():
        database.parent.mkdir(exist_ok=True)
        database.write_bytes(_new_database())
    environment = plain_environment(
        **{**ENVIRONMENT, "MLFLOW_PORT": str(port), "MINIO_PORT": s3.rpartition(":")[2], **more}
    )
    with process(["sh", str(ROOT / "compose/mlflow.sh")], folder, environment) as started:
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/health", started, folder / "log")
        yield Service(url, started, folder)


@contextmanager
def mlflow_ui(folder: Path, store: Path, host: str = "127.0.0.1") -> Iterator[Service]:
    """MLflow's pages on a local store; to others, a server without a gateway."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{store}", "--workers", "1"]
    environment = plain_environment(MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false")
    with process([*command, "--host", host, "--port", str(port)], folder, environment) as started:
        url = f"http://{host}:{port}"
        wait_for(f"{url}/health", started, folder / "log")
        yield Service(url, started, folder)


@contextmanager
def optuna_dashboard(folder: Path, storage: str) -> Iterator[Service]:
    """Optuna's pages on a database of studies, as README shows them; its server writes into the home folder."""
    port = free_port()
    command = [str(BIN / "optuna-dashboard"), storage, "--host", "127.0.0.1", "--port", str(port)]
    with process(command, folder, plain_environment(HOME=str(folder))) as started:
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/api/studies", started, folder / "log")
        yield Service(url, started, folder)


@contextmanager
def model_server(folder: Path, model: str, store: Path) -> Iterator[str]:
    """`mlflow models serve`, as README shows it; gives the address that rows are sent to."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model, "--env-manager", "local"]
    environment = plain_environment(MLFLOW_TRACKING_URI=f"sqlite:///{store}")
    with process([*command, "--host", "127.0.0.1", "--port", str(port)], folder, environment) as started:
        try:
            wait_for(f"http://127.0.0.1:{port}/ping", started, folder / "log")
            yield f"http://127.0.0.1:{port}/invocations"
        finally:
            kill(started)  # the command starts the server as a child


@contextmanager
def server_with_gateway(folder: Path) -> Iterator[Service]:
    """An MLflow server in front of an S3 gateway, each in a folder of its own."""
    for part in ("gateway", "server"):
        (folder / part).mkdir()
    with gateway(folder / "gateway") as objects, mlflow_server(folder / "server", objects.url) as server:
        yield server


def postgres_binary(name: str) -> str | None:
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(installed[-1]) if installed else shutil.which(name)


@contextmanager
def postgres(user: str = "mlflow", database: str = "mlflow", password: str = PASSWORD) -> Iterator[int]:
    """The port of a PostgreSQL of its own; it refuses to run as root, so root steps down."""
    initdb, pg_ctl = str(postgres_binary("initdb")), str(postgres_binary("pg_ctl"))
    root = os.geteuid() == 0
    down = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if root else []
    with tempfile.TemporaryDirectory(prefix="pg-") as name:
        folder = Path(name)
        (folder / "password").write_text(password)
        if root:
            for path in (folder, folder / "password"):
                shutil.chown(path, "nobody", "nogroup")
        port = free_port()
        data = ["-D", str(folder / "data")]
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
        access = ["-A", "scram-sha-256", "-U", user, "--pwfile", str(folder / "password")]
        subprocess.run([*down, initdb, *data, *access], check=True, capture_output=True)
        start = [*down, pg_ctl, *data, "-o", options, "-w", "-l", str(folder / "log"), "start"]
        subprocess.run(start, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            import psycopg

            where = f"host=127.0.0.1 port={port} user={user} password={password}"
            with psycopg.connect(f"{where} dbname=postgres", autocommit=True) as connection:
                connection.execute(f'CREATE DATABASE "{database}"')
            yield port
        finally:
            subprocess.run([*down, pg_ctl, *data, "-m", "immediate", "stop"], check=True, capture_output=True)


def compose_service(name: str) -> dict:
    return yaml.safe_load((ROOT / "compose/docker-compose.yml").read_text())["services"][name]


@contextmanager
def hanging() -> Iterator[str]:
    """Accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
        kept: list[socket.socket] = []

        def accept() -> None:
            with suppress(OSError):
                while True:
                    kept.append(listener.accept()[0])

        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        for connection in kept:
            connection.close()


@contextmanager
def answering(status: int, body: bytes = b"no", content_type: str = "text/html") -> Iterator[str]:
    """Gives the same answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_HEAD = answer  # noqa: N815 (names that http.server asks for)

        def log_message(self, *arguments: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def tls_before(url: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """The same service behind TLS, with a certificate of a CA that nobody knows: its https URL and the CA's file."""
    certificate, key = certificate_of_nobody(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    target = ("127.0.0.1", int(url.rpartition(":")[2]))

    def carry(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while content := source.recv(65536):
                sink.sendall(content)
            sink.shutdown(socket.SHUT_WR)

    def serve(plain: socket.socket) -> None:
        with (
            suppress(OSError),
            context.wrap_socket(plain, server_side=True) as client,
            socket.create_connection(target) as server,
        ):
            threading.Thread(target=carry, args=(server, client), daemon=True).start()
            carry(client, server)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}", certificate


def certificate_of_nobody(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a CA of tests")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return certificate, key
