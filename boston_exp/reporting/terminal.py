"""The one screen after a run: what was trained on what, how good it is, where it is recorded, what to type next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from boston_exp.experiment.checks.finding import Finding
from boston_exp.experiment.dataset import Dataset
from boston_exp.experiment.metrics import METRICS
from boston_exp.experiment.split import Split
from boston_exp.reporting import numbers
from boston_exp.reporting.tables import WARNING, fits, narrow_console, plain_table

MOST = 200  # columns that are spoken of one by one


def show_run(
    name: str,
    dataset: Dataset,
    rows: Split,
    metrics: Mapping[str, float],
    columns: int | None = None,
    importance: str = "",
) -> None:
    """Print what was trained and its scores; intervals and folds only where the evaluation made them. `columns` are
    those that the preprocess makes of the features, where that is known; `importance` says how it was bounded."""
    console = narrow_console()
    changed = " (changed: not the file that its .dvc records)" if dataset.changed else ""
    said = (
        f": {len(rows.X_train):,} rows to train on, {len(rows.X_test):,} held out, {_features(dataset, columns)}, "
        f"fit in {metrics['fit_seconds']:.2f} s"
    )
    sentence = Text.assemble((name, "bold"), f" on {dataset.name}", (changed, WARNING), said)
    console.print(sentence, soft_wrap=not console.is_terminal)
    for label, text in said_of_table(dataset):
        console.print(f"{label:<11} {text}", soft_wrap=not console.is_terminal)
    if importance:
        console.print(f"importance  {importance}", soft_wrap=True)
    if "rmse_ci_low" in metrics and not numbers.has_interval(metrics):
        console.print("interval    none: the held-out rows are one group or one stretch of time", soft_wrap=True)
    console.print(_widest(_tables(metrics, dataset.unit), console))


def _features(dataset: Dataset, columns: int | None) -> str:
    number = dataset.X.shape[1]
    return f"features {number:,} -> {columns:,} columns" if columns not in (None, number) else f"{number:,} features"


def said_of_table(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """What was found in the file, and what of it is not learnt from; nothing of a table that is as it was described."""
    if dataset.found.says:
        yield "read as", dataset.found.says
    if dataset.without_target:
        yield "left out", f"{dataset.without_target:,} rows without a target"
    if dataset.left_out:
        yield "left out", _left_out(dataset)
    for name, role in list(dataset.roles.items())[:MOST]:
        if role.hint:
            yield "look at", f"{name}: {role.hint}"


def _left_out(dataset: Dataset) -> str:
    """Columns by what they are taken for."""
    by_role: dict[str, list[str]] = {}
    for name, role in dataset.left_out.items():
        by_role.setdefault(role.name, []).append(name)
    told = [f"{role} {', '.join(names[:8])}{', …' if len(names) > 8 else ''}" for role, names in by_role.items()]
    return f"{'; '.join(told)}   (explain=true says why, data.roles decides otherwise)"


def show_findings(found: Iterable[Finding]) -> None:
    """Print what the checks have found, each with what to do about it; nothing where they have found nothing."""
    for finding in found:
        sentence = Text.assemble((f"{finding.code:<11} ", WARNING), finding.says)
        narrow_console().print(sentence, soft_wrap=True)
        narrow_console().print(f"{'':<11} {finding.mend}", soft_wrap=True, markup=False)


def _tables(metrics: Mapping[str, float], unit: str) -> Iterator[Table]:
    """The scores, the widest table first: a narrow terminal does without units, then training rows, then intervals."""
    yield _table(metrics, unit)
    yield _table(metrics, None)
    yield _table(metrics, None, ("interval", "folds"))
    yield _table(metrics, None, ("folds",))
    yield _table(metrics, None, ())


def _widest(found: Iterator[Table], console: Console) -> Table:
    """The first that fits, else the last."""
    for table in found:
        if fits(table, console):
            break
    return table


def _table(
    metrics: Mapping[str, float], unit: str | None, columns: tuple[str, ...] = ("interval", "folds", "training")
) -> Table:
    """With a column for units, unless `unit` is None."""
    table = plain_table()
    table.add_column("", no_wrap=True)
    table.add_column("held out", justify="right", no_wrap=True)
    headings = {"interval": "95 % interval", "folds": "folds ± spread", "training": "training"}
    made = {"interval": numbers.has_interval(metrics), "folds": "cv_rmse" in metrics, "training": True}
    columns = tuple(each for each in columns if made[each])
    for each in columns:
        table.add_column(headings[each], justify="right", no_wrap=True)
    if unit is not None:
        table.add_column("", no_wrap=True)
    for metric in METRICS:
        name = metric.name
        label = f"{metric.label} %" if unit is None and metric.unit == "%" else metric.label
        cells = [label, numbers.score(metrics[name])]
        for each in columns:
            if each == "interval":
                cells.append(numbers.interval(metrics[f"{name}_ci_low"], metrics[f"{name}_ci_high"]))
            elif each == "folds":
                cells.append(numbers.over_folds(metrics, name))
            else:
                cells.append(numbers.score(metrics[f"train_{name}"]))
        table.add_row(*cells, *([] if unit is None else [metric.unit_of(unit)]))
    return table


def show_id(run_id: str | None) -> None:
    """Print a run's id alone, for scripts."""
    if run_id:
        print(run_id)


def show_reused(name: str, metrics: Mapping[str, float]) -> None:
    """With skip_finished=true: this very experiment is recorded already."""
    scores = ", ".join(f"{metric.label} {numbers.score(metrics[metric.name])}" for metric in METRICS)
    sentence = Text.assemble((name, "bold"), f" is recorded already, nothing was trained: {scores}")
    narrow_console().print(sentence, soft_wrap=True)


def show_record(where: str, run_id: str | None, next_command: str | None) -> None:
    """Print where the record is, its id and what shows it, each where there is one."""
    steps = (next_command or "").splitlines()
    lines = [("recorded in", where), ("run id", run_id)]
    lines += [("next" if number == 0 else "", step) for number, step in enumerate(steps)]
    for heading, value in lines:
        if value:  # to be copied whole: the terminal wraps it
            narrow_console().print(f"{heading:<11} {value}", soft_wrap=True)
