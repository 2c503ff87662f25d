"""Optuna's studies: opened so that no other search mixes in, continued where an earlier part stopped."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Container, Iterable
from contextlib import suppress
from datetime import datetime
from typing import Any

import numpy as np
import optuna
from hydra.conf import HydraConf
from hydra.utils import instantiate
from omegaconf import OmegaConf
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from boston_exp.config.invocation import again
from boston_exp.errors import Fault, InvalidConfig
from boston_exp.process import remembered
from boston_exp.tracking import liveness
from boston_exp.tracking.study_database import raised_as_config, refuse_foreign, storage

SEARCH, INTERRUPTED, RUN = "boston_exp.search", "boston_exp.interrupted", "boston_exp.run_id"
KNOWN = "boston_exp.known"  # trials that had been told when this one was asked for
FIRST = "boston_exp.first"  # parameters that the search began with: such a trial is run to its end
SAMPLER = "boston_exp.sampler"  # of a study: what proposes its trials now
ERROR = "error"
LEFT = "left"  # in place of a process: the trial is on a cluster
SAMPLERS = ("hydra_plugins.hydra_optuna_sweeper.*", "optuna.samplers.*")
optuna.logging.set_verbosity(optuna.logging.ERROR)  # the sweep has one line on the screen, and says all there
# For good: `warnings.catch_warnings` of a thread that imports would take the filter away again.
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


class Study:
    """A study and its storage. Trials that were cut off are given back: their parameters are asked for again, first."""

    def __init__(self, study: optuna.Study, storage: BaseStorage) -> None:
        self.study = study
        self._storage = storage

    def ask(self, sampler: BaseSampler, known: int) -> optuna.Trial:
        """The next trial, its parameters not yet suggested; `known` trials have been told so far.

        It carries this process from its first moment: cut off in between, it would be RUNNING for ever.
        """
        mine = liveness.tags()[liveness.PROCESS]
        self.study.sampler = sampler
        if not self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self.study.enqueue_trial({}, user_attrs={liveness.PROCESS: mine, KNOWN: known})
        trial = self.study.ask()
        if trial.user_attrs.get(liveness.PROCESS) != mine:  # it was waiting: given back by an earlier part
            trial.set_user_attr(liveness.PROCESS, mine)
        if trial.user_attrs.get(KNOWN) != known:
            trial.set_user_attr(KNOWN, known)
        return trial

    def begin_with(self, each: Iterable[dict[str, Any]]) -> None:
        """Have these parameters asked for, once, whichever part of the search it is; what is left open is sampled."""
        there = [trial.user_attrs.get(FIRST) for trial in self.study.get_trials(deepcopy=False)]
        mine = liveness.tags()[liveness.PROCESS]
        for params in each:
            if params not in there:
                self.study.enqueue_trial(params, user_attrs={liveness.PROCESS: mine, FIRST: params})

    def give_back(self, number: int, params: dict[str, Any]) -> None:
        """End a trial that was cut off, and have its parameters asked for again."""
        self._storage.set_trial_user_attr(self._id_of(number), INTERRUPTED, True)
        self.study.tell(number, state=TrialState.FAIL)
        first: dict[str, Any] = self._storage.get_trial(self._id_of(number)).user_attrs.get(FIRST, {})
        attributes = {liveness.PROCESS: liveness.tags()[liveness.PROCESS], **({FIRST: first} if first else {})}
        if params or first:
            self.study.enqueue_trial(params or first, user_attrs=attributes)

    def _id_of(self, number: int) -> int:
        study_id = self._storage.get_study_id_from_name(self.study.study_name)
        return self._storage.get_trial_id_from_study_id_trial_number(study_id, number)

    def leave(self, trial: optuna.Trial) -> None:
        """A trial that goes on without this process: it belongs to none until its sweep is collected."""
        trial.set_user_attr(liveness.PROCESS, LEFT)

    def running(self, numbers: Container[int | None]) -> list[optuna.Trial]:
        """The trials of these numbers that nobody has told."""
        trials = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [optuna.Trial(self.study, self._id_of(trial.number)) for trial in trials if trial.number in numbers]

    def stale(self, there: Container[int | None] | None = None) -> list[FrozenTrial]:
        """Trials that say RUNNING and whose process, on this machine, is gone. Of those that were left on a cluster
        none, or the others, given the numbers of those that are there."""
        found = []
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            process = trial.user_attrs.get(liveness.PROCESS, "")
            dead = process and liveness.is_dead({liveness.PROCESS: process, liveness.HEARTBEAT: "0"})
            if trial.number not in (there or ()) and (dead or (process == LEFT and there is not None)):
                found.append(trial)
        return found

    def counted(self) -> list[FrozenTrial]:
        """Trials that were run to their end, whatever it was, as they ended; those that were cut off do not count."""
        ended = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
        trials = self.study.get_trials(deepcopy=False, states=ended)
        found = [trial for trial in trials if not trial.user_attrs.get(INTERRUPTED)]
        return sorted(found, key=lambda trial: trial.datetime_complete or datetime.min)

    def sampled_by(self, config: Any) -> tuple[str, str] | None:
        """Remember what proposes trials from now on. Where that was another one: what it was, and what it is."""
        now = json.dumps(OmegaConf.to_container(config, resolve=True), sort_keys=True)
        before = self.study.user_attrs.get(SAMPLER)
        if before == now:
            return None
        self.study.set_user_attr(SAMPLER, now)
        return (_described(before), _described(now)) if before else None


def open_study(url: str | None, name: str, key: str, metrics: tuple[str, ...], directions: tuple[str, ...]) -> Study:
    """The study, new or as an earlier part left it; `url=None` keeps it in memory.

    Raises InvalidConfig if it belongs to another search, or if the database cannot be used or is another program's.
    """
    with raised_as_config(url):
        if url:
            refuse_foreign(url)
        opened = storage(url)
        study = optuna.create_study(
            study_name=name,
            storage=opened,
            directions=list(directions),  # type: ignore[arg-type]
            load_if_exists=True,
        )
        searched = study.user_attrs.get(SEARCH)
        if searched is None and not study.get_trials(deepcopy=False):
            study.set_user_attr(SEARCH, key)
            study.set_metric_names(list(metrics))  # as Optuna's dashboard shows them
        elif searched != key:
            says = f"The study {name!r} belongs to another search: other parameters, ranges, data or code."
            mend = again("hydra.sweeper.study_name=null", multirun=True) + "   (null names it after the search)"
            raise InvalidConfig(Fault(says, mend))
        return Study(study, opened)


def stored_studies(url: str) -> list[Study]:
    """Every study in a database."""
    opened = storage(url)
    return [
        Study(optuna.load_study(study_name=name, storage=opened), opened) for name in optuna.get_all_study_names(opened)
    ]


def of_searches(url: str, keys: set[str]) -> dict[str, set[str]]:
    """The studies of these searches, by the keys of their sweeps, without those that are being searched; each with the
    ids of the runs that its trials were."""
    with raised_as_config(url):
        found: dict[str, set[str]] = {}
        for each in stored_studies(url):
            running = each.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            if each.study.user_attrs.get(SEARCH) in keys and len(running) == len(each.stale()):
                trials = each.study.get_trials(deepcopy=False)
                found[each.study.study_name] = {str(t.user_attrs[RUN]) for t in trials if t.user_attrs.get(RUN)}
        return found


def remove(url: str, name: str) -> None:
    """Remove a study; nothing where it is gone."""
    with raised_as_config(url), suppress(KeyError):
        optuna.delete_study(study_name=name, storage=url)


def reporter(
    hydra_config: HydraConf, study_name: str, number: int, metric: str
) -> Callable[[int, dict[str, float]], bool]:
    """In a job: report to the study how a trial does at a step (a fold, or a number of trees), and ask whether to prune
    it."""
    study, opened, study_id = _followed(
        hydra_config.sweeper.storage, study_name, OmegaConf.to_yaml(hydra_config.sweeper.pruner, resolve=True)
    )
    trial = optuna.trial.Trial(study, opened.get_trial_id_from_study_id_trial_number(study_id, number))

    def should_prune(step: int, metrics: dict[str, float]) -> bool:
        trial.report(metrics[metric], step)
        return FIRST not in trial.user_attrs and trial.should_prune()

    return should_prune


@remembered(maxsize=1)
def _followed(url: str, name: str, pruner: str) -> tuple[optuna.Study, BaseStorage, int]:
    """A study whose trials are run here, opened once: its storage keeps the trials that have ended, and a new one would
    read all of them again for every fold."""
    kept = storage(url)
    study = optuna.load_study(study_name=name, storage=kept, pruner=pruner_of(OmegaConf.create(pruner)))
    return study, kept, kept.get_study_id_from_name(name)


def pruner_of(config: Any) -> BasePruner:
    """Out of Hydra's configuration of one."""
    made: BasePruner = instantiate(config, _execution_whitelist_=("optuna.pruners.*",))
    return made


def sampler_of(config: Any) -> Callable[[int], BaseSampler]:
    """Makes the sampler of each trial, by its place in the study, out of Hydra's configuration of one.

    Seeded by seed and place: one sampler for all would start again with the seed when a study goes on, and propose its
    first points again. QMC keeps its place in the sequence by itself, under its seed. Without a seed there is one for
    all.
    """
    settings = OmegaConf.to_container(config, resolve=True)
    assert isinstance(settings, dict)
    seed = settings.get("seed")

    def made(place: int) -> BaseSampler:
        if seed is not None and not str(settings["_target_"]).endswith("QMCSampler"):
            settings["seed"] = int(np.random.SeedSequence((int(seed), place)).generate_state(1)[0])
        sampler: BaseSampler = instantiate(settings, _convert_="all", _execution_whitelist_=SAMPLERS)
        return sampler

    first = made(0)  # what is wrong with it is told before anything is asked for
    return (lambda place: first) if seed is None else made


def _described(settings: str) -> str:
    """`TPESampler, seed 42`, of what a study remembers of its sampler."""
    said = json.loads(settings)
    seed = said.pop("seed", None)
    return f"{str(said['_target_']).rpartition('.')[2]}{'' if seed is None else f', seed {seed}'}"
