"""SIGKILL for whole commands at random moments, then the same command again, undisturbed: what is left?

    python -m tests.faults.kills [--kills 200] [--seed 1] [--only run,sweep]      some 25 minutes; prints a table

Every command is killed with all that it has started. One kill in ten is of an interpreter of its own, imports included;
the others are forked where the imports are done. Half of the moments are drawn evenly over the life of the undisturbed
command, half over its second half, in which it records, publishes and commits.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from boston_exp.tracking import sqlite_store
from tests import services
from tests.conftest import ROOT, git
from tests.faults import forked
from tests.faults.balance import KINDS, Balance
from tests.faults.forked import Command
from tests.faults.killed_commands import Place, Reproduction, SingleRun, Subject, Sweep, Sync
from tests.faults.killed_promotion import Promotion, PromotionOnServer

COMMANDS: tuple[type[Subject], ...] = (SingleRun, Sweep, Promotion, PromotionOnServer, Sync, Reproduction)
SUBJECTS = {kind.name: kind for kind in COMMANDS}
OURS = re.compile(r"boston_exp-\d+-[a-z0-9_]{8}")  # named by process.temporary_folder; the doctor and clean find them
PYTHONS = "pymp-"  # of Python's multiprocessing: the socket of a fork server, a few bytes
HEAD = """# Commands killed with SIGKILL

