"""Which recorded runs may be compared at all: same data, same rows held out and in each fold, same target and unit."""

from __future__ import annotations

from dataclasses import dataclass

from boston_exp.config.invocation import again
from boston_exp.errors import Fault, InvalidConfig
from boston_exp.tracking.protocol import History, RecordedRun

# Everything that has to be equal, as MLflow's search names it.
KEYS = ("tags.`data.md5`", "tags.`split.digest`", "params.`data.target`", "params.`data.target_unit`")
# Runs that were scored on the same held-out rows, whatever their folds.
HELD_OUT = (KEYS[0], KEYS[2], "params.`data.test_size`", "params.`data.split_seed`", "params.`data.n_test`")
FINISHED = "attributes.status = 'FINISHED'"


@dataclass(frozen=True)
class Group:
    """Runs that may be compared, by the newest of them."""

    newest: RecordedRun
    where: str  # the condition that they meet, in MLflow's search syntax

    @property
    def n_folds(self) -> int:
        return int(self.newest.params.get("evaluation.n_splits", "0"))

    @property
    def unit(self) -> str:
        """Of the target; empty where none is given."""
        return _unless_none(self.newest.params.get("data.target_unit"))

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
    found = _split(history, joined(FINISHED, where), KEYS)
    return sorted(found, key=lambda group: (not group.n_folds, -group.newest.start_time))


def consulted(history: History, run: RecordedRun) -> int:
    """How many runs, deleted ones included, were scored on the held-out rows of this one."""
    return history.count(joined(FINISHED, same_rows(run)))


def same_rows(run: RecordedRun) -> str:
    """The condition that runs meet whose held-out rows are those of this one."""
    return joined(*(equals(key, _value(run, key)) for key in HELD_OUT))


def unranked(history: History, where: str = "") -> int:
    """Runs that say nothing of their split: records of version 1, and those of other programs."""
    return history.count(joined(FINISHED, where, "tags.`split.digest` IS NULL", "tags.`sweep.key` IS NULL"))


def equals(key: str, value: str | None) -> str:
    """`key = value` in MLflow's search syntax; `key IS NULL` for None."""
    return f"{key} IS NULL" if value is None else f"{key} = {_quoted(value)}"


def joined(*conditions: str) -> str:
    return " and ".join(filter(None, conditions))


def _split(history: History, where: str, keys: tuple[str, ...]) -> list[Group]:
    """The groups of the runs that meet `where`, told apart by these keys in turn."""
    if not keys:
        newest = history.newest(where, top=1)
        return [Group(newest[0], where)] if newest else []
    key, *rest = keys
    found: list[Group] = []
    others = joined(where, f"{key} IS NOT NULL")
    while newest := history.newest(others, top=1):
        value = _value(newest[0], key)
        found += _split(history, joined(where, equals(key, value)), tuple(rest))
        others = joined(others, f"{key} != {_quoted(str(value))}")
    return found


def _value(run: RecordedRun, key: str) -> str | None:
    kind, name = key.replace("`", "").split(".", 1)
    return (run.tags if kind == "tags" else run.params).get(name)


def _quoted(value: str) -> str:
    for quote in "'\"":
        if quote not in value:
            return f"{quote}{value}{quote}"
    says = f"MLflow's search cannot be asked for {value}: it has both kinds of quotes in it."
    raise InvalidConfig(Fault(says, again("experiments=[<another>]")))


def _unless_none(text: str | None) -> str:
    return "" if text in (None, "None") else str(text)
