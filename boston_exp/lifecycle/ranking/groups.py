"""Which recorded runs may be compared at all: same data, same rows held out and in each fold, same target and unit."""

from __future__ import annotations

from dataclasses import dataclass

from boston_exp.config.invocation import for_services
from boston_exp.errors import Fault, InvalidConfig
from boston_exp.tracking.recorded import COMPETES, FINISHED, SCORED, History, RecordedRun, joined

# Everything that has to be equal, as MLflow's search names it.
KEYS = ("tags.`data.md5`", "tags.`split.digest`", "params.`data.target`", "params.`data.target_unit`")
# Runs that were scored on the same held-out rows, whatever their folds.
HELD_OUT = (KEYS[0], KEYS[2], "params.`data.test_size`", "params.`data.split_seed`", "params.`data.n_test`")


@dataclass(frozen=True, eq=False)
class Group:
    """Runs that may be compared, by the newest of them."""

    newest: RecordedRun
    where: str  # the condition that they meet, in MLflow's search syntax
    asked: str  # of it what was asked for: of the runs that meet this, the group is a part

    def has(self, run: RecordedRun) -> bool:
        """Whether a run belongs to it."""
        return all(value(run, key) == value(self.newest, key) for key in KEYS)

    @property
    def n_folds(self) -> int:
        text = self.newest.params.get("evaluation.n_splits", "0")
        return int(text) if text.isdigit() else 0

    @property
    def unit(self) -> str:
        """Of the target; empty where none is given."""
        return self.newest.param("data.target_unit")

    @property
    def says(self) -> str:
        """One line: table, target, unit, rows."""
        params, tags = self.newest.params, self.newest.tags
        unit = f" in {self.unit}" if self.unit else ""
        folds = f" in {self.n_folds} folds" if self.n_folds else ""
        return (
            f"{tags.get('dataset')} (data {tags['data.md5'][:8]}), {params.get('data.target')}{unit}: "
            f"{params.get('data.n_train')} rows to train on{folds}, {params.get('data.n_test')} held out "
            f"(split {tags['split.digest'][:8]})"
        )


def groups(history: History, where: str = "") -> list[Group]:
    """Of the FINISHED runs that meet the condition, those with folds first, then the newest first.

    Each is found by asking for the newest run that is in none of those that are known.
    """
    asked = joined(FINISHED, where, COMPETES)
    found = [Group(run, condition, asked) for run, condition in _split(history, asked, KEYS)]
    return sorted(found, key=lambda group: (not group.n_folds, -group.newest.start_time))


def consulted(sizes: dict[Group, int], run: RecordedRun) -> int:
    """How many runs, deleted ones included, were scored on the held-out rows of this one, whatever their folds; `sizes`
    has how many runs each group of the history has."""
    return sum(
        size for group, size in sizes.items() if all(value(group.newest, key) == value(run, key) for key in HELD_OUT)
    )


def same_rows(run: RecordedRun) -> str:
    """The condition that runs meet whose held-out rows are those of this one."""
    return joined(*(equals(key, value(run, key)) for key in HELD_OUT))


def unranked(history: History, where: str = "") -> tuple[int, RecordedRun | None]:
    """How many runs say nothing of their split, and the newest of them: records of version 1, or of other programs."""
    condition = joined(
        FINISHED, where, "tags.`split.digest` IS NULL", "tags.`sweep.key` IS NULL", f"tags.`{SCORED}` IS NULL", COMPETES
    )
    newest = history.newest(condition, top=1)
    return (history.count(condition), newest[0]) if newest else (0, None)


def equals(key: str, value: str | None) -> str:
    """`key = value` in MLflow's search syntax; `key IS NULL` for None."""
    return f"{key} IS NULL" if value is None else f"{key} = {_quoted(value)}"


def _split(history: History, where: str, keys: tuple[str, ...]) -> list[tuple[RecordedRun, str]]:
    """The newest run and the condition of each group of the runs that meet `where`, told apart by these keys in turn.

    A key that has one value alone is no part of the condition: each part costs a join over all runs.
    """
    if not keys:
        return [(run, where) for run in history.newest(where, top=1)]
    key, *rest = keys
    values: list[str | None] = []
    others = joined(where, f"{key} IS NOT NULL")
    while newest := history.newest(others, top=1):
        found = str(value(newest[0], key))
        values.append(found)
        others = joined(others, f"{key} != {_quoted(found)}")
    without = bool(history.newest(joined(where, f"{key} IS NULL"), top=1))
    if len(values) == 1 and not without:
        return _split(history, where, tuple(rest))
    if without and key.startswith("params"):  # without a tag a run says nothing of its data or split
        values.append(None)
    return [group for each in values for group in _split(history, joined(where, equals(key, each)), tuple(rest))]


def value(run: RecordedRun, key: str) -> str | None:
    """What a run has for one of the keys."""
    kind, name = key.replace("`", "").split(".", 1)
    return (run.tags if kind == "tags" else run.params).get(name)


def _quoted(value: str) -> str:
    for quote in "'\"":
        if quote not in value:
            return f"{quote}{value}{quote}"
    says = f"MLflow's search cannot be asked for {value}: it has both kinds of quotes in it."
    raise InvalidConfig(Fault(says, for_services("leaderboard", "experiments=[<another>]")))
