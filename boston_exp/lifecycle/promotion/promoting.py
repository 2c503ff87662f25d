"""Plans a promotion, and carries it out: from a run that was asked for to the model in production."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from boston_exp.config.invocation import again, for_services
from boston_exp.config.schema import Promote
from boston_exp.config.settings import Typed
from boston_exp.errors import Fault, InvalidConfig, NotPromoted
from boston_exp.experiment.metrics import METRICS, Metric
from boston_exp.lifecycle import retraining, selection
from boston_exp.lifecycle.promotion import bundle, gate, journal, names, steps, tags
from boston_exp.lifecycle.promotion.gate import Verdict
from boston_exp.lifecycle.promotion.journal import DVC_YAML, MODELS, Journal
from boston_exp.lifecycle.promotion.steps import GTO, Content, Tools
from boston_exp.lifecycle.ranking.groups import HELD_OUT, value
from boston_exp.reporting import numbers
from boston_exp.storage import dvc_remote
from boston_exp.storage.git import Git
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.recorded import History, RecordedRun, Registry, Version


@dataclass(frozen=True)
class Asked:
    """What was typed, and where."""

    config: Promote
    typed: Typed
    destination: Destination
    root: Path  # of the project

    @property
    def name(self) -> str:
        return names.registered_name(self.config.name, self.destination.experiment_name)


@dataclass(frozen=True)
class Plan:
    """What will be done. `version` is that of an earlier promotion of this run, `current` has the alias now."""

    asked: Asked
    run: RecordedRun
    model: str
    verdict: Verdict
    version: Version | None
    current: Version | None
    rollback: bool = False

    @property
    def unchanged(self) -> bool:
        """Whether the run has the alias already."""
        return self.current is not None and self.version is not None and self.current.number == self.version.number


def tools(asked: Asked, registry: Registry) -> Tools:
    return Tools(registry, Git(asked.root), asked.config.storage, asked.typed, asked.config.dvc)


def settle(asked: Asked, at: Tools) -> str | None:
    """Undo, or finish, what an interrupted promotion has left; says what was done."""
    found = journal.left(asked.root)
    if found is None:
        return None
    if found.store != _store(asked.destination):
        says = f"A promotion of {found.name} in {found.store} was interrupted, and is not settled."
        raise InvalidConfig(Fault(says, again(f"tracking.uri={found.store}") + "   (undoes or finishes it)"))
    if steps.decided(at, found):
        steps.finish(at, found)
        return f"An interrupted promotion of {found.run_id} to {found.name}@{found.alias} was finished."
    steps.undo(at, found)
    return f"An interrupted promotion of {found.run_id} to {found.name}@{found.alias} was undone."


def faults(asked: Asked) -> Iterator[Fault]:
    """What stands in the way, whatever the run: names, git, files."""
    config, root = asked.config, asked.root
    yield from names.faults(asked.name, config.alias)
    if config.dvc == "none":
        return
    if not (root / ".dvc").is_dir():
        yield Fault(f"{root} is not under DVC.", f"dvc init   (or, in the registry alone: {again('dvc=none')})")
        return
    git = Git(root)
    if config.git == "commit":
        yield from git.faults()
    elif config.git == "stage" and not git.head:
        yield Fault(f"{root} has no git repository with a commit.", again("git=none"))
    folder = root / MODELS
    if not os.access(next(each for each in (folder, *folder.parents) if each.exists()), os.W_OK):
        yield Fault(f"{folder} cannot be written to.", f"chmod u+w {folder}")
    pointer = MODELS / f"{asked.name}.dvc"
    if config.git != "none":
        changed = git.changed([DVC_YAML, str(pointer)])
        if changed:
            says = f"{' and '.join(changed)} {'has' if len(changed) == 1 else 'have'} changes that are not committed."
            yield Fault(says, f"git commit {' '.join(changed)}   (or git stash)")
    place = root / MODELS / asked.name
    if place.exists() and dvc_remote.changed(place, config.storage, asked.typed):
        says = f"{MODELS / asked.name} has files that DVC does not have."
        yield Fault(says, f"dvc add {MODELS / asked.name}   (or move them away)")


def planned(asked: Asked, history: History, registry: Registry, run: RecordedRun, metric: Metric) -> Plan:
    """The plan for this run. Raises InvalidConfig where it has nothing to promote, and trains what the gate needs."""
    config, name = asked.config, asked.name
    wrong = list(_run_faults(run))
    if wrong:
        raise InvalidConfig(*wrong)
    model = selection.model_of(history, run)
    if model is None:
        says = f"{run.run_id} ({run.name}) has no model: it was deleted, or not stored (a sweep stores its best alone)."
        mend = f"{for_services('run', f'base={run.run_id}')}   (trains it alone; then promote that run)"
        raise InvalidConfig(Fault(says, mend))
    current = registry.version(name, config.alias)
    refit = "all" if config.refit else "none"
    earlier = (each for each in registry.versions(name) if each.run_id == run.run_id)
    version = next((each for each in earlier if each.tags.get("refit", "none") == refit), None)
    verdict = _verdict(asked, history, run, current, metric)
    return Plan(asked, run, model, verdict, version, current)


def rollback(asked: Asked, history: History, registry: Registry) -> Plan:
    """The plan that gives the alias back to the version before. Raises InvalidConfig where there is none."""
    name, alias = asked.name, asked.config.alias
    target = registry.version(name, names.previous(alias))
    current = registry.version(name, alias)
    if target is None or current is None:
        says = f"{name} has no version that had the alias {alias} before."
        raise InvalidConfig(Fault(says, again("history=true", without=["rollback", "run_id", "dry_run"])))
    run = history.run(target.run_id)
    if run is None:
        says = f"The run {target.run_id} of {name}, version {target.number}, is not in this store."
        raise InvalidConfig(Fault(says, again("history=true", without=["rollback", "run_id", "dry_run"])))
    verdict = Verdict(True, f"Rolled back from version {current.number}.")
    return Plan(asked, run, target.source, verdict, target, current, rollback=True)


def perform(plan: Plan, at: Tools, history: History) -> Journal:
    """Carry it out. Raises NotPromoted where the gate is closed or a step fails; then nothing has changed."""
    asked, run, registry = plan.asked, plan.run, at.registry
    if not plan.verdict.opens:
        raise NotPromoted(Fault(plan.verdict.says, plan.verdict.mend))
    config = asked.config
    model, version = plan.model, plan.version
    refitted = None
    if config.refit and version is None:
        refitted = model = refit(asked, history, run)
    git_tag = tags.of_version(at.git, asked.name, version.tags[GTO]) if version and GTO in version.tags else None
    committed = at.git.tagged(git_tag) if git_tag else None
    dvc_file = at.git.content(committed, str(MODELS / f"{asked.name}.dvc")) if committed else None
    git = config.git if config.dvc != "none" else "none"
    note = Journal(
        root=str(asked.root),
        identity=uuid.uuid4().hex,
        store=_store(asked.destination),
        name=asked.name,
        alias=config.alias,
        run_id=run.run_id,
        git=git,
        event=_event(plan, registry),
        message=_message(plan),
        number=version.number if version else None,
        version_tag=git_tag,
        previous=plan.current.number if plan.current else None,
    )
    verdict = plan.verdict.says
    content = Content(
        fill=partial(
            bundle.fill, history, run, model, config.trusted_packages, asked.name, config.alias, verdict,
            config.refit is not None or (version is not None and version.tags.get("refit") == "all"),
        ),
        dvc_file=dvc_file,
        source=model,
        version_tags=_version_tags(plan),
        describes=partial(_description, plan),
    )  # fmt: skip
    try:
        return steps.carry_out(at, note, content)
    except BaseException:
        if refitted and not steps.decided(at, note):
            registry.forget_model(refitted)
        raise


def refit(asked: Asked, history: History, run: RecordedRun) -> str:
    """Fit the run's configuration once more, on all rows; returns `models:/<id>` of a model that belongs to the run."""
    from boston_exp.experiment import dataset as datasets
    from boston_exp.experiment import models
    from boston_exp.experiment.evaluation import fit
    from boston_exp.tracking.mlflow.models import save_refit
    from boston_exp.training.record import requirements

    config = asked.config
    cfg = retraining.recorded_config(history, run, config, config.trusted_packages)
    composed = retraining.checked(cfg, run, config.trusted_packages)
    dataset = datasets.load(composed)
    fitted = fit(models.build(composed), dataset.X, dataset.y)
    example = dataset.as_read[list(dataset.X.columns)]
    return save_refit(
        asked.destination.server or asked.destination.uri,
        run,
        fitted,
        example,
        requirements(tuple(config.trusted_packages)),
        tuple(config.trusted_packages),
    )


