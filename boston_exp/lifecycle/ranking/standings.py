"""The leaderboard: the best entries of each group of comparable runs, and which cannot be told from the best."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from boston_exp.config.invocation import again, for_services
from boston_exp.errors import Fault, InvalidConfig
from boston_exp.experiment.metrics import Metric
from boston_exp.lifecycle import evidence
from boston_exp.lifecycle.evidence import AT_ONCE, OUT_OF_FOLD, fold_scores, out_of_fold_losses, rows_of
from boston_exp.lifecycle.ranking.contention import contenders, overlap_factor
from boston_exp.lifecycle.ranking.entries import Entry, column_of, differing_params, ranked, without_score
from boston_exp.lifecycle.ranking.groups import Group, consulted, groups, unranked
from boston_exp.tracking.recorded import History, RecordedRun


@dataclass(frozen=True)
class Standing:
    """An entry with its rank; `contends` is None where that cannot be known."""

    rank: int
    entry: Entry
    fold_spread: float  # standard deviation of the score over folds (ddof=1), mean over seeds
    contends: bool | None
    aliases: tuple[str, ...] = ()  # in the model registry, `<name>@<alias>`


@dataclass(frozen=True)
class Board:
    """The best of one group."""

    group: Group
    metric: Metric
    column: str  # the metric that is ranked by
    standings: tuple[Standing, ...]
    params: tuple[str, ...]  # in which those shown differ
    consulted: int  # runs that were scored on these held-out rows
    unscored: int  # runs of the group without this metric

    @property
    def contenders(self) -> int:
        return sum(standing.contends is True for standing in self.standings)

    @property
    def unknown(self) -> list[Standing]:
        """Without out-of-fold predictions of all their runs, where there are folds."""
        return [standing for standing in self.standings if standing.contends is None and self.group.n_folds]


@dataclass(frozen=True)
class Boards:
    """All of them, those with folds first, the newest first; `unranked` runs have no record of their split."""

    boards: tuple[Board, ...]
    unranked: int
    newest_unranked: RecordedRun | None


def boards(history: History, metric: Metric, top: int, where: str = "") -> Boards:
    """Rank every group of the FINISHED runs that meet the condition.

    Raises InvalidConfig where there is nothing to rank.
    """
    chosen = groups(history, where)
    everything = groups(history) if where else chosen
    with ThreadPoolExecutor(AT_ONCE) as pool:
        sizes = dict(zip(everything, pool.map(lambda group: history.count(group.where), everything), strict=True))
        found = tuple(pool.map(lambda group: _board(history, group, metric, top, sizes), chosen))
    aliases = history.aliases()
    found = tuple(_with_aliases(board, aliases) for board in found if board.standings)
    left, newest = unranked(history, where)
    if not found:
        raise InvalidConfig(_nothing(left, newest, metric, where))
    return Boards(found, left, newest)


def best_run(history: History, metric: Metric, where: str = "") -> Entry | None:
    """What `best` names: the first of the first table."""
    for group in groups(history, where):
        entries = ranked(history, group, metric, top=1)
        if entries:
            return entries[0]
    return None


def _with_aliases(board: Board, known: dict[str, list[str]]) -> Board:
    def of(standing: Standing) -> tuple[str, ...]:
        return tuple(alias for run in standing.entry.runs for alias in known.get(run.run_id, ()))

    return replace(board, standings=tuple(replace(each, aliases=of(each)) for each in board.standings))


def _board(history: History, group: Group, metric: Metric, top: int, sizes: dict[Group, int]) -> Board:
    column = column_of(group, metric)
    entries = ranked(history, group, metric, top)
    standings = _standings(history, group, metric, entries)
    params = tuple(differing_params(entries))
    size = sizes[group] if group in sizes else history.count(group.where)
    unscored = without_score(history, group, column, size)
    return Board(group, metric, column, standings, params, consulted(sizes, group.newest), unscored)


def _standings(history: History, group: Group, metric: Metric, entries: list[Entry]) -> tuple[Standing, ...]:
    if not group.n_folds:
        return tuple(Standing(rank, entry, math.nan, None) for rank, entry in enumerate(entries, 1))
    ids = [run.run_id for entry in entries for run in entry.runs]
    tables = evidence.tables(history, ids, OUT_OF_FOLD)
    first = next((run_id for run_id, table in tables.items() if table is not None), None)
    rows = tables[first] if first is not None else None
    known = [_evidence([tables[run.run_id] for run in entry.runs], rows, metric) for entry in entries]
    losses = [each[1] for each in known if each]
    kept: Iterator[np.bool] = iter(())
    if first is not None and rows is not None and losses:
        n_folds = rows["fold"].nunique() * rows["row"].nunique() / len(rows)  # of one repetition
        factor = overlap_factor(n_folds, evidence.overlaps(history, [first])[first])
        kept = iter(contenders(np.column_stack(losses), factor, **evidence.design(rows)))
    return tuple(
        Standing(rank, entry, each[0], bool(next(kept)))
        if each
        else Standing(rank, entry, entry.mean(f"cv_{metric.name}_std"), None)
        for rank, (entry, each) in enumerate(zip(entries, known, strict=True), 1)
    )


def _evidence(
    tables: list[pd.DataFrame | None], rows: pd.DataFrame | None, metric: Metric
) -> tuple[float, np.ndarray] | None:
    """Spread over folds and losses by row of an entry, means over its seeds; None unless all of its tables have the
    rows of this one, in the same folds, with the same weights."""
    found = [
        table for table in tables if table is not None and rows is not None and rows_of(rows).equals(rows_of(table))
    ]
    if len(found) < len(tables):
        return None
    spread = float(np.mean([np.std(fold_scores(table, metric), ddof=1) for table in found]))
    return spread, np.mean([out_of_fold_losses(table, metric) for table in found], axis=0)


def _nothing(left: int, newest: RecordedRun | None, metric: Metric, where: str) -> Fault:
    if newest:
        says = f"{left} runs are here, and none says which rows it was scored on: records of version 1 do not."
        return Fault(says, f"{for_services('run', f'base={newest.run_id}')}   (trains the newest again)")
    if where:
        return Fault(f"No finished run with {metric.name} meets {where}.", again(without=["filter", "sweep"]))
    return Fault("There is no finished run here.", for_services("run", "evaluation=cv"))
