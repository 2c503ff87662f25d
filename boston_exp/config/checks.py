"""What is known to be wrong from the configuration alone: ranges, files, targets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from boston_exp.config import targets
from boston_exp.config.invocation import again, current, sweeps
from boston_exp.config.marks import mark_faults
from boston_exp.config.parsing import source_faults
from boston_exp.config.schema import Config, Data, Evaluation, Range
from boston_exp.errors import Fault, Kind, did_you_mean, nearest

LONGEST_NAME = 100


def _at_least(low: int, example: int, null: bool = False, share: bool = False) -> Range:
    says = f"a whole number of at least {low}" + (" or null" if null else "") + (", or a share such as 0.1" * share)
    return Range(says, low=low, whole=True, null=null, share=share, example=example)


def _positive(example: float) -> Range:
    return Range("a number above 0", low=0, open_low=True, example=example)


def _not_negative(example: float) -> Range:
    return Range("a number of at least 0", low=0, example=example)


# scikit-learn uses one name for one thing, so ranges can be checked by name, before its 1.4 s import;
# each estimator's own, complete constraints are checked once it is imported (experiment/models.py).
HYPERPARAMETERS = {
    "n_estimators": _at_least(1, 100),
    "max_depth": _at_least(1, 10, null=True),
    "max_iter": _at_least(1, 1000),
    "max_leaf_nodes": _at_least(2, 31, null=True),
    "n_neighbors": _at_least(1, 5),
    "min_samples_split": _at_least(2, 5, share=True),
    "min_samples_leaf": _at_least(1, 2, share=True),
    "learning_rate": _positive(0.1),
    "subsample": Range("a share above 0, at most 1", 0, 1, open_low=True, example=0.8),
    "l1_ratio": Range("a number from 0 to 1", 0, 1, example=0.5),
    "alpha": _not_negative(1.0),
    "l2_regularization": _not_negative(0.1),
    "C": _positive(1.0),
    "epsilon": _not_negative(0.1),
}


def faults(config: Config) -> list[Fault]:
    """All that is known to be wrong before any heavy import."""
    return [
        *out_of_range("", config),
        *_name_faults(config.name),
        *_report_faults(config.report),
        *_model_faults(config),
        *_split_faults(config),
        *targets.faults(config),
        *source_faults(config.data),
        *_file_faults(config.data),
    ]


def _fault(key: str, value: object, rule: str, example: object) -> Fault:
    shown = "null" if value is None else value
    return Fault(f"{key}={shown} is not possible: {rule}.", again(f"{key}={example}"), Kind.VALUE)


def out_of_range(prefix: str, node: Any) -> Iterator[Fault]:
    """Settings that are outside of what their schema allows."""
    for item in fields(node):
        value = getattr(node, item.name)
        key = prefix + item.name
        allowed = item.metadata.get("range")
        choices = item.metadata.get("choices")
        if is_dataclass(value):
            yield from out_of_range(f"{key}.", value)
        elif allowed and not allowed.holds(value):
            yield _fault(key, value, f"it has to be {allowed.says}", "null" if item.default is None else item.default)
        elif choices and value not in choices:
            known = [each for each in choices if each]
            yield _fault(key, value, f"choose one of {', '.join(known)}", nearest(str(value), known) or known[0])
    if isinstance(node, Data):
        yield from mark_faults(node)
    if isinstance(node, Evaluation) and node.n_splits == 1:
        yield _fault("evaluation.n_splits", 1, "it has to be 0 (no folds) or at least 2", 5)
    if isinstance(node, Evaluation) and 0 < node.n_resamples < 100:
        yield _fault("evaluation.n_resamples", node.n_resamples, "it has to be 0 or at least 100", 1000)


def _name_faults(name: str | None) -> Iterator[Fault]:
    if name is not None and not (name.isprintable() and 0 < len(name.strip()) <= LONGEST_NAME):
        yield _fault("name", repr(name)[:40], f"it has to have 1 to {LONGEST_NAME} printable characters", "deep-forest")


def _report_faults(report: str | None) -> Iterator[Fault]:
    """What would keep the report from being written, known before hours of training."""
    if report is None:
        return
    file, possible = Path(report), False
    with suppress(OSError):  # a name that is too long
        existing = next(each for each in (file.parent, *file.parents) if each.exists())
        possible = not file.is_dir() and existing.is_dir() and os.access(existing, os.W_OK)
    if not possible:
        yield Fault(f"report={file} cannot be written there.", again("report=report.html"), Kind.VALUE)


def _model_faults(config: Config) -> Iterator[Fault]:
    target = config.model.get("_target_")
    if not isinstance(target, str):
        yield Fault("model has no _target_.", again("model=random_forest", without=["model"]))
        return
    if target.startswith("sklearn."):
        for name, value in config.model.items():
            allowed = HYPERPARAMETERS.get(name)
            if allowed and not allowed.holds(value):
                yield _fault(f"model.{name}", value, f"it has to be {allowed.says}", allowed.example)


def _split_faults(config: Config) -> Iterator[Fault]:
    """Ways to split that exclude each other."""
    data, evaluation = config.data, config.evaluation
    if config.explain and sweeps(current().flags):
        yield Fault("explain=true trains nothing, so it does not sweep.", again(multirun=False))
    named = {key: value for key in ("group", "time", "weight") if (value := getattr(data, key)) is not None}
    for key, column in named.items():
        if column == data.target:
            yield Fault(f"data.{key}={column} is the target.", again(without=[f"data.{key}"]))
    if data.group is not None and data.time is not None:
        says = "data.group and data.time exclude each other: rows are held out by whole groups, or the latest."
        yield Fault(says, again(without=["data.group"]) + "   (or without data.time)")
    if data.time is not None and evaluation.stratify:
        says = "evaluation.stratify=true and data.time exclude each other: which rows are the latest is given."
        yield Fault(says, again(without=["evaluation.stratify"]))
    if data.time is not None and evaluation.n_repeats > 1:
        says = f"evaluation.n_repeats={evaluation.n_repeats}: with data.time there is one way to fold forward."
        yield Fault(says, again("evaluation=cv", without=["evaluation"]))
    if evaluation.n_repeats > 1 and not evaluation.n_splits:
        says = f"evaluation.n_repeats={evaluation.n_repeats} repeats folds, and there are none."
        yield Fault(says, again("evaluation=repeated_cv", without=["evaluation"]))


def _file_faults(data: Data) -> Iterator[Fault]:
    if data.path is None:
        return
    if data.header and data.columns:
        yield Fault("data.columns names the columns of a file without a header.", again("data.header=false"))
    path = Path(data.path)
    if path.is_dir():
        yield Fault(f"data.path={path} is a folder.", f"ls {path}   (then give data.path=<file>)")
    elif not path.is_file() and not path.with_name(path.name + ".dvc").is_file():
        nearby = [entry.name for entry in path.parent.glob(f"*{path.suffix}")] if path.parent.is_dir() else []
        folder = path.parent if path.parent.is_dir() else Path.cwd()
        yield Fault(
            f"data.path={path} does not exist.{did_you_mean(path.name, nearby)}",
            f"ls {folder}   (then give data.path=<file>)",
        )