def _run_faults(run: RecordedRun) -> Iterator[Fault]:
    if run.is_sweep:
        best = run.tags.get("best.run_id", "<id of a point>")
        yield Fault(f"{run.run_id} is a sweep's run: its best point is {best}.", again(f"run_id={best}"))
    elif run.status != "FINISHED":
        says = f"{run.run_id} ({run.name}) is {run.status}: only a run that has ended well can be promoted."
        yield Fault(says, for_services("run", f"base={run.run_id}", "evaluation=cv"))


def _verdict(asked: Asked, history: History, run: RecordedRun, current: Version | None, metric: Metric) -> Verdict:
    config = asked.config
    if config.gate == gate.NONE:
        return Verdict(True, "Compared with nothing: gate=none was typed.")
    lack = gate.without_folds(run)
    if lack:
        return lack
    if current is None:
        return Verdict(True, f"Compared with nothing: there was no {config.alias} yet.")
    if current.run_id == run.run_id:
        return Verdict(True, f"Compared with nothing: this run is the {config.alias} already.")
    champion = history.run(current.run_id)
    if champion is None:
        says = f"The run {current.run_id} of the {config.alias} is not in this store: nothing can be compared with it."
        return Verdict(False, says, again("gate=none"))
    again_trained = ""
    if any(value(run, key) != value(champion, key) for key in HELD_OUT) or metric.name not in champion.metrics:
        made = retraining.trained_like(history, champion, run, config, config.trusted_packages, asked.destination)
        found = history.named(made)
        retrained = history.run(found[0]) if found else None
        if retrained is None:
            says = f"The {config.alias} was trained again as {made}, which is not in this store yet."
            return Verdict(False, says, again())
        again_trained = (
            f" The {config.alias} had other data or another split: its configuration was trained again on those of the "
            f"candidate ({retrained.run_id}), and that is what is compared."
        )
        champion = retrained
    found_verdict = gate.compared(history, run, champion, metric, config.rope, config.gate)
    return Verdict(found_verdict.opens, found_verdict.says + again_trained, found_verdict.mend)


