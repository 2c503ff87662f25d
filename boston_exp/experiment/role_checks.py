"""What is wrong with the roles that columns were given, and with the columns that group, order and weigh the rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from boston_exp.config.invocation import again, quoted_list
from boston_exp.config.schema import Data
from boston_exp.errors import Fault
from boston_exp.experiment.roles import DATE, NUMBER, Role
from boston_exp.experiment.table_checks import where


def bond_faults(data: Data, frame: pd.DataFrame) -> Iterator[Fault]:
    """What keeps `data.time` from ordering the rows, and `data.weight` from weighing them."""
    if data.time is not None:
        times = frame[data.time]
        gaps = np.flatnonzero(times.isna())
        if gaps.size:
            says = f"data.time={data.time} has no value in {gaps.size} of {len(times)} rows{where(data, gaps)}."
            yield Fault(says, again(without=["data.time"]) + "   (or fill those rows: what is when decides the split)")
        elif times.dtype.kind not in "iufM":
            example = str(times.iloc[0])
            says = f"data.time={data.time} has neither numbers nor dates of one format, for example {example!r}."
            yield Fault(says, again(without=["data.time"]) + "   (or correct the file; data.date_format says how)")
    if data.weight is not None:
        weights = frame[data.weight]
        if weights.dtype.kind not in "iufb":
            says = f"data.weight={data.weight} is not numeric, for example {str(weights.iloc[0])!r}."
            yield Fault(says, again(without=["data.weight"]))
            return
        bad = np.flatnonzero(~(np.isfinite(weights.to_numpy(dtype=np.float64)) & (weights >= 0).to_numpy()))
        if bad.size or not weights.sum():
            what = f"{weights.iloc[bad[0]]}{where(data, bad)}" if bad.size else "0 in every row"
            says = f"data.weight={data.weight} is {what}: a weight has to be a number of at least 0, and not all are 0."
            yield Fault(says, again(without=["data.weight"]))


def role_faults(data: Data, frame: pd.DataFrame, found: Mapping[str, Role], features: list[str]) -> Iterator[Fault]:
    """Roles that do not fit what is in the columns, and a table of which nothing is left to learn from."""
    for name, role in found.items():
        if role.typed and role.name == NUMBER and frame[name].dtype.kind not in "iufb":
            wrong = np.flatnonzero(pd.to_numeric(frame[name], errors="coerce").isna() & frame[name].notna())
            if wrong.size:
                example = str(frame[name].iloc[wrong[0]])
                says = f"data.roles: {name} is no number, for example {example!r}{where(data, wrong)}."
                yield Fault(says, again(without=["data.roles"]))
        elif role.typed and role.name == DATE and frame[name].dtype.kind != "M":
            says = f"data.roles: {name} has no dates of one format, for example {str(frame[name].iloc[0])!r}."
            yield Fault(says, again(without=["data.roles"]) + "   (or data.date_format=…)")
    if not features:
        told = ", ".join(f"{name} ({role.name})" for name, role in list(found.items())[:10])
        says = f"No column is left to predict from: {told or 'there is none'}."
        mend = again(f"data.roles={quoted_list([f'{next(iter(found))}:category'])}") if found else again()
        yield Fault(says, mend + "   (roles that were not typed are found in the table)")
