"""The commands that are killed, each with what it needs, what a kill of it has left, and what has to be in the end."""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mlflow import MlflowClient
from mlflow.entities import Run

from tests.conftest import ROOT, git
from tests.faults import balance, forked
from tests.faults.balance import Balance
from tests.faults.forked import Command

NAME = "boston-housing"


@dataclass(frozen=True)
class Place:
    """One case: a folder of its own, its name that of its experiment; what all cases share."""

    folder: Path
    server: str
    temporary: Path
    empty: Path  # a new store, which takes two seconds to make

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def store(self) -> Path:
        return self.folder / "mlflow.db"


class Subject(Protocol):
    """A command to be killed."""

    name: str
    share: int  # of the kills: what takes long gets fewer

    def root(self, place: Place) -> Path:
        """The folder that has all that the command writes."""

    def prepare(self, place: Place) -> None:
        """What has to be there before."""

    def command(self, place: Place) -> Command:
        """The same when it is killed and afterwards."""

    def phase(self, place: Place) -> str:
        """How far it had come, by what is left."""

    def look(self, place: Place) -> Balance:
        """What is wrong in the end."""

    def forget(self, place: Place) -> None:
        """Make room."""


class Trained:
    """A command that trains and publishes."""

    name: str
    share: int
    overrides: tuple[str, ...]

    def root(self, place: Place) -> Path:
        return place.folder

    def prepare(self, place: Place) -> None:
        place.folder.mkdir()
        shutil.copy(place.empty, place.store)

    def command(self, place: Place) -> Command:
        where = (
            "tracking=server", f"tracking.uri={place.server}", f"tracking.local_uri=sqlite:///{place.store}",
            f"tracking.experiment_name={place.name}", f"hydra.run.dir={place.folder}/outputs",
            f"hydra.sweep.dir={place.folder}/multirun",
        )  # fmt: skip
        return Command("run", (*self.overrides, *where), place.folder, place.temporary)

    def forget(self, place: Place) -> None:
        shutil.rmtree(place.folder)


class SingleRun(Trained):
    name = "run"
    share = 9
    overrides = ("model=ridge", "figures=none", "skip_finished=true")

    def phase(self, place: Place) -> str:
        runs = balance.runs_of(balance.opened(place.store), place.name)
        if not runs:
            return "it starts"
        (run,) = runs
        if run.info.status == "RUNNING":
            if run.outputs and run.outputs.model_outputs:
                return "it stores the model"
            return "it records" if "r2_score" in run.data.metrics or _artifacts(place) else "it fits"
        return _published(place, 1)

    def look(self, place: Place) -> Balance:
        found = balance.look(place.store, place.server, place.name)
        runs = balance.runs_of(balance.opened(place.store), place.name)
        finished = sum(run.info.status == "FINISHED" for run in runs)
        if finished != 1:
            found.add("doubled" if finished else "lost", f"{finished} finished runs")
        if found.models != 2:
            found.add("lost", f"{found.models} models, here and there, not 2")
        return found


class Sweep(Trained):
    """A grid with two workers."""

    name = "sweep"
    share = 8
    alphas = (1, 2, 3, 4)
    overrides = (
        "-m", "model=ridge", "figures=none", "evaluation=holdout", f"model.alpha={','.join(map(str, alphas))}",
        "hydra/launcher=joblib", "hydra.launcher.n_jobs=2",
    )  # fmt: skip

    def phase(self, place: Place) -> str:
        runs = balance.runs_of(balance.opened(place.store), place.name)
        points = [run for run in runs if "sweep.key" not in run.data.tags]
        if not runs:
            return "it starts"
        if not points:
            return "workers start"
        if sum(run.info.status == "FINISHED" for run in points) < len(self.alphas):
            return "points run"
        if any(run.info.status == "RUNNING" for run in runs):
            return "it records the sweep"
        return _published(place, len(runs))

    def look(self, place: Place) -> Balance:
        found = balance.look(place.store, place.server, place.name)
        runs = balance.runs_of(balance.opened(place.store), place.name)
        parents = [run for run in runs if "sweep.key" in run.data.tags]
        if len(parents) != 1 or parents[0].info.status != "FINISHED":
            found.add("doubled" if parents else "lost", f"sweeps: {[run.info.status for run in parents]}")
        done = [run for run in runs if run.info.status == "FINISHED" and "sweep.key" not in run.data.tags]
        points = Counter(run.data.params["model.alpha"] for run in done)
        if len(points) != len(self.alphas):
            found.add("lost", f"points: {dict(points)}")
        if any(count > 1 for count in points.values()):
            found.add("doubled", f"points: {dict(points)}")
        if found.models != 2:
            found.add("lost", f"{found.models} models, here and there, not 2")
        return found


