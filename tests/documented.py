"""What the documents show is run again, in fresh clones, and every digit that is printed is compared with theirs.

`make reproduce` prints a table and ends with 1 where one differs; tests do the same, part by part. What may differ is
known by rule (VARIES): ids, times, dates, sizes, ports, commits.
"""

from __future__ import annotations

import difflib
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

import psutil

from tests import services
from tests.conftest import ROOT, committed_copy, git

README = "README.md"
# A document, and which of its parts: each runs in a clone of its own. What comes after README's first sweep needs
# nothing of what is above it.
DOCUMENTS = ((README, 0), (README, 1), ("data/README.md", 0), ("docs/from_the_guide.md", 0))
SPLIT = "\n## Sweeps\n"
RECORDED = "|".join(re.findall(r"md5: (\w+)", (ROOT / "data" / "raw" / "housing.csv.dvc").read_text()))
VARIES = [
    (rf"\b(?!{RECORDED})[0-9a-f]{{32}}\b", "<id>"),  # the md5 that a .dvc records is none
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
# Commands that show web pages: what the first page says, and what keeps them small
PAGES = {"mlflow ui": (b"MLflow", ["--workers", "1"]), "optuna-dashboard": (b"Optuna Dashboard", [])}
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True)
class Shown:
    """A command of a document, and the lines of its output that are shown there."""

    command: str
    output: list[str]


@dataclass(frozen=True)
class Compared:
    """A command that was run again: how many numbers of its output were compared, and what differs."""

    document: str
    command: str
    numbers: int = 0
    differences: list[str] = field(default_factory=list)
    printed: str = ""


def shown_in(text: str) -> list[Shown]:
    """Commands and outputs of all `console` blocks, in their order; `...` stands for what is left out."""
    steps: list[Shown] = []
    for block in re.findall(r"```console\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
        for line in dedent(block).splitlines():
            if line.startswith("$ "):
                steps.append(Shown(line[2:], []))
            elif line.strip() and line != "...":
                steps[-1].output.append(line)
    return steps


def masked(line: str) -> str:
    """A line without what varies from one run to the next."""
    for pattern, instead in VARIES:
        line = re.sub(pattern, instead, line)
    return " ".join(line.split())


def run_again(document: str, part: int, clone: Path) -> Iterator[Compared]:
    """Every command of a part of a document, in its order, in a fresh clone."""
    text = (ROOT / document).read_text()
    environment = _environment(clone)
    ids: dict[str, str] = {}
    with ExitStack() as running:
        for step in shown_in(text.split(SPLIT)[part] if document == README else text):
            if step.command.startswith(tuple(PAGES)):
                _serves(step.command, clone, environment)
            elif "mlflow models serve" in step.command:
                running.enter_context(_served(step.command, clone, environment))
            elif step.command == "make stack":
                running.enter_context(_stack(step.command, step.output, clone, environment))
            else:
                yield compare(document, step, clone, environment, ids)
                continue
            yield Compared(document, step.command)  # it serves what is asked for


def _environment(clone: Path) -> dict[str, str]:
    """Of somebody who follows the document: has told git who they are, and has nothing to install."""
    (clone / ".venv").symlink_to(sys.prefix)
    for name in ("pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        os.utime(clone / name, (0, 0))  # older than the environment
    environment = services.plain_environment(
        PYTHONPATH=str(clone), DVC_NO_ANALYTICS="true", XDG_STATE_HOME=str(clone.parent / "state")
    )
    for who in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{who}_NAME": "Ada", f"GIT_{who}_EMAIL": "ada@localhost"}
    return environment


def compare(document: str, step: Shown, clone: Path, environment: dict[str, str], ids: dict[str, str]) -> Compared:
    """Run it, and look for every line that is shown. `ids` learns which id here is the one that the document has."""
    command = SHORT_ID.sub(lambda found: ids.get(found[0], found[0]), step.command)
    outside = os.pathsep.join(each for each in environment["PATH"].split(os.pathsep) if each != str(services.BIN))
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=clone,
        env={**environment, "PATH": outside} if step.command.startswith("make") else environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    refused = any(line.startswith("error: ") for line in step.output)
    differences = [] if done.returncode == (2 if refused else 0) else [f"it ended with code {done.returncode}"]
    lines = done.stdout.splitlines()
    printed = [masked(line) for line in lines]
    for line in step.output:
        if masked(line) in printed:
            found = lines[printed.index(masked(line))]
            ids.update(zip(SHORT_ID.findall(line), SHORT_ID.findall(found), strict=True))
        else:
            differences.append(_difference(masked(line), printed))
    numbers = sum(len(NUMBER.findall(masked(line))) for line in step.output)
    return Compared(document, step.command, numbers, differences, done.stdout)


def _difference(line: str, printed: list[str]) -> str:
    """What became of a line: its numbers that are others now, or that nothing like it is printed."""
    alike = [each for each in printed if NUMBER.sub("#", each) == NUMBER.sub("#", line)]
    nearest = difflib.get_close_matches(line, alike, n=1, cutoff=0)
    if not nearest:
        return f"not printed: {line}"
    pairs = zip(NUMBER.findall(line), NUMBER.findall(nearest[0]), strict=True)
    return ", ".join(f"{shown} is now {now}" for shown, now in pairs if shown != now)


def _serves(command: str, cwd: Path, environment: dict[str, str]) -> None:
    """A command that shows a web page: it has to answer, and is then ended."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    title, more = next(about for program, about in PAGES.items() if command.startswith(program))
    process = subprocess.Popen(
        [*command.split(), "--host", "127.0.0.1", "--port", str(port), *more],
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
                    assert title in page.read()
                return
            except OSError:
                assert process.poll() is None, "the server ended"
                assert time.monotonic() < until, "the server does not answer"
                time.sleep(0.3)
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def _stack(command: str, shown: list[str], cwd: Path, environment: dict[str, str]) -> Iterator[None]:
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
def _served(command: str, cwd: Path, environment: dict[str, str]) -> Iterator[None]:
    """`mlflow models serve` on the document's own port, running while the commands below it are."""
    port = int(command.partition("--port ")[2].split()[0])
    folder = cwd / ".served"
    folder.mkdir()
    with services.process(["bash", "-c", f"cd {cwd} && {command.removesuffix(' &')}"], folder, environment) as started:
        try:
            services.wait_for(f"http://127.0.0.1:{port}/ping", started, folder / "log")
            yield
        finally:
            services.kill(started)


def main() -> None:
    """Every document, or those that are named: a table, and exit code 1 if a digit differs."""
    wanted = sys.argv[1:] or [document for document, _ in DOCUMENTS]
    print("| document | command | numbers compared | differences |\n| --- | --- | ---: | --- |")
    compared = []
    for document, part in [each for each in DOCUMENTS if each[0] in wanted]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            git("clone", "--quiet", str(committed_copy(folder / "project")), str(folder / "clone"), cwd=folder)
            for each in run_again(document, part, folder / "clone"):
                compared.append(each)
                command = each.command.replace("|", "\\|")
                print(f"| {document} | `{command}` | {each.numbers} | {'; '.join(each.differences)} |", flush=True)
    wrong = sum(bool(each.differences) for each in compared)
    numbers = sum(each.numbers for each in compared)
    print(f"\n{len(compared)} commands, {numbers} numbers compared; {wrong} commands print something else now.")
    sys.exit(int(wrong > 0))


if __name__ == "__main__":
    main()
