"""Plans a promotion, and carries it out: from a run that was asked for to the model in production."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from boston_exp.config.invocation import again, for_services
from boston_exp.errors import ExpectedFailure, Fault, InvalidConfig, NotPromoted
from boston_exp.experiment.metrics import Metric
from boston_exp.lifecycle import selection
from boston_exp.lifecycle.promotion import bundle, gate, journal, messages, names, steps, tags
from boston_exp.lifecycle.promotion.gate import Verdict
from boston_exp.lifecycle.promotion.journal import Journal
from boston_exp.lifecycle.promotion.plan import ALL, REFIT, Asked, Plan
from boston_exp.lifecycle.promotion.steps import COMMIT, GTO, Content, Tools
from boston_exp.lifecycle.ranking.groups import HELD_OUT, value
from boston_exp.storage.git import Git
from boston_exp.storage.promotion_files import MODELS
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.recorded import History, RecordedRun, Registry, Version


def tools(asked: Asked, registry: Registry, lock: int) -> Tools:
    """Where it is done, by whoever holds the lock."""
    return Tools(registry, Git(asked.root), asked.config.storage, asked.typed, asked.dvc, lock)


def settle(asked: Asked, at: Tools) -> None:
    """Undo, or finish, what an interrupted promotion has left, and say what was done."""
    found = journal.left(asked.root)
    if found is None:
        return
    of = f"promotion of {found.run_id} to {found.name}@{found.alias}"
    if asked.config.dry_run:
        what = "finished" if steps.decided(at, found) else "undone"
        print(f"An interrupted {of} is here: the next promotion without dry_run has it {what} first.", file=sys.stderr)
        return
    if found.store != _store(asked.destination):
        says = f"A promotion of {found.name} in {found.store} was interrupted, and is not settled."
        raise InvalidConfig(Fault(says, again(f"tracking.uri={found.store}") + "   (undoes or finishes it)"))
    decided = steps.decided(at, found)
    (steps.finish if decided else steps.undo)(at, found)
    what = "finished" if decided else "undone"
    print(f"An interrupted {of} was {what}.", file=sys.stderr)


def planned(asked: Asked, history: History, registry: Registry, run_id: str, metric: Metric) -> Plan:
    """The plan for the run that was typed, or for a rollback.

    Raises InvalidConfig where there is nothing to promote; trains what the gate needs.
    """
    config, name = asked.config, asked.name
    if config.rollback:
        return _rollback(asked, history, registry)
    best = selection.best_with_model(history, metric) if run_id == selection.BEST else None
    run = best or selection.identified(history, run_id, "run_id", metric)
    wrong = list(_run_faults(run))
    if wrong:
        raise InvalidConfig(*wrong)
    model = selection.model_of(history, run)
    if model is None:
        says = f"{run.run_id} ({run.name}) has no model: it was deleted, or not stored (a sweep stores its best alone)."
        mend = f"{for_services('run', f'base={run.run_id}')}   (trains it alone; then promote that run)"
        raise InvalidConfig(Fault(says, mend))
    current = registry.version(name, config.alias)
    earlier = (each for each in registry.versions(name) if each.run_id == run.run_id)
    version = next((each for each in earlier if (each.tags.get(REFIT) == ALL) == (config.refit == ALL)), None)
    verdict = _verdict(asked, history, registry, run, current, metric)
    return Plan(asked, run, model, verdict, version, current)


def _rollback(asked: Asked, history: History, registry: Registry) -> Plan:
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
        raise NotPromoted(Fault(f"{plan.verdict.says} Nothing was changed.", plan.verdict.mend))
    config = asked.config
    version = plan.version
    model = (version.logged if version else None) or plan.model
    refitted = None
    if config.refit and version is None:
        from boston_exp.lifecycle.promotion.refitting import refit

        refitted = model = refit(asked, history, run)
    git_tag, committed = _committed(at.git, asked.name, version)
    dvc_file = at.git.content(committed, str(MODELS / f"{asked.name}.dvc")) if committed else None
    git = config.git if asked.dvc != "none" else "none"
    note = Journal(
        root=str(asked.root),
        identity=uuid.uuid4().hex,
        store=_store(asked.destination),
        name=asked.name,
        alias=config.alias,
        run_id=run.run_id,
        git=git,
        event=messages.event(plan, registry),
        message=messages.message(plan),
        about=messages.about(plan),
        number=version.number if version else None,
        version_tag=git_tag,
        previous=plan.current.number if plan.current else None,
    )
    content = Content(
        fill=partial(bundle.fill, history, plan, model),
        dvc_file=dvc_file,
        source=model,
        version_tags=messages.version_tags(plan),
        describes=partial(messages.description, plan),
    )
    try:
        return steps.carry_out(at, note, content)
    except BaseException:
        if refitted and not steps.decided(at, note):
            with suppress(ExpectedFailure):  # nobody was told of it
                registry.forget_model(refitted)
        raise


def _committed(git: Git, name: str, version: Version | None) -> tuple[str | None, str | None]:
    """The tag and the commit of an earlier promotion of this version, where this repository has both."""
    if version is None or GTO not in version.tags:
        return None, None
    tag = tags.of_version(git, name, version.tags[GTO])
    commit = git.tagged(tag)
    return (tag, commit) if commit and commit == version.tags.get(COMMIT, commit) else (None, None)


def _run_faults(run: RecordedRun) -> Iterator[Fault]:
    if run.is_sweep:
        best = run.tags.get("best.run_id", "<id of a point>")
        yield Fault(f"{run.run_id} is a sweep's run: its best point is {best}.", again(f"run_id={best}"))
    elif run.status != "FINISHED":
        says = f"{run.run_id} ({run.name}) is {run.status}: only a run that has ended well can be promoted."
        yield Fault(says, for_services("run", f"base={run.run_id}", "evaluation=cv"))


def _verdict(
    asked: Asked, history: History, registry: Registry, run: RecordedRun, current: Version | None, metric: Metric
) -> Verdict:
    config, holder = asked.config, asked.config.alias
    if config.gate == gate.NONE:
        return Verdict(True, "Compared with nothing: gate=none was typed.")
    lack = gate.without_folds(run)
    if lack:
        return lack
    if current is None and holder != names.CHAMPION:  # a first challenger is measured by the champion
        holder, current = names.CHAMPION, registry.version(asked.name, names.CHAMPION)
    if current is None:
        return _first(asked, registry)
    if current.run_id == run.run_id:
        return Verdict(True, f"Compared with nothing: this run is the {holder} already.")
    champion = history.run(current.run_id)
    if champion is None:
        says = f"The run {current.run_id} of the {holder} is not in this store: nothing can be compared with it."
        return Verdict(False, says, again("gate=none"))
    if run.param("data.target") != champion.param("data.target"):
        says = (
            f"{run.run_id} ({run.name}) predicts {run.param('data.target')}, the {holder} of {asked.name} "
            f"{champion.param('data.target')}: whoever uses it would get something else."
        )
        return Verdict(False, says, again(f"name={names.registered_name(None, run.tags.get('dataset', 'another'))}"))
    if all(value(run, key) == value(champion, key) for key in HELD_OUT) and metric.name in champion.metrics:
        return gate.compared(history, run, champion, metric, config.rope, config.gate)
    if config.dry_run:
        says = f"The {holder} has other data or another split: it will be trained again on the candidate's."
        return Verdict(True, says)
    return _compared_again(asked, history, run, champion, holder, metric)


def _first(asked: Asked, registry: Registry) -> Verdict:
    """Of an alias that nobody has, unless git knows better than this registry."""
    pointer = MODELS / f"{asked.name}.dvc"
    if asked.dvc != "none" and Git(asked.root).content("HEAD", str(pointer)) and not registry.versions(asked.name):
        says = f"{pointer} has a promoted model that this registry does not know: nothing can be compared with it."
        other = again("tracking.uri=<the store that it was promoted in>")
        return Verdict(False, says, f"{other}   (or, without a comparison: {again('gate=none')})")
    return Verdict(True, f"Compared with nothing: there was no {asked.config.alias} yet.", first=True)


def _compared_again(
    asked: Asked, history: History, run: RecordedRun, champion: RecordedRun, holder: str, metric: Metric
) -> Verdict:
    """With the champion's configuration, trained on the candidate's table and split."""
    from boston_exp.lifecycle import retraining  # all that training needs, which looking does without

    config = asked.config
    made = retraining.trained_like(history, champion, run, config, config.trusted_packages, asked.destination)
    found = history.named(made)
    retrained = history.run(found[0]) if found else None
    if retrained is None:
        says = f"The {holder} was trained again as {made}, which is not in this store yet."
        return Verdict(False, says, again())
    verdict = gate.compared(history, run, retrained, metric, config.rope, config.gate)
    says = (
        f"{verdict.says} The {holder} had other data or another split: its configuration was trained again on those of "
        f"the candidate ({retrained.run_id}), and that is what is compared."
    )
    return Verdict(verdict.opens, says, verdict.mend)


def _store(destination: Destination) -> str:
    return destination.shown_server if destination.server else destination.uri
