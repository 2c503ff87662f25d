"""From new rows to a file of predictions, some rows at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from boston_exp.config.commands import Predict
from boston_exp.config.invocation import again
from boston_exp.errors import Fault, InvalidConfig, InvalidData
from boston_exp.experiment.conformal import (
    PLAIN,
    PREDICTION,
    SPREAD,
    Calibration,
    calibrated,
    caveat,
    choices,
    floored,
    refusal,
)
from boston_exp.experiment.grouping import Grouping
from boston_exp.experiment.spread import spread
from boston_exp.lifecycle.model_folder import CHECKED, PROMISE
from boston_exp.lifecycle.prediction import reading, rows
from boston_exp.lifecycle.prediction.rows import Seen
from boston_exp.lifecycle.prediction.scoring import Collected, Scored, scored
from boston_exp.lifecycle.prediction.source import Source
from boston_exp.lifecycle.prediction.writing import written
from boston_exp.storage.dvc_file import md5_of


@dataclass
class Predicted:
    """What was predicted. `notes` are sentences about the input and the intervals."""

    seen: Seen
    notes: list[str] = field(default_factory=list)
    scored: Scored | None = None


@dataclass(frozen=True, eq=False)
class Intervals:
    """How wide intervals are: `by` is what decides it."""

    calibration: Calibration
    confidence: float
    by: str
    grouping: Grouping | None = None
    spreads: np.ndarray | None = None  # of the calibration rows

    def ends(
        self, source: Source, chunk: pd.DataFrame, X: pd.DataFrame, predicted: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(n, 2), and the number of the group that each is calibrated on, (n,)."""
        groups = self.grouping.labels(chunk[self.by]) if self.grouping else None
        scale = None
        if self.spreads is not None:
            of_rows = spread(source.estimator, X)
            assert of_rows is not None
            scale = floored(of_rows, self.spreads)
        ends = self.calibration.interval(predicted, self.confidence, groups, scale)
        return ends, self.calibration.numbers(predicted, groups)


def predict(source: Source, config: Predict, cwd: Path) -> Predicted:
    """Predict every row of the input and write it. Raises InvalidConfig, InvalidData; then there is no output."""
    intervals, note = intervals_of(source, config)
    found = Predicted(Seen(), [note] if note else [])
    text_columns = {name for name in source.features if not source.is_number(name)}
    text_columns |= {
        name for name, grouping in source.groupings.items() if grouping.is_text and name not in source.features
    }
    as_it_stands = {name for name in config.keep if name not in (*source.features, *text_columns)}
    collected = Collected(groupings=source.groupings)
    with reading.chunks(config.input, cwd, config.data, text_columns, as_it_stands) as chunks:
        first = next(chunks, None)
        if first is None or first.empty:
            mend = f"wc -l {config.input}   (then give input=<a table with rows>)"
            raise InvalidData(Fault(f"input={config.input} has no rows.", mend))
        columns = list(first.columns)
        ignored = rows.check_columns(source, columns, config.keep)
        if ignored:
            found.notes.append(
                f"ignored: {rows.listed(ignored)}, which the model does not take (keep=[…] passes them on)"
            )
        if intervals and intervals.grouping and intervals.by not in columns:
            says = f"interval_by={config.interval_by}: the input has no such column."
            raise InvalidData(Fault(says, again("interval_by=prediction")))
        with written(config.output, cwd, untouched(source, config, cwd)) as output:
            for chunk in chain([first], chunks):
                output.add(_of_chunk(source, config, intervals, chunk, found.seen, collected))
    if collected.actual:
        confidence = intervals.confidence if intervals else None
        sizes = intervals.calibration.sizes if intervals else {}
        found.scored = scored(collected, source.promise, confidence, sizes, source.unit)
        if source.run is not None and _md5(config.input, cwd) == source.run.tags.get("data.md5"):
            found.notes.append("this is the table that the model was trained on: its scores flatter the model")
        if collected.without_target:
            found.notes.append(f"{collected.without_target:,} rows have no number as {source.target}: not scored")
    return found