class Restored:
    """A command on a store that is made once and restored for each case: in one place, as MLflow keeps absolute
    paths."""

    name: str

    def root(self, place: Place) -> Path:
        return place.folder.with_name(f"base-of-{self.name}")

    def _store(self, place: Place) -> Path:
        return self.root(place) / "mlflow.db"

    def prepare(self, place: Place) -> None:
        place.folder.mkdir()
        base, ready = self.root(place), place.folder.with_name(f"base-of-{self.name}-ready")
        if not ready.exists():
            base.mkdir()
            shutil.copy(place.empty, self._store(place))
            self._make(place)
            base.rename(ready)
        shutil.rmtree(base, ignore_errors=True)
        shutil.copytree(ready, base)

    def _make(self, place: Place) -> None:
        """What has been recorded before."""
        raise NotImplementedError

    def forget(self, place: Place) -> None:
        shutil.rmtree(place.folder)
        shutil.rmtree(self.root(place))


class Sync(Restored):
    """Two runs with models and a sweep of two points, recorded while no server answered, are brought to one."""

    name = "sync"
    share = 8
    recorded = (
        ("model=ridge",), ("model=knn", "evaluation=cv"), ("-m", "model=ridge", "model.alpha=3,4"),
    )  # fmt: skip
    runs, models = 5, 3

    def prepare(self, place: Place) -> None:
        """Server and experiment get the names of this case."""
        super().prepare(place)
        with closing(sqlite3.connect(self._store(place))) as connection, connection:
            connection.execute("UPDATE tags SET value = ? WHERE key = 'sync.server'", (place.server,))
            connection.execute("UPDATE experiments SET name = ? WHERE name = ?", (place.name, NAME))

    def _make(self, place: Place) -> None:
        base = self.root(place)
        where = ("tracking=server", "tracking.uri=http://127.0.0.1:9", f"tracking.local_uri=sqlite:///{base}/mlflow.db")
        for number, overrides in enumerate(self.recorded):
            folders = (f"hydra.run.dir={base}/{number}", f"hydra.sweep.dir={base}/{number}")
            made = Command("run", (*overrides, "figures=none", *where, *folders), base, place.temporary)
            assert forked.done(made) == 0, made.said

    def command(self, place: Place) -> Command:
        where = (f"tracking.uri={place.server}", f"tracking.local_uri=sqlite:///{self._store(place)}")
        return Command("sync", ("tracking=server", *where), place.folder, place.temporary)

    def phase(self, place: Place) -> str:
        there = balance.runs_of(MlflowClient(place.server), place.name)
        whole = sum("sync.complete" in run.data.tags for run in there)
        if not there:
            return "it starts"
        return f"it brings run {whole + 1} of {self.runs}" if whole < self.runs else "it ends"

    def look(self, place: Place) -> Balance:
        found = balance.look(self._store(place), place.server, place.name)
        if found.copies != self.runs:
            found.add("lost", f"{found.copies} whole copies, not {self.runs}")
        if found.models != 2 * self.models:
            found.add("lost", f"{found.models} models, here and there, not {2 * self.models}")
        return found


class Reproduction(Restored):
    """A run in a local store is trained again, in a work tree of this project's repository."""

    name = "reproduce"
    share = 3

    def _make(self, place: Place) -> None:
        base = self.root(place)
        where = (f"tracking.uri=sqlite:///{self._store(place)}", f"hydra.run.dir={base}/outputs")
        made = Command("run", ("model=ridge", "figures=none", *where), base, place.temporary)
        assert forked.done(made) == 0, made.said

    def _runs(self, place: Place) -> tuple[str, list[Run]]:
        """The id of the original, and all that repeat it."""
        runs = balance.runs_of(balance.opened(self._store(place)), NAME)
        (original,) = [run.info.run_id for run in runs if "reproduces" not in run.data.tags]
        return original, [run for run in runs if "reproduces" in run.data.tags]

    def command(self, place: Place) -> Command:
        where = (f"run_id={self._runs(place)[0]}", f"tracking.uri=sqlite:///{self._store(place)}")
        return Command("reproduce", where, place.folder, place.temporary)

    def phase(self, place: Place) -> str:
        _, repeated = self._runs(place)
        if not repeated:
            return "it trains" if str(place.temporary) in git("worktree", "list", cwd=ROOT) else "it starts"
        return "it records" if repeated[0].info.status == "RUNNING" else "it ends"

    def look(self, place: Place) -> Balance:
        found = balance.look(self._store(place), None, NAME)
        done = [run for run in self._runs(place)[1] if run.info.status == "FINISHED"]
        if not done:
            found.add("lost", "no finished repetition")
        if len(found.wrong) == 0 and found.models != 1:
            found.add("lost", f"{found.models} models, not 1")
        return found


def _artifacts(place: Place) -> bool:
    return any(place.folder.glob("mlartifacts/*/*/artifacts/*"))


def _published(place: Place, count: int) -> str:
    """How far publishing has come, of runs that have ended here."""
    there = balance.runs_of(MlflowClient(place.server), place.name)
    if not there:
        return "it is about to publish"
    whole = sum("sync.complete" in run.data.tags for run in there)
    return "it publishes" if whole < count else "it ends"
