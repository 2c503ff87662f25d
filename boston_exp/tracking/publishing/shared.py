"""What goes along with a copied run: its tags, its description and the views of its experiment, with the ids of the
target."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from mlflow import MlflowClient

from boston_exp.tracking import liveness
from boston_exp.tracking.destination import COPY, NOTE, SERVER, STATE
from boston_exp.tracking.mlflow import pages
from boston_exp.tracking.mlflow.runs import COMPLETE

SERVER_ID = "sync.server_id"
OWN = (
    SERVER, SERVER_ID, STATE, COPY, COMPLETE, liveness.PROCESS, liveness.HEARTBEAT, liveness.ELSEWHERE,
)  # fmt: skip  # tags of the source alone
IN_DOUBT = (
    "sync.in_doubt."  # and a server_id: when a request that creates its copy there was sent, until it is answered
)
PARENT = "mlflow.parentRunId"
POINTS_AT_RUNS = (PARENT, "best.run_id", "best.model_of")
RUN = re.compile(r"(?P<label>\[[0-9a-f]{8}\]\()?(?P<page>#/experiments/(?P<place>\d+)/runs/)?\b(?P<run>[0-9a-f]{32})\b")


def goes_along(tag: str) -> bool:
    """Whether a tag of a run is copied as it is."""
    return tag not in (*OWN, *POINTS_AT_RUNS) and not tag.startswith(IN_DOUBT)


def translated(text: str, id_of: Callable[[str], str], places: Mapping[str, str]) -> str:
    """A text with the ids that runs have in the target, and with links to their pages there.

    `places` are ids of experiments in the target by those in the source.
    """

    def there(found: re.Match[str]) -> str:
        copy_id = id_of(found["run"])
        if not found["page"]:
            return copy_id
        label = f"[{copy_id[:8]}](" if found["label"] else ""
        return f"{label}#/experiments/{places.get(found['place'], found['place'])}/runs/{copy_id}"

    return RUN.sub(there, text)


class SharedPages:
    """Description and views of experiments of the source, each brought to the target once."""

    def __init__(self, source: MlflowClient, target: MlflowClient) -> None:
        self._source = source
        self._target = target
        self._shared: set[tuple[str, str, str]] = set()

    def share(self, source_id: str, target_id: str, translate: Callable[[str], str]) -> None:
        """Of one experiment, what is new since the last time."""
        tags = self._source.get_experiment(source_id).tags
        own = {name: value for name, value in tags.items() if name == NOTE or name.startswith(pages.VIEW)}
        new = {name: value for name, value in own.items() if (source_id, name, value) not in self._shared}
        if new:
            there = self._target.get_experiment(target_id)
            pages.put(self._target, there, {name: translate(value) for name, value in new.items()})
            self._shared |= {(source_id, name, value) for name, value in new.items()}
