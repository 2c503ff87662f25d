"""What is said of a promotion: in the commit, in the registry, in the history of the alias."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from boston_exp.experiment.metrics import METRICS
from boston_exp.lifecycle.model_folder import CARD
from boston_exp.lifecycle.promotion import tags
from boston_exp.lifecycle.promotion.plan import ALL, REFIT, Plan
from boston_exp.lifecycle.promotion.steps import GTO
from boston_exp.reporting import numbers
from boston_exp.reporting.markdown import escaped
from boston_exp.tracking.destination import NOTE
from boston_exp.tracking.recorded import RecordedRun, Registry


def event(plan: Plan, registry: Registry) -> dict[str, Any]:
    """The next event of the alias."""
    events = registry.events(plan.asked.name)
    return {
        "number": max((event["number"] for event in events), default=0) + 1,
        "at": int(time.time() * 1000),
        "alias": plan.asked.config.alias,
        "what": "rollback" if plan.rollback else "promote",
        "run_id": plan.run.run_id,
        "run": plan.run.name,
        "gate": "rollback" if plan.rollback else "first" if plan.verdict.first else plan.asked.config.gate,
        "says": plan.verdict.says,
        "from": plan.current.number if plan.current else None,
        "scores": {name: plan.run.metrics[name] for name in ("rmse", "cv_rmse") if name in plan.run.metrics},
    }


def scores(run: RecordedRun) -> str:
    """Of the held-out rows, with intervals and units."""
    unit = run.param("data.target_unit")
    return ", ".join(
        f"{metric.label} {numbers.with_unit(numbers.held_out(run.metrics, metric.name), metric.unit_of(unit))}"
        for metric in METRICS
        if metric.name in run.metrics
    )


def message(plan: Plan) -> str:
    """Of the commit and the tags."""
    run = plan.run
    verb = "is again" if plan.rollback or plan.version else "is"
    version = plan.version.tags.get(GTO, tags.UNKNOWN) if plan.version else tags.UNKNOWN
    return (
        f"model: {plan.asked.name} {version} {verb} {plan.asked.config.alias}\n\n"
        f"Run {run.run_id} ({run.name})\nHeld out: {scores(run)}\nGate: {plan.verdict.says}"
    )


def about(plan: Plan) -> str:
    """Of the registered model: who has the alias, and its run's story."""
    config, run = plan.asked.config, plan.run
    story = run.tags.get(NOTE, "").partition("\nNext: ")[0]
    return f"**@{config.alias}** is run `{run.run_id}`. {escaped(plan.verdict.says)}\n\n{story}"


def version_tags(plan: Plan) -> dict[str, str]:
    """Of a new version."""
    run = plan.run
    told = {name: run.tags.get(name, "") for name in ("data.md5", "split.digest", "mlflow.source.git.commit")}
    told |= {"run": run.name, "gate": plan.verdict.says, REFIT: ALL if plan.asked.config.refit else "none"}
    known = (*(metric.name for metric in METRICS), *(f"cv_{metric.name}" for metric in METRICS))
    told |= {name: numbers.score(run.metrics[name]) for name in known if name in run.metrics}
    return {name: value for name, value in told.items() if value}


def description(plan: Plan, folder: Path) -> str:
    """The card; where there are no files, the story of the run."""
    file = folder / CARD
    return file.read_text(encoding="utf-8") if file.is_file() else plan.run.tags.get(NOTE, "")
