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

from boston_exp.lifecycle.promotion import journal
from boston_exp.storage.dvc_file import recorded_md5
from boston_exp.storage.git import Git
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


class Run(Trained):
    name = "run"
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


class Sync:
    """Two runs with models and a sweep of two points, recorded while no server answered, are brought to one."""

    name = "sync"
    recorded = (
        ("model=ridge",), ("model=knn", "evaluation=cv"), ("-m", "model=ridge", "model.alpha=3,4"),
    )  # fmt: skip
    runs, models = 5, 3

    def root(self, place: Place) -> Path:
        return place.folder.with_name("base-of-sync")

    def _store(self, place: Place) -> Path:
        return self.root(place) / "mlflow.db"

    def prepare(self, place: Place) -> None:
        """In one place, because MLflow keeps absolute paths. Server and experiment get the names of this case."""
        place.folder.mkdir()
        base, ready = self.root(place), place.folder.with_name("base-of-sync-ready")
        if not ready.exists():
            self._make(place)
            base.rename(ready)
        shutil.rmtree(base, ignore_errors=True)
        shutil.copytree(ready, base)
        with closing(sqlite3.connect(self._store(place))) as connection, connection:
            connection.execute("UPDATE tags SET value = ? WHERE key = 'sync.server'", (place.server,))
            connection.execute("UPDATE experiments SET name = ? WHERE name = ?", (place.name, NAME))

    def _make(self, place: Place) -> None:
        base = self.root(place)
        base.mkdir()
        shutil.copy(place.empty, self._store(place))
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

    def forget(self, place: Place) -> None:
        shutil.rmtree(place.folder)
        shutil.rmtree(self.root(place))