def _event(plan: Plan, registry: Registry) -> dict[str, Any]:
    events = registry.events(plan.asked.name)
    return {
        "number": max((event["number"] for event in events), default=0) + 1,
        "at": int(time.time() * 1000),
        "alias": plan.asked.config.alias,
        "what": "rollback" if plan.rollback else "promote",
        "run_id": plan.run.run_id,
        "run": plan.run.name,
        "gate": plan.asked.config.gate if not plan.rollback else "rollback",
        "says": plan.verdict.says,
        "from": plan.current.number if plan.current else None,
        "scores": {name: plan.run.metrics[name] for name in ("rmse", "cv_rmse") if name in plan.run.metrics},
    }


def _message(plan: Plan) -> str:
    run, unit = plan.run, plan.run.param("data.target_unit")
    scores = [
        f"{metric.label} {numbers.with_unit(numbers.held_out(run.metrics, metric.name), metric.unit_of(unit))}"
        for metric in METRICS
        if metric.name in run.metrics
    ]
    verb = "is again" if plan.rollback or plan.version else "is"
    version = plan.version.tags.get(GTO, tags.UNKNOWN) if plan.version else tags.UNKNOWN
    return (
        f"model: {plan.asked.name} {version} {verb} {plan.asked.config.alias}\n\n"
        f"Run {run.run_id} ({run.name})\nHeld out: {', '.join(scores)}\nGate: {plan.verdict.says}"
    )


def _version_tags(plan: Plan) -> dict[str, str]:
    run = plan.run
    told = {name: run.tags.get(name, "") for name in ("data.md5", "split.digest", "mlflow.source.git.commit")}
    told |= {"run": run.name, "gate": plan.verdict.says, "refit": "all" if plan.asked.config.refit else "none"}
    scores = (*(metric.name for metric in METRICS), *(f"cv_{metric.name}" for metric in METRICS))
    told |= {name: numbers.score(run.metrics[name]) for name in scores if name in run.metrics}
    return {name: value for name, value in told.items() if value}


def _description(plan: Plan, folder: Path) -> str:
    """The card; where there are no files, the story of the run."""
    file = folder / "card.md"
    return file.read_text(encoding="utf-8") if file.is_file() else plan.run.tags.get("mlflow.note.content", "")


def _store(destination: Destination) -> str:
    return destination.shown_server if destination.server else destination.uri
