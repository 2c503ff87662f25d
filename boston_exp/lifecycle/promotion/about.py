"""What a model card is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from boston_exp.lifecycle.promise import Promise
from boston_exp.tracking.recorded import RecordedRun


@dataclass(frozen=True)
class About:
    """`name` is that of the registered model; `refit` says that it was fitted on all rows."""

    name: str
    alias: str
    run: RecordedRun
    promise: Promise
    verdict: str  # of the gate
    slices: pd.DataFrame | None
    consulted: int  # runs that were scored on these held-out rows
    caveats: tuple[str, ...]
    requirements: tuple[str, ...]
    machine: dict[str, str]
    reproduce: str  # the command
    profile: Mapping[str, Any]  # of the training rows: profile.json
    overrides: str  # the recorded command
    lacks: tuple[str, ...] = ()
    refit: bool = False
