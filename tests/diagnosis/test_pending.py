"""What waits for which server is told with its count, age and store; a server that is gone can be forgotten."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from boston_exp.tracking.destination import COPY, PENDING, PUBLISHED, SERVER, STATE
from boston_exp.tracking.publishing.lock import PublishLock
from boston_exp.tracking.publishing.shared import IN_DOUBT, SERVER_ID
from tests import services
from tests.conftest import Command

GONE, OTHER = "http://127.0.0.1:1", "http://127.0.0.1:2"
A_DAY = 1_700_000_000_000  # in milliseconds: 14 November 2023


def run(client: MlflowClient, start: int = A_DAY, **tags: str) -> str:
    """An ended run with tags, `__` in their names for a dot."""
    given = {key.replace("__", "."): value for key, value in tags.items()}
    run_id = str(client.create_run("0", start_time=start, tags=given).info.run_id)
    client.set_terminated(run_id)
    return run_id


def sync_tags(client: MlflowClient, run_id: str) -> dict[str, str]:
    return {key: value for key, value in client.get_run(run_id).data.tags.items() if key.startswith("sync.")}


@pytest.fixture
def client(store: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{store}")


def waits(server: str, **more: str) -> dict[str, str]:
    return {SERVER: server, STATE: PENDING, **more}


def test_count_age_and_store_are_told_with_the_commands_that_mend_it(
    command: Command, client: MlflowClient, store: Path, empty_store: Path
) -> None:
    """Of workers on other machines, too, whose stores lie beside the main one."""
    for start in (A_DAY + 90_000_000, A_DAY):
        run(client, start, **waits(GONE))
    worker = store.with_name("mlflow-gpu1.db")
    shutil.copy(empty_store, worker)
    run(MlflowClient(f"sqlite:///{worker}"), **waits(OTHER))
    said = " ".join(command("format=csv", program="doctor").out.split())
    assert f"2 runs are not on {GONE} yet, the oldest since 2023-11-14" in said
    assert "in mlflow.db" in said
    assert f"python -m boston_exp.sync tracking=server tracking.uri={GONE} tracking.local_uri=sqlite:///{store}" in said
    assert f"1 run is not on {OTHER} yet" in said
    assert "in mlflow-gpu1.db" in said
    assert f"tracking.uri={OTHER} tracking.local_uri=sqlite:///{store}" in said  # which brings the workers', too
    assert f"fix=true forget={OTHER}" in said


def test_a_server_that_is_gone_is_forgotten_and_nothing_else_is(
    command: Command, client: MlflowClient, store: Path
) -> None:
    """Ids of copies stay: commands go on to understand them."""
    ours = {SERVER_ID: "ours", IN_DOUBT + "ours": "1"}
    pending = run(client, **waits(GONE, **{IN_DOUBT + "unknown": "1", IN_DOUBT + "theirs": "1"}))
    there = run(client, **{SERVER: GONE, STATE: PUBLISHED, COPY: "c" * 32, **ours})
    elsewhere = run(client, **{SERVER: OTHER, STATE: PUBLISHED, SERVER_ID: "theirs", IN_DOUBT + "ours": "1"})
    waiting = run(client, **waits(OTHER))
    said = command("fix=true", f"forget={GONE}/", program="doctor")
    assert f"fixed: pending: 1 run of mlflow.db waits no longer for {GONE}" in said.err
    assert sync_tags(client, pending) == {IN_DOUBT + "theirs": "1"}
    assert sync_tags(client, there) == {SERVER: GONE, STATE: PUBLISHED, COPY: "c" * 32, SERVER_ID: "ours"}
    assert sync_tags(client, elsewhere) == {SERVER: OTHER, STATE: PUBLISHED, SERVER_ID: "theirs"}
    assert sync_tags(client, waiting) == waits(OTHER)
    assert f"not on {GONE}" not in said.out


def test_fix_alone_forgets_no_server(command: Command, client: MlflowClient) -> None:
    pending = run(client, **waits(GONE))
    command("fix=true", program="doctor")
    assert sync_tags(client, pending) == waits(GONE)


def test_a_server_that_nothing_waits_for_is_refused_with_those_that_there_are(
    command: Command, client: MlflowClient
) -> None:
    run(client, **waits(OTHER))
    said = command("fix=true", f"forget={GONE}", program="doctor")
    assert said.code == 2
    assert f"No run waits for {GONE}; there are runs that wait for {OTHER}." in said.err
    assert f"forget={OTHER}" in said.err


@pytest.mark.parametrize("status", [401, 302, 404, 503])
def test_a_server_that_answers_is_not_forgotten_but_synced(command: Command, client: MlflowClient, status: int) -> None:
    """One behind a password, a proxy, or that starts; a program that is no such server is not known to stay."""
    with services.answering(status) as address:
        pending = run(client, **waits(f"http://{address}"))
        said = command("fix=true", f"forget=http://{address}", program="doctor")
        assert said.code == 2
        if status == 401:
            assert f"http://{address} answers: what waits for it can be published." in said.err
            assert f"next: python -m boston_exp.sync tracking=server tracking.uri=http://{address}" in said.err
        else:
            assert f"http://{address} answers with HTTP status {status}: something is there" in said.err
        assert sync_tags(client, pending)


def test_nothing_is_forgotten_while_another_process_publishes(
    command: Command, client: MlflowClient, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boston_exp.tracking.publishing.lock.PATIENCE", 0.1)
    pending = run(client, **waits(GONE))
    with PublishLock(store).held():
        said = command("fix=true", f"forget={GONE}", program="doctor")
    assert "not fixed: pending: process" in said.err
    assert sync_tags(client, pending) == waits(GONE)
