"""What there is to bring: the ended runs of a source, without those whose copy is known to be whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from mlflow import MlflowClient
from mlflow.entities import Experiment

from boston_exp.tracking.destination import PENDING, SERVER, SOURCE, STATE
from boston_exp.tracking.mlflow import compat
from boston_exp.tracking.mlflow.runs import COMPLETE, all_runs, of_all_pages
from boston_exp.tracking.publishing.experiments import ServerExperiments
from boston_exp.tracking.publishing.ledger import Unwritten
from boston_exp.tracking.publishing.shared import IN_DOUBT, PARENT, SERVER_ID
from boston_exp.tracking.synchronization import Entry, Plan

FEW = 200  # runs that a target is asked for one by one; for more, what it has is listed: 5 ms for each of its runs
AT_ONCE = 4  # questions
IN_A_LIST = 100  # ids in a condition
GOING_ON = ("RUNNING", "SCHEDULED")
COPIED = f"tags.`{SOURCE}` IS NOT NULL"


@dataclass(frozen=True)
class Row:
    """What is to be known of a run to see whether it has to be brought."""

    run_id: str
    experiment_id: str
    status: str
    end_time: int | None
    tags: dict[str, str]

    @property
    def origin(self) -> str:
        return self.tags.get(SOURCE, self.run_id)


def rows(client: MlflowClient, experiments: list[str], where: str, wanted: tuple[str, ...]) -> Iterator[Row]:
    """Of each run that meets the condition, the oldest first, with the wanted tags."""
    uri = str(client.tracking_uri)
    if not experiments:
        return
    if not uri.startswith("http"):
        yield from (Row(*found) for found in compat.listed(uri, experiments, where, wanted))
        return
    for run in all_runs(client, experiments, where, ["attributes.start_time ASC"]):
        info, tags = run.info, {name: value for name, value in run.data.tags.items() if name in wanted}
        yield Row(info.run_id, info.experiment_id, info.status, info.end_time, tags)


def all_experiments(client: MlflowClient) -> Iterator[Experiment]:
    """Every one that was not deleted."""
    yield from of_all_pages(lambda token: client.search_experiments(max_results=1000, page_token=token))


def named(client: MlflowClient, experiments: Sequence[str]) -> dict[str, str]:
    """Names of these experiments, of all without any, by their ids; those that there are."""
    if not experiments:
        return {each.experiment_id: each.name for each in all_experiments(client)}
    found = [client.get_experiment_by_name(name) for name in experiments]
    return {each.experiment_id: each.name for each in found if each is not None}


@dataclass
class Pending:
    """Of a store of this project, whose runs carry what was published where."""

    local: MlflowClient
    target: MlflowClient
    places: ServerExperiments
    server: str  # as runs name it

    def __call__(self, experiments: Sequence[str], where: str, everything: bool) -> Plan:
        names = named(self.local, experiments)
        for name in names.values():
            self.places.look(name)
        wanted = (PARENT, SOURCE, SERVER, STATE, SERVER_ID, *(IN_DOUBT + each for each in {*self.places.ids.values()}))
        found = list(rows(self.local, list(names), where, wanted))
        if everything:
            return _plan(found, names, lambda ended: _there(self.target, names, ended))
        waiting = [row for row in found if self._waits(row, names[row.experiment_id])]
        own = [row for row in found if SERVER not in row.tags and row.status not in GOING_ON]
        return replace(_plan(waiting, names, lambda ended: {}, found), unmeant=len(own))

    def _waits(self, row: Row, name: str) -> bool:
        server_id = self.places.ids.get(name, "-")
        elsewhere = row.tags.get(SERVER_ID) not in (None, server_id)  # its database is another one now
        is_its = row.tags.get(SERVER) == self.server and (row.tags.get(STATE) == PENDING or elsewhere)
        return is_its or IN_DOUBT + server_id in row.tags


@dataclass
class Foreign:
    """Of a store that is not written to: the target tells what it has; `ledger` is told."""

    source: MlflowClient
    target: MlflowClient
    ledger: Unwritten = field(default_factory=Unwritten)

    def __call__(self, experiments: Sequence[str], where: str, everything: bool) -> Plan:
        names = named(self.source, experiments)

        def there(ended: list[Row]) -> dict[str, str]:
            self.ledger.there = _there(self.target, names, ended)
            return self.ledger.there

        return _plan(list(rows(self.source, list(names), where, (PARENT, SOURCE))), names, there)


def _plan(
    found: list[Row],
    names: dict[str, str],
    there: Callable[[list[Row]], dict[str, str]],
    among: list[Row] | None = None,
) -> Plan:
    ended = [row for row in found if row.status not in GOING_ON]
    known = there(ended)
    todo = tuple(Entry(row.run_id, names[row.experiment_id]) for row in ended if row.origin not in known)
    parents = {row.tags[PARENT] for row in found if PARENT in row.tags}
    going_on = [row for row in among or found if row.status in GOING_ON]
    return Plan(todo, len(ended) - len(todo), len(going_on), parents=frozenset(parents))


def _there(target: MlflowClient, names: dict[str, str], ended: list[Row]) -> dict[str, str]:
    """Ids of whole copies in the target by the ids of their origins; of runs with two copies none."""
    places = list(named(target, list(names.values())))
    if not places or not ended:
        return {}
    wanted = (SOURCE, COMPLETE)
    from_there = {origin: origin for origin in _own(target, places, [row.origin for row in ended])}
    ended = [row for row in ended if row.origin not in from_there]
    if len(ended) <= FEW:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            conditions = [f"tags.`{SOURCE}` = '{row.origin}'" for row in ended]
            lists = threads.map(lambda where: list(rows(target, places, where, wanted)), conditions)
            copies = [copy for found in lists for copy in found]
    else:
        copies = list(rows(target, places, COPIED, wanted))
    ends = {row.origin: str(row.end_time) for row in ended}
    times = Counter(copy.tags[SOURCE] for copy in copies)
    return from_there | {
        origin: copy.run_id
        for copy in copies
        if times[origin := copy.tags[SOURCE]] == 1 and copy.tags.get(COMPLETE) == ends.get(origin, "-")
    }


def _own(target: MlflowClient, places: list[str], origins: list[str]) -> Iterator[str]:
    """Those of the ids that runs of the target have themselves."""
    for first in range(0, len(origins), IN_A_LIST):
        ids = ", ".join(f"'{origin}'" for origin in origins[first : first + IN_A_LIST])
        yield from (row.run_id for row in rows(target, places, f"attributes.run_id IN ({ids})", ()))
