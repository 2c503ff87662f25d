"""README's commands are run, in its order, in fresh clones, and have to print what it shows."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests import services
from tests.conftest import ROOT

# `make run` and the first `source` need .venv, which here is a link to the one that runs this test.
VARIES = [
    (r"[0-9a-f]{32}", "<id>"),
    (r"fit in \d+\.\d\d s", "fit in <seconds>"),
    (r"127\.0\.0\.1:\d{4,}", "127.0.0.1:<port>"),  # a test's services take ports that are free
    (r"^[\d:]+ \w+\.1 +\| ", ""),  # what honcho puts before a line
    (r"\b[0-9a-f]{8}\b", "<short id>"),
    (r"\b[0-9a-f]{7}\b\+?", "<commit>"),
    (r"\b\d+ (min|h|d)\b", "<age>"),
    (r"\b\d{4}-\d\d-\d\d \d\d:\d\d\b", "<time>"),
    (r"\d+\.\d [kM]B\b", "<size>"),
]
SHORT_ID = re.compile(r"\b[0-9a-f]{8}\b")


@dataclass(frozen=True)
class Shown:
    command: str
    output: list[str]


def shown_in(text: str) -> list[Shown]:
    steps: list[Shown] = []
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append(Shown(line[2:], []))
            elif line.strip() and line != "...":
                steps[-1].output.append(line)
    return steps


def masked(line: str) -> str:
    for pattern, instead in VARIES:
        line = re.sub(pattern, instead, line)
    return " ".join(line.split())


def serves(command: str, cwd: Path, environment: dict[str, str]) -> None:
    """A command that shows a web page: it has to answer, and is then ended."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [*command.split(), "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
        cwd=cwd,
        env={**environment, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as page:
                    assert b"MLflow" in page.read()
                return
            except OSError:
                assert process.poll() is None, "the server ended"
                assert time.monotonic() < until, "the server does not answer"
                time.sleep(0.3)
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def stack(command: str, shown: list[str], cwd: Path, environment: dict[str, str]) -> Iterator[None]:
    """`make stack`: on free ports, ready, and running while the commands below it are."""
    settings = (cwd / ".env").read_text()
    for name in ("MLFLOW_PORT", "MINIO_PORT"):
        settings = re.sub(rf"^{name}=.*", f"{name}={services.free_port()}", settings, flags=re.MULTILINE)
    (cwd / ".env").write_text(settings)
    with services.process(command.split(), cwd, environment) as started:
        until = time.monotonic() + 120
        while not {masked(line) for line in shown} <= {masked(line) for line in (cwd / "log").read_text().splitlines()}:
            assert started.poll() is None, (cwd / "log").read_text()
            assert time.monotonic() < until, (cwd / "log").read_text()
            time.sleep(0.2)
        try:
            yield
        finally:
            children = psutil.Process(started.pid).children(recursive=True)
            next(child for child in children if child.cmdline()[1].endswith("/honcho")).terminate()
            _, left = psutil.wait_procs(children, timeout=20)
            assert left == []


@contextmanager
def served(command: str, cwd: Path, environment: dict[str, str]) -> Iterator[None]:
    """`mlflow models serve` on README's own port, running while the commands below it are."""
    port = int(command.partition("--port ")[2].split()[0])
    folder = cwd / ".served"
    folder.mkdir()
    with services.process(["bash", "-c", f"cd {cwd} && {command.removesuffix(' &')}"], folder, environment) as started:
        try:
            services.wait_for(f"http://127.0.0.1:{port}/ping", started, folder / "log")
            yield
        finally:
            services.kill(started)


@pytest.mark.slow
@pytest.mark.parametrize("part", [0, 1], ids=["tour and table", "sweeps and after"])
def test_every_command_of_the_readme_prints_what_it_shows(clone: Path, part: int) -> None:
    """In two parts, each in a clone of its own: what comes after the first sweep needs nothing of what is above it."""
    environment = {**os.environ, "PYTHONPATH": str(clone), "PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"}
    for who in ("AUTHOR", "COMMITTER"):  # whoever follows README has told git who they are
        environment |= {f"GIT_{who}_NAME": "Ada", f"GIT_{who}_EMAIL": "ada@localhost"}
    (clone / ".venv").symlink_to(sys.prefix)
    # as old as the environment: there is nothing to install
    for name in ("pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        os.utime(clone / name, (0, 0))
    steps = shown_in((ROOT / "README.md").read_text().split("\n## Sweeps\n")[part])
    assert len(steps) > 8
    ids: dict[str, str] = {}
    with ExitStack() as running:
        for step in steps:
            if step.command.startswith("mlflow ui"):
                serves(step.command, clone, environment)
            elif "mlflow models serve" in step.command:
                running.enter_context(served(step.command, clone, environment))
            elif step.command == "make stack":
                running.enter_context(stack(step.command, step.output, clone, environment))
            else:
                check(step, clone, environment, ids)


def check(step: Shown, clone: Path, environment: dict[str, str], ids: dict[str, str]) -> None:
    """Run it, and look for every line that is shown. `ids` learns which id here is the one that README has."""
    command = SHORT_ID.sub(lambda found: ids.get(found[0], found[0]), step.command)
    inactive = {**environment, "PATH": os.environ["PATH"].replace(str(Path(sys.prefix) / "bin"), "")}
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=clone,
        env=inactive if step.command.startswith("make") else environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    refused = any(line.startswith("error: ") for line in step.output)
    assert done.returncode == (2 if refused else 0), done.stdout
    printed = [masked(line) for line in done.stdout.splitlines()]
    for line in step.output:
        assert masked(line) in printed, f"$ {step.command}\n{done.stdout}"
        found = done.stdout.splitlines()[printed.index(masked(line))]
        ids.update(zip(SHORT_ID.findall(line), SHORT_ID.findall(found), strict=True))


def test_links_and_pictures_of_the_documents_exist() -> None:
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "data" / "README.md"]:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"