def untouched(source: Source, config: Predict, cwd: Path) -> list[Path]:
    """Files that the output must not replace."""
    given = [config.input] if config.input != reading.STDIN else []
    if source.run is None:
        place = cwd / Path(source.shown).expanduser()
        folder = place if place.is_dir() else place.parent
        given += [str(folder / name) for name in (*CHECKED, PROMISE)]
    return [cwd / Path(each).expanduser() for each in given]


def _md5(given: str, cwd: Path) -> str:
    path = cwd / Path(given).expanduser()
    return md5_of(path) if path.is_file() else ""


def _of_chunk(
    source: Source,
    config: Predict,
    intervals: Intervals | None,
    chunk: pd.DataFrame,
    seen: Seen,
    collected: Collected,
) -> dict[str, Any]:
    X = rows.as_taken(source, chunk, seen.rows, config.data.date_format)
    predicted = _predicted(source, X)
    columns: dict[str, Any] = {"row": np.arange(seen.rows, seen.rows + len(X)), "prediction": predicted}
    ends, numbers = None, None
    if intervals:
        ends, numbers = intervals.ends(source, chunk, X, predicted)
        columns |= {"low": ends[:, 0], "high": ends[:, 1]}
    columns["flags"] = pd.Series(rows.flags(source, X, seen))
    if source.target and source.target in chunk.columns:
        collected.add(chunk[source.target], predicted, ends, numbers, chunk)
    seen.rows += len(X)
    return {**{name: chunk[name] for name in config.keep}, **columns}


def _predicted(source: Source, X: pd.DataFrame) -> np.ndarray:
    from sklearn.exceptions import NotFittedError

    try:
        return np.asarray(source.estimator.predict(X), dtype=np.float64).reshape(len(X))
    except NotFittedError as error:
        says = f"{source.shown} was never fitted."
        raise InvalidData(Fault(says, again("from_model=models:/<name>@champion"))) from error
    except (ValueError, TypeError) as error:
        says, mend = f"{source.shown} cannot predict these rows: {error}".partition("\n")[0], again()
        infinite = [str(name) for name in X.select_dtypes("number") if np.isinf(X[name]).any()]
        gaps = [str(name) for name in X.columns[X.isna().any()]]
        if infinite:
            says, mend = f"There are infinite values in {rows.listed(infinite)}.", f"{mend}   (once they are gone)"
        elif gaps:
            says = f"{source.shown} takes no gaps, and there are some in {rows.listed(gaps)}."
            mend += "   (once they are filled; preprocess=tabular makes models that take them)"
        raise InvalidData(Fault(says, mend)) from error


def intervals_of(source: Source, config: Predict) -> tuple[Intervals | None, str]:
    """What intervals are made from, and a note where there are none. Raises InvalidConfig for an unknown way."""
    if config.interval is None:
        return None, ""
    table = source.out_of_fold
    if table is None:
        return None, "no intervals: the model was recorded without folds, which evaluation=cv has"
    known = choices(table)
    if config.interval_by not in known:
        says = f"interval_by={config.interval_by} is not recorded with this model: choose one of {', '.join(known)}."
        raise InvalidConfig(Fault(says, again("interval_by=prediction")))
    refused = refusal(table, config.interval)
    if refused:
        return None, f"no intervals: {refused} (interval=null asks for none)"
    calibration = calibrated(table, config.interval_by)
    grouping = None
    if config.interval_by not in (PREDICTION, SPREAD, PLAIN):
        grouping = source.groupings.get(config.interval_by)
        if grouping is None:
            says = f"interval_by={config.interval_by}: its groups are not in the profile of this model."
            raise InvalidConfig(Fault(says, again("interval_by=prediction")))
    spreads = table[SPREAD].to_numpy(float) if config.interval_by == SPREAD else None
    note = caveat(table)
    needed = int(np.ceil(1 / (1 - config.interval))) - 1
    if len(table) < needed:
        note = f"intervals of {config.interval:.0%} take {needed} out-of-fold rows, there are {len(table)}: infinite"
    return Intervals(calibration, config.interval, config.interval_by, grouping, spreads), note
