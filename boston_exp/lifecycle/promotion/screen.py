"""A promotion on the screen: what will be done, what was done, and who had the alias."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from boston_exp.config.invocation import again, for_services, quoted_list
from boston_exp.config.schema import TRUSTED
from boston_exp.lifecycle.promotion import messages
from boston_exp.lifecycle.promotion.journal import Journal
from boston_exp.lifecycle.promotion.plan import Plan
from boston_exp.lifecycle.promotion.steps import Tools
from boston_exp.reporting import numbers
from boston_exp.reporting.tables import labelled, plain_table, print_rows
from boston_exp.storage.promotion_files import MODELS


def show_plan(plan: Plan, form: str) -> None:
    """What would be done; nothing was."""
    config, name = plan.asked.config, plan.asked.name
    version = f"version {plan.version.number}, which it has" if plan.version else "a new version"
    before = f", now version {plan.current.number}" if plan.current else ""
    lines = {
        "run": f"{plan.run.run_id} ({plan.run.name})",
        "scores": messages.scores(plan.run),
        "gate": plan.verdict.says,
        "registry": f"{name}: {version}; alias {config.alias}{before}",
    }
    if config.refit and plan.version is None:
        lines["refit"] = "the configuration is fitted once more, on all rows"
    if plan.asked.dvc != "none":
        pushed = f", to be pushed to {_remote(plan)}" if config.dvc == "push" else ", not pushed"
        lines["files"] = f"{MODELS / name}{pushed}"
        lines["git"] = {
            "commit": f"a commit of {MODELS / name}.dvc and dvc.yaml, tags {name}@… and {name}#{config.alias}#…",
            "stage": f"{MODELS / name}.dvc and dvc.yaml staged, no commit, no tags",
            "none": "nothing",
        }[config.git]
    else:
        lines["files"] = "none: the registry alone"
    lines["so far"] = "nothing was changed: dry_run=true"
    lines["next"] = again(without=["dry_run"])
    _print(lines, form, {"dry_run": True})


def show_done(plan: Plan, journal: Journal, tools: Tools, form: str) -> None:
    """What was done, and the next commands."""
    config, name = plan.asked.config, plan.asked.name
    before = f"; before, it was version {plan.current.number}" if plan.current else ""
    destination = plan.asked.destination
    store = destination.shown_server if destination.server else destination.shown_uri
    lines = {
        config.alias: f"{name}, version {journal.number}: run {plan.run.run_id} ({plan.run.name}){before}",
        "gate": plan.verdict.says,
        "registry": f"models:/{name}@{config.alias} in {store}",
    }
    if plan.asked.dvc != "none":
        pushed = f", pushed to {_remote(plan)}" if config.dvc == "push" else ", not pushed"
        lines["files"] = f"{MODELS / name}{pushed}"
    elif config.dvc != "none":
        lines["files"] = f"none: those in {MODELS / name} are the champion's"
    if journal.git == "commit":
        branch = tools.git.answer("symbolic-ref", "--short", "HEAD")
        lines["git"] = f"commit {str(journal.commit)[:7]} on {branch}, tags {journal.version_tag}, {journal.stage_tag}"
    elif journal.git == "stage":
        staged = " and ".join(tools.git.changed(journal.paths))
        lines["git"] = f"{staged} staged: the commit and GTO's tags (gto register, gto assign) are yours"
    packages = config.trusted_packages
    trust = [] if packages == list(TRUSTED) else [f"trusted_packages={quoted_list(packages)}"]
    lines["next"] = for_services("predict", f"from_model=models:/{name}@{config.alias}", "input=new.csv", *trust)
    more = []
    if journal.git == "commit" and tools.git.answer("remote"):
        more.append("git push --follow-tags")
    if journal.git == "stage":
        subject = journal.message.partition("\n")[0]
        more.append(shlex.join(["git", "commit", "--message", subject, *journal.paths]))
    elif plan.current and not plan.rollback:
        more.append(again("rollback=true", without=["run_id", "gate", "refit", "metric", "rope"]))
    _print(lines, form, {"version": journal.number, "commit": journal.commit}, more)


def show_unchanged(plan: Plan, form: str) -> None:
    name, config = plan.asked.name, plan.asked.config
    assert plan.version is not None
    says = f"{name}, version {plan.version.number}, is {config.alias} already: run {plan.run.run_id} ({plan.run.name})"
    _print({config.alias: says}, form, {"version": plan.version.number})


def show_history(events: list[dict[str, Any]], aliases: dict[str, str], name: str, form: str) -> None:
    """Who had which alias, the newest first."""
    rows = [
        {
            "number": event["number"],
            "at": datetime.fromtimestamp(event["at"] / 1000, UTC).strftime("%Y-%m-%d %H:%M"),
            "alias": event["alias"],
            "version": event.get("version"),
            "what": event["what"],
            "run_id": event["run_id"],
            "run": event["run"],
            "rmse": event.get("scores", {}).get("rmse"),
            "gate": event["gate"],
            "says": event["says"],
            "commit": event.get("commit"),
        }
        for event in reversed(events)
    ]
    print_rows(rows, form, lambda: _drawn(rows, aliases, name), name="events", about={"aliases": aliases})


def _drawn(rows: list[dict[str, Any]], aliases: dict[str, str], name: str) -> list[Any]:
    if not rows:
        return [f"{name} was never promoted. {again('run_id=best', without=['history'])}"]
    table = plain_table()
    _columns(table)
    for row in rows:
        rmse = "" if row["rmse"] is None else numbers.score(row["rmse"])
        commit = str(row["commit"] or "")[:8]
        table.add_row(
            str(row["number"]), row["at"], row["alias"], str(row["version"]), row["what"], row["run"],
            row["run_id"][:8], rmse, row["gate"], commit,
        )  # fmt: skip
    now = ", ".join(f"{alias} is version {number}" for alias, number in aliases.items())
    return [table, "", f"Now: {now or 'no alias'}."]


def _columns(table: Table) -> None:
    for heading in ("", "at (UTC)", "alias", "version", "what"):
        table.add_column(heading, no_wrap=True)
    table.add_column("run", overflow="fold")
    table.add_column("id", no_wrap=True)
    table.add_column("RMSE", justify="right", no_wrap=True)
    table.add_column("gate", no_wrap=True)
    table.add_column("commit", no_wrap=True)


def _remote(plan: Plan) -> str:
    storage = plan.asked.config.storage
    remote = storage.model_remote or storage.dvc_remote
    here = " (data/models/.remote, on this machine alone, which git ignores)" if remote == "models" else ""
    return f"the DVC remote {remote}{here}"


def _print(lines: dict[str, str], form: str, about: dict[str, Any], more: list[str] | None = None) -> None:
    if form != "table":
        print_rows([lines], form, lambda: [], name="promotion", about=about)
        return
    for name, text in lines.items():
        print(labelled(name, text, is_command=name == "next"))
    for text in more or ():
        print(labelled("", text, is_command=True))
