"""The leaderboard on the screen, and its rows for machines."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

from rich.table import Table
from rich.text import Text

from boston_exp.config.invocation import for_services
from boston_exp.lifecycle.ranking.standings import Board, Boards, Standing
from boston_exp.redaction import printable
from boston_exp.reporting import numbers
from boston_exp.reporting.tables import fits, plain_table, print_rows, wide_console

MARK = "≈"  # cannot be told from the best
NAME, SHORTEST = 1, 20  # the column of names, and how narrow it may be
HEADINGS = {"model._target_": "model"}


def show(found: Boards, form: str) -> None:
    """Print all tables; `form` is table, json, csv or markdown."""
    rows = [_row(board, standing) for board in found.boards for standing in board.standings]
    print_rows(_filled(rows), form, lambda: _drawn(found), name="runs", about={"unranked": found.unranked})


def _filled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same keys for all, in the order in which they first come up."""
    keys = dict.fromkeys(key for row in rows for key in row)
    return [{key: row.get(key) for key in keys} for row in rows]


def _row(board: Board, standing: Standing) -> dict[str, Any]:
    entry, run, name = standing.entry, standing.entry.newest, board.metric.name
    return {
        "rank": standing.rank,
        "like_the_best": standing.contends,
        "name": run.name,
        "aliases": " ".join(standing.aliases),
        "ranked_by": board.column,
        "score": entry.score,
        "fold_spread": _finite(standing.fold_spread),
        "seeds": len(entry.runs),
        "seed_spread": _finite(entry.seed_spread),
        "held_out": _finite(entry.mean(name)),
        "held_out_low": _finite(entry.mean(f"{name}_ci_low")),
        "held_out_high": _finite(entry.mean(f"{name}_ci_high")),
        "unit": board.metric.unit_of(board.group.unit),
        "run_id": run.run_id,
        "started": run.start_time,
        "target": run.params.get("data.target"),
        "data.md5": run.tags["data.md5"],
        "split.digest": run.tags["split.digest"],
        "commit": run.tags.get("mlflow.source.git.commit"),
        "git.dirty": run.tags.get("git.dirty") == "true",
        "consulted": board.consulted,
        **{each: run.params.get(each) for each in board.params},
    }


def _drawn(found: Boards) -> list[Any]:
    parts: list[Any] = []
    for board in found.boards:
        parts += [*([""] if parts else []), Text(board.group.says, style="bold"), _fitting(board), *_said(board)]
    if found.newest_unranked:
        command = for_services("run", f"base={found.newest_unranked.run_id}")
        parts.append(
            f"{found.unranked} more runs do not say which rows they were scored on (records of version 1, or of another"
            f" program): not ranked. The newest of them is trained again by: {command}"
        )
    return parts


def _fitting(board: Board) -> Table:
    """The widest table that fits. A narrow one has the params behind the name, and leaves out what is mostly alike; a
    brief one has neither intervals nor ages."""
    console = wide_console()
    wide, narrow = _table(board), _table(board, narrow=True)
    if fits(wide, console):
        return wide
    if fits(narrow, console, narrow.columns[NAME], SHORTEST):
        return narrow
    return _table(board, narrow=True, brief=True)


def _table(board: Board, narrow: bool = False, brief: bool = False) -> Table:
    """One row an entry."""
    unit = board.metric.unit_of(board.group.unit)
    label = board.metric.label + (f",{chr(10) if narrow else ' '}{unit}" if unit else "")
    has_seeds = any(len(standing.entry.runs) > 1 for standing in board.standings)
    table = plain_table()
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("name", overflow="fold", min_width=12 if brief else SHORTEST)
    if board.group.n_folds:
        table.add_column(f"{label}:\nfolds ± spread", justify="right", no_wrap=True)
    if has_seeds:
        table.add_column("seeds\n± spread", justify="right", no_wrap=True)
    interval = "" if brief else "(95 % interval)"
    heading = f"held out\n{interval}" if board.group.n_folds else f"{label}:\nheld out {interval}"
    table.add_column(heading, justify="right", no_wrap=True)
    for name in () if narrow else board.params:
        heading = HEADINGS.get(name, name.removeprefix("model."))
        table.add_column(heading, justify="right", overflow="fold", min_width=len(heading), no_wrap=name in HEADINGS)
    for heading in ("id",) if brief else ("age", "id") if narrow else ("data", "commit", "age", "id"):
        table.add_column(heading, no_wrap=True, min_width=8 if heading == "id" else None)
    shown = _shown_params(board)
    for standing in board.standings:
        table.add_row(*_cells(board, standing, has_seeds, shown, narrow, brief))
    return table


