"""Which runs have a copy, as far as it is known without asking for each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mlflow.entities import Run

from boston_exp.tracking.publishing.source import origin_id


class Ledger(Protocol):
    """Kept of the runs of one source, for one target."""

    def copy_of(self, run: Run) -> str | None:
        """The id of its copy, where that is known to be whole."""

    def published(self, run: Run, copy: Run) -> None:
        """Its copy is whole."""

    def doubt(self, run: Run) -> None:
        """A request that creates its copy, or that of its model, is sent now, and may not be answered."""

    def settle(self, run: Run) -> None:
        """That request was answered."""

    def doubted(self, run: Run) -> bool:
        """Whether there is such a request, of this process or an earlier one."""


@dataclass
class Unwritten:
    """Of a source that is not ours to write to: what the target was seen to have, by the ids of its origins."""

    there: Mapping[str, str] = field(default_factory=dict)

    def copy_of(self, run: Run) -> str | None:
        return self.there.get(origin_id(run))

    def published(self, run: Run, copy: Run) -> None:
        pass

    doubt = settle = lambda self, run: None

    def doubted(self, run: Run) -> bool:
        return False
