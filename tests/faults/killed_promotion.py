"""Promotions that are killed, in a project of their own under git and DVC."""

from __future__ import annotations

import shutil
from pathlib import Path

from mlflow import MlflowClient

from boston_exp.lifecycle.promotion import journal
from boston_exp.storage.dvc_file import recorded_md5
from boston_exp.storage.git import Git
from tests.conftest import ROOT, git
from tests.faults import balance, forked
from tests.faults.balance import Balance
from tests.faults.forked import Command
from tests.faults.killed_commands import NAME, Place


class Promotion:
    """A promotion in a project of its own, under git and DVC. In a local store the second champion is promoted."""

    name = "promote"
    share = 7
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
    share = 5
    on_server = True
