"""Groups of rows by a column: quarters of a number, or its values; what slices, intervals and new tables share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

FEW = 10  # a column with at most so many values has a group for each; any other number has quartiles
GAP = "gap"
COLUMN = "group: "  # before the name of a column of out_of_fold.csv that has labels


@dataclass(frozen=True)
class Grouping:
    """How the rows of a column are told apart: by the edges of its quarters, else by its values, which may be
    numbers."""

    edges: tuple[float, ...] = ()
    values: tuple[str, ...] = ()
    numeric: bool = True

    @staticmethod
    def of(column: pd.Series, train: pd.Index) -> Grouping:
        """Learnt from the training rows; whether a number has few values, from all."""
        known = column.loc[train].dropna()
        if column.dtype.kind in "iuf" and column.nunique() > FEW:
            return Grouping(tuple(np.quantile(known.to_numpy(dtype=np.float64), (0.25, 0.5, 0.75)).tolist()))
        values = tuple(dict.fromkeys(map(_text, sorted(known.unique(), key=str))))
        return Grouping(values=values, numeric=column.dtype.kind in "iuf")

    @staticmethod
    def recorded(node: Mapping[str, Any]) -> Grouping:
        """From profile.json."""
        edges, values = tuple(map(float, node.get("edges", ()))), tuple(map(str, node.get("values", ())))
        return Grouping(edges, values, bool(node.get("numeric", True)))

    def as_json(self) -> dict[str, Any]:
        return {"edges": list(self.edges)} if self.edges else {"values": list(self.values), "numeric": self.numeric}

    @property
    def names(self) -> list[str]:
        """Every group, in order; that of gaps last."""
        if not self.edges:
            return [*self.values, GAP]
        bounds = [f"{edge:.4g}" for edge in self.edges]
        return [f"≤ {bounds[0]}", *(f"{low} to {high}" for low, high in pairwise(bounds)), f"> {bounds[-1]}", GAP]

    @property
    def is_text(self) -> bool:
        """Whether the column is to be read as it stands in a file: `01` is not 1."""
        return not self.edges and not self.numeric

    def labels(self, column: pd.Series) -> np.ndarray:
        """The group of each row, (n,) of text; a value that was never seen is its own."""
        gaps = column.isna().to_numpy()
        if self.edges:
            numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
            found = np.array(self.names, dtype=object)[np.digitize(numbers, self.edges, right=True)]
        else:
            values = pd.to_numeric(column, errors="coerce") if self.numeric else column
            gaps = gaps | values.isna().to_numpy()
            distinct = {value: _text(value) for value in values.dropna().unique()}
            found = values.map(distinct).to_numpy(dtype=object)
        found[gaps] = GAP
        return found.astype(str)


def _text(value: object) -> str:
    """1 of 1 and of 1.0: a gap elsewhere in a column makes its numbers floats."""
    return f"{value:.15g}" if isinstance(value, float) else str(value)