def _cells(
    board: Board, standing: Standing, has_seeds: bool, shown: dict[str, dict[str, str]], narrow: bool, brief: bool
) -> Iterator[str]:
    entry, run, name = standing.entry, standing.entry.newest, board.metric.name
    yield f"{standing.rank} {MARK if standing.contends else '?' if standing in board.unknown else ' '}"
    values = {each: shown[each][run.params.get(each, "")] for each in board.params}
    own = (f"{each.removeprefix('model.')}={value}" for each, value in values.items() if value and each not in HEADINGS)
    told_apart = (*board.params, *(["seed"] if len(entry.runs) > 1 else []))
    promoted = (f"@{alias.rpartition('@')[2]}" for alias in standing.aliases)
    yield " ".join([_plain_name(run.name, told_apart), *(own if narrow else ()), *promoted])
    if board.group.n_folds:
        yield numbers.plus_minus(entry.score, standing.fold_spread)
    if has_seeds:
        yield f"{len(entry.runs)} ± {entry.seed_spread:.2g}" if len(entry.runs) > 1 else "1"
    interval = {each: entry.mean(each) for each in (f"{name}_ci_low", f"{name}_ci_high")}
    known = {each: value for each, value in interval.items() if math.isfinite(value)}
    yield numbers.held_out({name: entry.mean(name), **({} if brief else known)}, name)
    if not narrow:
        yield from values.values()
        dirty = "+" if run.tags.get("git.dirty") == "true" else ""
        yield from (run.tags["data.md5"][:8], run.tags.get("mlflow.source.git.commit", "")[:7] + dirty)
    yield from (() if brief else (age(run.start_time),))
    yield run.run_id[:8]


def _shown_params(board: Board) -> dict[str, dict[str, str]]:
    """For each param its values as they are shown: shortened, unless two of them would look the same."""
    shown = {}
    for name in board.params:
        values = {standing.entry.newest.params.get(name, "") for standing in board.standings}
        short = {value: _short(value) for value in values}
        shown[name] = short if len(set(short.values())) == len(values) else {value: value for value in values}
    return shown


def _said(board: Board) -> list[str]:
    """What the table does not say by itself."""
    said, shown = [], len(board.standings)
    if not board.group.n_folds:
        command = for_services("run", f"base={board.standings[0].entry.newest.run_id[:8]}", "evaluation=cv")
        said.append(
            "Ranked by the held-out rows, since these runs have no folds: whoever chooses by this table makes its best"
            f" score optimistic, and it is not comparable with a mean over folds. {command}"
        )
    elif shown > 1:
        said.append(
            f"{MARK} {board.contenders} of {shown} cannot be told from the best: a max-t test of out-of-fold errors of"
            f" {board.group.newest.params.get('data.n_train')} rows at 5 %, corrected for {shown} entries and for folds"
            " that share training rows. It takes these fits as they are: another seed may rank them otherwise."
        )
    if board.unknown:
        said.append(f"? {len(board.unknown)} without out-of-fold predictions: whether they can be told is not known.")
    if board.unscored:
        said.append(f"{board.unscored} runs of this group have no {board.column}.")
    said.append(
        f"{'1 run has' if board.consulted == 1 else f'{board.consulted} runs have'} consulted these held-out rows:"
        " the more, the more optimistic the best of them."
    )
    return said


def age(start_time: int) -> str:
    """Of a run that started at this time, in ms since 1970: `5 min`, `3 h`, `12 d`."""
    minutes = max(0.0, time.time() - start_time / 1000) / 60
    if minutes < 60:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.0f} h" if minutes < 48 * 60 else f"{minutes / 1440:.0f} d"


def _plain_name(name: str, params: tuple[str, ...]) -> str:
    """Without the `max_depth=10` that have a column of their own."""
    shown = {each.removeprefix("model.") for each in params}
    return " ".join(word for word in name.split() if word.partition("=")[0] not in shown)


def _short(value: str) -> str:
    """Four significant digits; of a class its own name."""
    try:
        number = float(value)
    except ValueError:
        value = printable(value)
        return value.rpartition(".")[2] if value.replace(".", "").replace("_", "").isalnum() else value
    return value if number.is_integer() or len(value) <= 6 else f"{number:.4g}"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
