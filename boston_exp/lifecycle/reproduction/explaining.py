"""What is not the same about two trainings besides their numbers: what may explain the difference comes first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from boston_exp.lifecycle.comparing.differences import Differs, differences_between
from boston_exp.tracking.recorded import History, RecordedRun
from boston_exp.training.fingerprint import NUMERIC_LIBRARIES

ORDER = ("code", "data", "parameter", "machine", "version")
KINDS = {"blas": "BLAS", "openmp": "OpenMP"}
SIMD = "numpy_simd"  # instructions beyond the least that NumPy needs, by which logarithms and sums are computed
OF_ITSELF = (
    "data.path",
    "data.changed",
    "data.allow_changed",
    "record.version",
)  # where the table was found today; how the record is written


@dataclass(frozen=True)
class Pool:
    """A library that computes in threads."""

    name: str
    kernel: str
    threads: str
    version: str


def differing(before: tuple[History, RecordedRun], after: tuple[History, RecordedRun]) -> list[Differs]:
    """Code, data and settings, then the machine, then versions, those of numeric libraries first."""
    found = [
        each
        for each in differences_between([before, after])
        if each.name not in OF_ITSELF and (each.kind != "machine" or each.values[0])  # an earlier version noted less
    ]
    spread = [part for each in found for part in (pools_differing(each) if each.name == "pools" else [each])]
    return sorted(spread, key=lambda each: (ORDER.index(each.kind), not is_numeric(each), each.name.lower()))


def is_numeric(differs: Differs) -> bool:
    """Whether it is a version that can change a result."""
    return differs.kind == "version" and differs.name in (*NUMERIC_LIBRARIES, "Python")


def pools(described: Any) -> list[Pool]:
    """Of what a platform.json says. NumPy and SciPy each bring a BLAS: by version, as they are loaded in any order."""
    found, seen = [], dict[str, int]()
    known = [pool for pool in described if isinstance(pool, dict)] if isinstance(described, list) else []
    for pool in sorted(known, key=lambda pool: str(pool.get("version")), reverse=True):
        if pool:
            kind = KINDS.get(str(pool.get("library")), str(pool.get("library")))
            seen[kind] = seen.get(kind, 0) + 1
            name = kind if seen[kind] == 1 else f"{kind} {seen[kind]}"
            texts = ("" if pool.get(key) is None else str(pool[key]) for key in ("kernel", "threads", "version"))
            found.append(Pool(name, *texts))
    return found


def pools_differing(each: Differs) -> Iterator[Differs]:
    """The library, its kernel, its threads or its version, one by one. One more of a kind on one side alone is what
    else that process had imported, such as LightGBM's OpenMP after another point of a sweep: it says nothing."""
    sides = [{pool.name: pool for pool in pools(json.loads(value or "[]"))} for value in each.values]
    for name in dict.fromkeys(name for side in sides for name in side):
        if name not in KINDS.values() and not all(name in side for side in sides):
            continue
        for what in ("kernel", "threads", "version"):
            values = tuple(str(getattr(side[name], what)) if name in side else "none" for side in sides)
            if len(set(values)) > 1:
                yield Differs("machine", f"{name} {what}", values)
