"""Disks that are full and folders that are read-only, for each command; then there is room, and the same command again.

    python -m tests.faults.disk [--only run,sweep] [--levels 6] [--short]     some six minutes; prints a table

The disks are tmpfs of a few megabytes in a mount namespace of this process. The room that is left is a share of what
the undisturbed command needs, so that each of its steps is the one that fails.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from boston_exp.tracking import sqlite_store
from tests import services
from tests.faults import forked, mounts
from tests.faults.balance import Balance
from tests.faults.killed_commands import Place, Subject
from tests.faults.kills import SUBJECTS

SIZE = 96  # megabytes of a disk
SHARES = (0.0, 0.01, 0.03, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)  # of the room that a command needs
FULL = re.compile(r"no space left|out of diskspace|disk is full|is full|[0-9] kB of room left", re.IGNORECASE)
READ_ONLY = re.compile(r"read-only|readonly|no permission|cannot be written|permission denied", re.IGNORECASE)
# Folders that a command writes to, from its own folder; a promotion's are in its project.
FOLDERS = {
    "run": (".", "mlartifacts", "outputs"),
    "sweep": (".", "mlartifacts", "multirun"),
    "sync": (".",),
    "promote": (
        ".", "mlartifacts", "project/data/models", "project/data/models/.remote", "project/.git", "project/.dvc",
    ),
}  # fmt: skip
HEAD = """# Disks that are full, folders that are read-only

Printed by `python -m tests.faults.disk` (`make faults`): each command on a disk that has a share of the room that it
needs, with a folder that nobody can write into, with no room for temporary files; then the same command again, when
there is room. "Wrong in the end": as in [kills.md](kills.md).
"""


@dataclass
class Row:
    """One harm, what the command said to it, and what the same command made of it afterwards."""

    command: str
    harm: str
    code: int
    said: str
    clear: bool  # it says what is wrong and what comes next, and shows no traceback
    again: int = 0
    balance: Balance = field(default_factory=Balance)

    @property
    def well(self) -> bool:
        return self.clear and self.again == 0 and not self.balance.wrong


def harmed(subject: Subject, place: Place, harm: str, inflicted: Callable[[], AbstractContextManager[None]]) -> Row:
    """The command while the harm lasts, and again after it."""
    subject.prepare(place)
    command = subject.command(place)
    with inflicted():
        code = forked.done(command)
    said = command.said
    row = Row(subject.name, harm, code, message(said), is_clear(code, said))
    row.again = forked.done(command)
    row.balance = subject.look(place)
    if row.again:
        row.balance.add("failed", forked.last_words(command.said, 6))
    if not row.clear:
        print(f"--- {subject.name}, {harm}: {code}\n{said}\n---", file=sys.stderr)
    subject.forget(place)
    return row


def is_clear(code: int, said: str) -> bool:
    """Whether a person knows what is wrong and what to do; a command that could do without is done.

    1 is a sweep whose points have failed, or a sync that has left runs: it has said of each of them why.
    """
    if "Traceback" in said or code not in (0, 1, 2):
        return False
    told = bool(FULL.search(said) or READ_ONLY.search(said))
    return code == 0 or (told and ("next:" if code == 2 else "next ") in said)


def message(said: str) -> str:
    """What it says is wrong, without the folder of this case."""
    lines = [line for line in said.splitlines() if FULL.search(line) or READ_ONLY.search(line)]
    return re.sub(r"/\S*/", "…/", " ".join(lines[0].removeprefix("error: ").split()))[:160] if lines else ""


def rows(server: str, folder: Path, only: Sequence[str], shares: Sequence[float]) -> Iterator[Row]:
    empty, temporary = folder / "empty.db", folder / "temporary"
    sqlite_store.create(empty, "unused")
    temporary.mkdir()
    for name in only:
        subject = SUBJECTS[name]()
        with mounts.small(folder / f"disk-of-{name}", SIZE) as disk:
            need = needed(subject, Place(disk / f"{name}-alone", server, temporary, empty))
            for share in shares:
                place = Place(disk / f"{name}-full-{share:.2f}".replace(".", "-"), server, temporary, empty)
                harm = f"{share:.0%} of the {need / 1e6:.1f} MB that it needs"
                yield harmed(subject, place, harm, partial(mounts.filled, disk, int(need * share)))
        for number, inside in enumerate(FOLDERS[name]):
            place = Place(folder / f"{name}-read-only-{number}", server, temporary, empty)
            closed = partial(made_read_only, subject.root(place) / inside)
            yield harmed(subject, place, f"`{inside}` is read-only", closed)
        for room in (0, 16_384):
            with mounts.small(folder / f"temporary-of-{name}-{room}", 4) as disk:
                place = Place(folder / f"{name}-temporary-{room}", server, disk, empty)
                harm = f"{room / 1024:.0f} kB for temporary files"
                yield harmed(subject, place, harm, partial(mounts.filled, disk, room))


def made_read_only(folder: Path) -> AbstractContextManager[None]:
    folder.mkdir(parents=True, exist_ok=True)
    return mounts.read_only(folder)


def needed(subject: Subject, place: Place) -> int:
    """Bytes that the undisturbed command takes, while it takes the most."""
    subject.prepare(place)
    command = subject.command(place)
    before = least = mounts.free(place.folder)
    started = forked.start(command)
    while (code := started.code(0.003)) is None:
        least = min(least, mounts.free(place.folder))
    assert code == 0, command.said
    wrong = subject.look(place).wrong
    assert not wrong, wrong
    subject.forget(place)
    return max(before - least, mounts.PAGE)


@contextmanager
def _server_in(folder: Path) -> Iterator[str]:
    with services.server_with_gateway(folder) as server:
        yield server.url


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(FOLDERS), help="commands")
    parser.add_argument("--shares", default=",".join(map(str, SHARES)), help="of the room that a command needs")
    parser.add_argument("--server", help="an MLflow server that is there")
    parser.add_argument("--mounted", action="store_true", help="this process has a mount namespace of its own")
    chosen = parser.parse_args()
    if not chosen.mounted:
        why = mounts.obstacle()
        if why:
            sys.exit(why)
        call = [*mounts.namespace(), sys.executable, "-m", "tests.faults.disk", "--mounted", *sys.argv[1:]]
        os.execvp(call[0], call)  # noqa: S606
    begun = time.monotonic()
    found = []
    with tempfile.TemporaryDirectory(prefix="disk-") as name:
        folder = Path(name)
        (folder / "work").mkdir()
        with nullcontext(chosen.server) if chosen.server else _server_in(folder) as server:
            print(HEAD)
            print("| command | harm | code | it says | then | wrong in the end |")
            print("| --- | --- | --- | --- | --- | --- |", flush=True)
            shares = [float(share) for share in chosen.shares.split(",")]
            for row in rows(server, folder / "work", chosen.only.split(","), shares):
                found.append(row)
                said = row.said.replace("|", "\\|") if row.code else "done"
                cells = (row.command, row.harm, row.code, said, row.again, row.balance.wrong or "nothing")
                print(f"| {' | '.join(map(str, cells))} |{'' if row.well else ' **not as expected**'}", flush=True)
    bad = [row for row in found if not row.well]
    minutes = (time.monotonic() - begun) / 60
    print(f"\n{len(found)} times in {minutes:.0f} minutes, {len(bad)} not as expected.")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