Printed by `python -m tests.faults.kills` (`make faults`), seed {seed}: {kills} kills of a command with everything that
it has started, half of them at moments drawn evenly over its life, half over its second half, in which it records,
publishes and commits; then the same command again, undisturbed. "Killed while" is read from what the kill has left.
One in ten is of an interpreter of its own, with its imports; the others are forked where these are done. Looked for in
the end: runs that are not whole here and once on the server, anything RUNNING, models that are not READY or do not
load, an sqlite file that is not intact, a work tree with changes, temporary files that the doctor does not find.
"""


@dataclass
class Killed:
    """One kill, and what the same command made of it."""

    subject: str
    moment: float  # seconds after the start
    whole: bool  # an interpreter of its own
    phase: str
    code: int = 0  # of the command that followed
    seconds: float = 0.0
    balance: Balance = field(default_factory=Balance)

    @property
    def well(self) -> bool:
        return not self.balance.wrong


def kill(subject: Subject, place: Place, life: dict[bool, float], part: float, whole: bool) -> Killed | None:
    """Kill it after this part of its life; None if it has ended by then."""
    subject.prepare(place)
    command = subject.command(place)
    started = forked.start(command, whole)
    moment = life[whole] * part
    time.sleep(moment)
    if not started.kill():
        return None
    seen = Killed(subject.name, moment, whole, subject.phase(place))
    before = forked.last_words(command.said)
    begun = time.monotonic()
    seen.code = forked.done(command)
    seen.seconds = time.monotonic() - begun
    seen.balance = subject.look(place)
    if seen.code != 0 or "Traceback" in command.said:
        seen.balance.add("failed", f"exit code {seen.code} (killed after: {before})")
    if seen.balance.wrong:
        print(f"--- {place.name}\n{command.said}\n---", file=sys.stderr)
    return seen


def life_of(subject: Subject, place: Place, wholes: Sequence[bool] = (False, True)) -> dict[bool, float]:
    """Seconds that the undisturbed command takes, forked and as a whole interpreter."""
    found = {}
    for whole in wholes:
        for number in range(2 - whole):  # the first one warms up
            own = Place(
                place.folder / f"life-{subject.name}-{whole}-{number}", place.server, place.temporary, place.empty
            )
            subject.prepare(own)
            command, begun = subject.command(own), time.monotonic()
            code = forked.done(command, whole)
            found[whole] = time.monotonic() - begun
            assert code == 0, command.said
            wrong = subject.look(own).wrong
            assert not wrong, wrong
    return found


def kills(
    server: str, folder: Path, count: int, seed: int, subjects: Sequence[Subject], wholes: float = 0.1
) -> Iterator[Killed]:
    """`count` kills, of each subject its share."""
    empty, temporary = folder / "empty.db", folder / "temporary"
    sqlite_store.create(empty, "unused")
    temporary.mkdir()
    draw = random.Random(seed)  # noqa: S311
    weights = [sum(each.share for each in subjects[:index]) for index in range(len(subjects) + 1)]
    shares = [round(count * weight / weights[-1]) for weight in weights]
    for index, subject in enumerate(subjects):
        own = shares[index + 1] - shares[index]
        life = life_of(subject, Place(folder, server, temporary, empty), (False, True) if wholes else (False,))
        print(subject.name, *(f"{seconds:.2f} s" for seconds in life.values()), file=sys.stderr)
        parts = [number % 2 / 2 + draw.random() / (1 + number % 2) for number in range(own)]
        for number, part in enumerate(parts):
            tries, seen, whole = 0, None, draw.random() < wholes
            while seen is None:  # it took less time than before, and had ended
                place = Place(folder / f"{subject.name}-{number}-{tries}", server, temporary, empty)
                seen = kill(subject, place, life, part * 0.9**tries, whole)
                tries += 1
                subject.forget(place)
            litter(seen, temporary)
            yield seen


def litter(seen: Killed, temporary: Path) -> None:
    """Temporary files that nobody would find; each is told of once."""
    for path in temporary.iterdir():
        if not OURS.fullmatch(path.name) and not path.name.startswith(PYTHONS):
            inside = sorted(str(each.relative_to(path)) for each in path.rglob("*")) if path.is_dir() else []
            seen.balance.add("litter", f"{path.name}: {inside[:5]}")
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def left_for_doctor(folder: Path, temporary: Path) -> tuple[int, int, int]:
    """How many temporary folders and git work trees the kills have left, and how many of both the doctor does not find
    two hours later."""
    for path in temporary.iterdir():
        if path.name.startswith(PYTHONS):
            shutil.rmtree(path)
        else:
            os.utime(path, (time.time() - 7200,) * 2)
    before, trees = len(list(temporary.iterdir())), work_trees(temporary)
    where = (f"tracking.uri=sqlite:///{folder}/doctor.db", "fix=true")
    forked.done(Command("doctor", where, folder, temporary), whole=True)
    return before, trees, len(list(temporary.iterdir())) + work_trees(temporary)


def work_trees(temporary: Path) -> int:
    return git("worktree", "list", cwd=ROOT).count(f"{temporary}/")


def table(found: Sequence[Killed]) -> Iterator[str]:
    """By command and phase."""
    yield f"| command | killed while | kills | {' | '.join(KINDS)} | longest after |"
    yield "|" + " --- |" * (4 + len(KINDS))
    for subject, phase in dict.fromkeys((seen.subject, seen.phase) for seen in found):
        own = [seen for seen in found if (seen.subject, seen.phase) == (subject, phase)]
        counts = [sum(bool(seen.balance.count(kind)) for seen in own) for kind in KINDS]
        cells = (subject, phase, len(own), *counts, f"{max(seen.seconds for seen in own):.0f} s")
        yield f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default=",".join(SUBJECTS), help="commands")
    chosen = parser.parse_args()
    subjects = [SUBJECTS[name]() for name in chosen.only.split(",")]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        folder = Path(name)
        (folder / "work").mkdir()
        with services.server_with_gateway(folder) as server:
            found = []
            for seen in kills(server.url, folder / "work", chosen.kills, chosen.seed, subjects):
                found.append(seen)
                print(f"{len(found)} {seen}", file=sys.stderr, flush=True)
            before, trees, after = left_for_doctor(folder / "work", folder / "work" / "temporary")
    order = {subject.name: number for number, subject in enumerate(subjects)}
    found.sort(key=lambda seen: (order[seen.subject], seen.moment))
    print(HEAD.format(seed=chosen.seed, kills=len(found)))
    print("\n".join(table(found)))
    bad = [seen for seen in found if not seen.well]
    minutes = (time.monotonic() - begun) / 60
    print(f"\n{len(found)} kills in {minutes:.0f} minutes, {len(bad)} not as expected. They left {before} temporary "
          f"folders and {trees} git work trees; two hours later, after `doctor fix=true`: {after}.\n")  # fmt: skip
    for subject in order:
        moments = (f"{seen.moment:.2f}" + "*" * seen.whole for seen in found if seen.subject == subject)
        print(f"Moments of {subject}, in seconds after its start (* with imports): {' '.join(moments)}\n")
    for seen in bad:
        print(f"- {seen.subject}, killed {seen.moment:.2f} s after its start, while {seen.phase}: {seen.balance.wrong}")
    sys.exit(bool(bad or after))


if __name__ == "__main__":
    main()
