"""Forgets a server that is gone: the runs of a local store that are pending for it wait for nobody any more."""

from __future__ import annotations

from pathlib import Path

from mlflow import MlflowClient

from boston_exp.tracking.destination import PUBLISHED, SERVER, SQLITE, STATE
from boston_exp.tracking.publishing.lock import PublishLock
from boston_exp.tracking.publishing.shared import IN_DOUBT, SERVER_ID
from boston_exp.tracking.tagged import tagged_runs


def forget(path: Path, server: str) -> int:
    """Take from the ended runs of a store what says that they have to go to this server; gives their number.

    Runs that are there keep the ids of their copies, which commands go on to understand. What was in doubt about
    creating a copy there is settled. Raises HeldError while another process publishes.
    """
    with PublishLock(path).held():
        runs = tagged_runs(path, SERVER, STATE, SERVER_ID, f"{IN_DOUBT}*")
        its = {run.tags[SERVER_ID] for run in runs if run.tags.get(SERVER) == server and SERVER_ID in run.tags}
        others = {run.tags[SERVER_ID] for run in runs if run.tags.get(SERVER) != server and SERVER_ID in run.tags}
        client, forgotten = MlflowClient(f"{SQLITE}{path}"), 0
        for run in (run for run in runs if run.status != "RUNNING"):
            doubts = {tag: tag.removeprefix(IN_DOUBT) for tag in run.tags if tag.startswith(IN_DOUBT)}
            waits = run.tags.get(SERVER) == server and run.tags.get(STATE) != PUBLISHED
            for tag, identity in doubts.items():
                if identity not in others and (waits or identity in its):
                    client.delete_tag(run.run_id, tag)
            if waits:
                for tag in (
                    STATE,
                    SERVER_ID,
                    SERVER,
                ):  # SERVER last: by it the next command finds what a killed one left
                    if tag in run.tags:
                        client.delete_tag(run.run_id, tag)
                forgotten += 1
    return forgotten
