"""What a run would make of a table: what each column is taken for and why, what it becomes, which rows are held out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from boston_exp.config.invocation import again
from boston_exp.config.schema import Config
from boston_exp.config.settings import Typed
from boston_exp.experiment import dataset as datasets
from boston_exp.experiment.dataset import Dataset
from boston_exp.experiment.roles import resolved
from boston_exp.experiment.split import Split, split_rows
from boston_exp.reporting.tables import labelled, narrow_console, plain_table
from boston_exp.reporting.terminal import said_of_table
from boston_exp.storage import dvc_remote

SHOWN = 200  # columns


def explain(config: Config, typed: Typed) -> None:
    """Print it; nothing is trained or recorded. Raises InvalidData for a table that cannot be learnt from."""
    if config.data.path is not None:
        dvc_remote.fetch_if_missing(Path(config.data.path), config.storage, typed)
    dataset = datasets.load(config)
    rows = split_rows(dataset, config)
    console = narrow_console()
    if not console.is_terminal:
        console.width = 160
    table = plain_table()
    for heading in ("column", "role", "gaps", "becomes", "because"):
        table.add_column(heading, justify="right" if heading == "gaps" else "left", overflow="fold")
    steps = _steps(config.preprocess, dataset)
    for name, role in list(dataset.roles.items())[:SHOWN]:
        gaps = int(dataset.table[name].isna().sum())
        becomes = steps.get(name, "as it is") if name in dataset.X.columns else "left out"
        table.add_row(name, role.name, f"{gaps:,}" if gaps else "", becomes, role.reason)
    console.print(table)
    if len(dataset.roles) > SHOWN:
        print(f"… and {len(dataset.roles) - SHOWN:,} columns more")
    for label, text in (*said_of_table(dataset), *_lines(config, dataset, rows)):
        print(labelled(label, text))
    print(labelled("next", again(without=["explain"]), is_command=True))


def _lines(config: Config, dataset: Dataset, rows: Split) -> Iterator[tuple[str, str]]:
    taken = Counter(role.name for name, role in dataset.roles.items() if name in dataset.X.columns)
    yield "features", ", ".join(f"{number:,} of role {role}" for role, number in taken.items())
    yield "target", f"{dataset.label}, {dataset.y.min():.4g} to {dataset.y.max():.4g} in {len(dataset.y):,} rows"
    data, evaluation = config.data, config.evaluation
    how = "at random"
    if data.group is not None:
        how = f"whole groups of {data.group}"
    elif data.time is not None:
        how = f"the latest by {data.time}"
    if evaluation.stratify:
        how += ", of every part of the target's range"
    yield "split", f"{len(rows.X_train):,} rows to train on, {len(rows.X_test):,} held out ({how})"
    if evaluation.n_splits:
        forward = " forward in time" if data.time is not None else ""
        repeats = f", {evaluation.n_repeats} times" if evaluation.n_repeats > 1 else ""
        yield "folds", f"{evaluation.n_splits}{forward}{repeats}"
    if data.weight is not None:
        yield "weights", f"of {data.weight}, in fit, metrics, intervals and importance"


def _steps(preprocess: Mapping[str, Any], dataset: Dataset) -> dict[str, str]:
    """The classes that a column goes through, where the preprocess names columns."""
    found: dict[str, str] = {}
    transformers = resolved(preprocess, dataset.roles).get("transformers", [])
    for item in transformers if isinstance(transformers, list) else []:
        if isinstance(item, list) and len(item) == 3 and isinstance(item[2], list):
            found |= dict.fromkeys(item[2], " + ".join(_classes(item[1])))
    return found


def _classes(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict) and "steps" in node:
        for step in node["steps"]:
            yield from _classes(step[1])
    elif isinstance(node, dict) and isinstance(node.get("transformer"), dict):
        yield from _classes(node["transformer"])
    elif isinstance(node, dict):
        yield " ".join(filter(None, [str(node.get("_target_")).rpartition(".")[2], node.get("strategy")]))