class Promotion:
    """A promotion in a project of its own, under git and DVC. In a local store the second champion is promoted."""

    name = "promote"
    on_server = False

    def root(self, place: Place) -> Path:
        return place.folder.with_name(f"base-of-{self.name}")

    def prepare(self, place: Place) -> None:
        """The project stands in one place, because MLflow keeps absolute paths, and is brought back for each case."""
        place.folder.mkdir()
        self._base = self.root(place)
        ready = self._base.with_name(f"{self._base.name}-ready")
        if not ready.exists():
            self._make(place)
            self._base.rename(ready)
        shutil.rmtree(self._base, ignore_errors=True)
        shutil.copytree(ready, self._base, symlinks=True)
        self._before = Git(self._project).head

    @property
    def _project(self) -> Path:
        return self._base / "project"

    @property
    def _store(self) -> Path:
        return self._base / "mlflow.db"

    def _make(self, place: Place) -> None:
        project = self._project
        for name in filter(None, git("ls-files", "-z", cwd=ROOT).split("\0")):
            if not name.startswith(("docs/", "tests/")) and (ROOT / name).is_file():
                (project / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, project / name)
        git("init", "--quiet", "--initial-branch=main", cwd=project)
        git("config", "user.name", "Tester", cwd=project)
        git("config", "user.email", "tester@localhost", cwd=project)
        git("add", "--all", cwd=project)
        git("commit", "--quiet", "--message", "as it is", cwd=project)
        shutil.copy(place.empty, self._store)
        for model in ("knn", "ridge"):
            where = (
                *self._where(place),
                f"hydra.run.dir={self._base}/{model}",
                f"tracking.local_uri=sqlite:///{self._store}",
            )
            made = Command(
                "run", (f"model={model}", "figures=none", "evaluation=cv", *where), self._base, place.temporary
            )
            assert forked.done(made) == 0, made.said
        if not self.on_server:
            first = Command(
                "promote", self._overrides(place, "KNeighborsRegressor"), self._base, place.temporary, project
            )
            assert forked.done(first) == 0, first.said

    def _where(self, place: Place) -> tuple[str, ...]:
        name = f"tracking.experiment_name={self._base.name}"
        if self.on_server:
            return ("tracking=server", f"tracking.uri={place.server}", name)
        return (f"tracking.uri=sqlite:///{self._store}", name)

    def _client(self, place: Place) -> MlflowClient:
        return MlflowClient(place.server) if self.on_server else balance.opened(self._store)

    def _run_of(self, place: Place, model: str) -> str:
        runs = balance.runs_of(self._client(place), self._base.name)
        return next(run.info.run_id for run in runs if run.data.tags["model_type"] == model)

    def _overrides(self, place: Place, model: str) -> tuple[str, ...]:
        given = (f"run_id={self._run_of(place, model)}", "gate=none", f"name={self._registered(place)}")
        return (*given, *self._where(place))

    def _registered(self, place: Place) -> str:
        return place.name if self.on_server else NAME

    def command(self, place: Place) -> Command:
        return Command("promote", self._overrides(place, "Ridge"), place.folder, place.temporary, self._project)

    def phase(self, place: Place) -> str:
        folder = self._project / journal.FOLDER
        if not (folder / "journal.json").exists():
            if Git(self._project).head != self._before:
                return "it ends"
            return "it makes the files ready" if folder.exists() else "it starts"
        left = journal.left(self._project)
        assert left is not None
        if left.decided or Git(self._project).head != self._before:
            return "it finishes, after the commit"
        return "it places and commits" if left.number else "it registers"

    def look(self, place: Place) -> Balance:
        found = Balance() if self.on_server else balance.look(self._store, None, self._base.name)
        self._look_at_registry(found, place)
        self._look_at_git(found, self._registered(place))
        return found

    def _look_at_registry(self, found: Balance, place: Place) -> None:
        client, name, run_id = self._client(place), self._registered(place), self._run_of(place, "Ridge")
        versions = [each for each in client.search_model_versions(f"name = '{name}'") if each.run_id == run_id]
        if len(versions) != 1:
            found.add("doubled" if versions else "lost", f"{len(versions)} versions of the run")
        model = client.get_registered_model(name)
        if versions and str(model.aliases.get("champion")) != str(versions[0].version):
            found.add("lost", f"aliases: {model.aliases}")
        if not self.on_server and str(model.aliases.get("previous")) != "1":
            found.add("lost", f"aliases: {model.aliases}")
        events = [key for key, value in model.tags.items() if key.startswith("promotion.") and run_id in value]
        if len(events) != 1:
            found.add("doubled" if events else "lost", f"{len(events)} events")
        for each in versions:
            of_model = client.get_logged_model(each.source.rpartition("/")[2]) if "models:/" in each.source else None
            if of_model:
                balance.load_model(found, "in the registry", of_model, place.server if self.on_server else None)
            if self._card(name, "gto.version") and each.tags.get("gto.version") is None:
                found.add("lost", "the version has no git tag")

    def _card(self, name: str, key: str) -> bool:
        return (self._project / "data" / "models" / name / "card.json").exists() and bool(key)

    def _look_at_git(self, found: Balance, name: str) -> None:
        project, repository = self._project, Git(self._project)
        commits = git("rev-list", f"{self._before}..HEAD", cwd=project).split()
        if len(commits) != 1:
            found.add("doubled" if commits else "lost", f"{len(commits)} commits")
        tags = [tag for tag in repository.tags() if tag.startswith(name) and repository.tagged(tag) == repository.head]
        if len(tags) != 2:
            found.add("lost" if len(tags) < 2 else "doubled", f"tags: {tags}")
        status = git("status", "--porcelain", cwd=project)
        if status:
            found.add("unclean", f"git status: {status}")
        left = [path.name for path in (project / ".git").glob("*.lock")]
        if left or (project / journal.FOLDER).exists():
            found.add("unclean", f"left in the project: {left or journal.FOLDER}")
        if repository.answer("fsck", "--connectivity-only", "--no-dangling"):
            found.add("unclean", repository.answer("fsck", "--connectivity-only", "--no-dangling"))
        digest = recorded_md5(project / "data" / "models" / name)
        remote = project / "data" / "models" / ".remote" / "files" / "md5" / str(digest)[:2] / str(digest)[2:]
        if not remote.exists():
            found.add("lost", f"{digest} is not in the DVC remote")

    def forget(self, place: Place) -> None:
        shutil.rmtree(place.folder)
        shutil.rmtree(self._base)


class PromotionOnServer(Promotion):
    """A first champion, of a name of its own, in a server's registry."""

    name = "promote-on-server"
    on_server = True


SUBJECTS: dict[str, type[Subject]] = {each.name: each for each in (Run, Sweep, Promotion, PromotionOnServer, Sync)}


def _artifacts(place: Place) -> bool:
    return any(place.folder.glob("mlartifacts/*/*/artifacts/*"))


def _published(place: Place, count: int) -> str:
    """How far publishing has come, of runs that have ended here."""
    there = balance.runs_of(MlflowClient(place.server), place.name)
    if not there:
        return "it is about to publish"
    whole = sum("sync.complete" in run.data.tags for run in there)
    return "it publishes" if whole < count else "it ends"
