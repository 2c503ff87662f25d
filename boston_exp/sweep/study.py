"""Optuna's side of a search: a study that goes on where it stopped, asks nothing twice, is told all at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import optuna
import sqlalchemy
from hydra.conf import HydraConf
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.utils import instantiate
from hydra_plugins.hydra_optuna_sweeper._impl import create_params_from_overrides
from omegaconf import OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from boston_exp.errors import Fault, InvalidConfig
from boston_exp.sweep.engine import Point, Result, Sweep, values
from boston_exp.tracking import liveness

if TYPE_CHECKING:
    from boston_exp.sweep.plugins import OptunaSweeper

SEARCH, INTERRUPTED, RUN = "boston_exp.search", "boston_exp.interrupted", "boston_exp.run_id"
SAMPLERS = ("hydra_plugins.hydra_optuna_sweeper.*", "optuna.samplers.*")
optuna.logging.set_verbosity(optuna.logging.ERROR)  # the sweep has one line on the screen, and says all there


def search(sweeper: OptunaSweeper, arguments: list[str]) -> Sweep:
    """Ask, run, tell, until the study has n_trials; gives the sweep, closed."""
    given = [*(f"{key}={value}" for key, value in sweeper.params.items()), *arguments]
    latest = {each.get_key_element(): each for each in OverridesParser.create().parse_overrides(given)}
    space = {key: each for key, each in latest.items() if each.is_sweep_override()}
    distributions = _distributions(space)
    fixed = [str(each.input_line) for key, each in latest.items() if key not in space]
    first, last = (_corner(distributions, fixed, space, side) for side in (0, -1))
    sweep = Sweep(sweeper, "optuna", space, first, last, sweeper.n_trials)
    faults = list(_faults(sweeper, sweep))
    if faults:
        raise InvalidConfig(*faults)
    with sweep:
        with _told(sweeper.storage):
            study = _open(sweeper, sweep)
        _take_up(study, sweep, space, fixed)
        batch = sweep.workers.count if sweeper.n_jobs < 1 else sweeper.n_jobs
        while (left := sweeper.n_trials - len(_counted(study))) > 0:
            _run_batch(study, sweep, distributions, fixed, min(batch, left), sweeper)
        sweep.importances = _importances(study, sweep)
    return sweep


def reporter(
    hydra_config: HydraConf, study_name: str, trial_id: int, metric: str
) -> Callable[[int, dict[str, float]], bool]:
    """In a job: tells the study how a trial does after each fold, and asks whether to go on."""
    settings = hydra_config.sweeper
    pruner = instantiate(settings.pruner, _execution_whitelist_=("optuna.pruners.*",))
    study = optuna.load_study(study_name=study_name, storage=settings.storage, pruner=pruner)
    trial = optuna.trial.Trial(study, trial_id)

    def should_prune(fold: int, metrics: dict[str, float]) -> bool:
        trial.report(metrics[metric], fold)
        return trial.should_prune()

    return should_prune


def _distributions(space: dict[str, Override]) -> dict[str, BaseDistribution]:
    values({key: override for key, override in space.items() if override.is_discrete_sweep()})
    faults: list[Fault] = []
    made: dict[str, BaseDistribution] = {}
    for key, override in space.items():
        try:
            made |= create_params_from_overrides([str(override.input_line)])[0]
        except (ValueError, AssertionError) as error:
            faults.append(
                Fault(
                    f"{override.input_line} is not a range that Optuna can search: {error}",
                    f"python -m boston_exp.run -m … '{key}=interval(1,10)'   (or a list: {key}=1,2,3)",
                )
            )
    if faults:
        raise InvalidConfig(*faults)
    return made


def _corner(distributions: dict[str, BaseDistribution], fixed: list[str], space: dict[str, Any], side: int) -> Point:
    def end(distribution: BaseDistribution) -> object:
        if isinstance(distribution, CategoricalDistribution):
            return distribution.choices[side]
        return distribution.low if side == 0 else distribution.high  # type: ignore[attr-defined]

    pairs = [f"{key}={_typed(end(distribution))}" for key, distribution in distributions.items()]
    return Point.of([*pairs, *fixed], space)


def _typed(value: object) -> str:
    """As Hydra's grammar has it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _faults(sweeper: OptunaSweeper, sweep: Sweep) -> Iterator[Fault]:
    again = "python -m boston_exp.run -m search=optuna_random_forest"
    if sweeper.n_trials < 1:
        yield Fault(
            f"hydra.sweeper.n_trials={sweeper.n_trials} would try nothing.", f"{again} hydra.sweeper.n_trials=30"
        )
    if not sweep.space:
        yield Fault("There is nothing to search: no parameter has a range.", f"{again} 'model.max_depth=range(2,20)'")
    meant = sweep.config.objective.directions
    asked = sweeper.direction
    asked = [asked] if isinstance(asked, str) else list(asked) if asked is not None else meant
    if asked != meant:
        yield Fault(
            f"hydra.sweeper.direction={sweeper.direction} contradicts the objective: "
            f"{', '.join(sweep.config.objective.metrics)} means {', '.join(meant)}.",
            f"{again}   (leave hydra.sweeper.direction out)",
        )
    target = str(sweeper.sampler.get("_target_"))
    if target.endswith("GridSampler"):
        yield Fault("Optuna's grid sampler is not used here.", "python -m boston_exp.run -m hydra/sweeper=basic …")
    for name, module in (("GPSampler", "torch"), ("CmaEsSampler", "cmaes")):
        if target.endswith(name) and not _installed(module):
            yield Fault(f"{name} needs {module}, which is not installed.", f"python -m pip install {module}")


def _installed(module: str) -> bool:
    from importlib.util import find_spec

    return find_spec(module) is not None


def _open(sweeper: OptunaSweeper, sweep: Sweep) -> optuna.Study:
    """The study, new or as an earlier part left it; another search under its name is refused."""
    model = sweep.config.model["_target_"].rpartition(".")[2]
    sweep.study_name = sweeper.study_name or f"{model}-{sweep.key[:12]}"
    prunable = len(sweep.config.objective.metrics) == 1 and sweep.config.objective.metrics[0].startswith("cv_")
    sweep.prunable = prunable and sweeper.pruner is not None and sweeper.storage is not None
    if sweeper.storage:
        _refuse_foreign(sweeper.storage)
    study = optuna.create_study(
        study_name=sweep.study_name,
        storage=sweeper.storage,
        directions=sweep.config.objective.directions,  # type: ignore[arg-type]
        load_if_exists=True,
    )
    before = len(study.get_trials(deepcopy=False))
    searched = study.user_attrs.get(SEARCH)
    if searched is None and not before:
        study.set_user_attr(SEARCH, sweep.key)
    elif searched != sweep.key:
        raise InvalidConfig(
            Fault(
                f"The study {sweep.study_name!r} belongs to another search: other parameters, ranges, data or code.",
                "python -m boston_exp.run -m … hydra.sweeper.study_name=<another>   (null names it after the search)",
            )
        )
    study.sampler = _sampler(sweeper.sampler, before)
    return study


def _sampler(config: Any, before: int) -> optuna.samplers.BaseSampler:
    """A fixed seed would make a study that goes on propose its first points again, so it moves with the trials there.

    QMC keeps its place in the sequence by itself, under its seed.
    """
    settings = OmegaConf.to_container(config, resolve=True)
    assert isinstance(settings, dict)
    if settings.get("seed") is not None and not str(settings["_target_"]).endswith("QMCSampler"):
        settings["seed"] += before
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler: optuna.samplers.BaseSampler = instantiate(settings, _convert_="all", _execution_whitelist_=SAMPLERS)
    return sampler


def _refuse_foreign(url: str) -> None:
    """Optuna would put its tables into any database that it is shown, MLflow's included."""
    engine = sqlalchemy.create_engine(url)
    try:
        tables = sqlalchemy.inspect(engine).get_table_names()
    finally:
        engine.dispose()
    if tables and "studies" not in tables:
        raise InvalidConfig(
            Fault(
                f"hydra.sweeper.storage={_shown(url)} is the database of another program, not Optuna's.",
                "python -m boston_exp.run -m … hydra.sweeper.storage=sqlite:///optuna.db",
            )
        )


def _shown(url: str) -> str:
    try:
        return sqlalchemy.make_url(url).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return "<not a database URL>"


@contextmanager
def _told(url: str | None) -> Iterator[None]:
    """What a database can throw when it is opened, as one clear message."""
    try:
        yield
    except (SQLAlchemyError, OSError, ImportError, RuntimeError, ValueError) as error:
        reason = str(getattr(error, "orig", None) or error).partition("\n")[0].rstrip(".")
        raise InvalidConfig(
            Fault(
                f"The study database {_shown(str(url))} cannot be used: {reason}.",
                "python -m boston_exp.run -m … hydra.sweeper.storage=sqlite:///optuna.db",
            )
        ) from error


def _counted(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Trials that were tried to their end, whatever it was; those that were cut off do not count."""
    ended = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    return [t for t in study.get_trials(deepcopy=False, states=ended) if not t.user_attrs.get(INTERRUPTED)]


def _take_up(study: optuna.Study, sweep: Sweep, space: dict[str, Any], fixed: list[str]) -> None:
    """Give back the trials of a process that is gone, and take the results of those that ended."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        process = {liveness.PROCESS: trial.user_attrs.get(liveness.PROCESS, ""), liveness.HEARTBEAT: "0"}
        if process[liveness.PROCESS] and liveness.is_dead(process):
            give_back(study, trial)
    metrics = sweep.config.objective.metrics
    for trial in _counted(study):
        point = Point.of([*(f"{key}={_typed(value)}" for key, value in trial.params.items()), *fixed], space)
        status = {TrialState.COMPLETE: "reused", TrialState.PRUNED: "pruned"}.get(trial.state, "failed")
        scores = dict(zip(metrics, trial.values, strict=True)) if trial.state == TrialState.COMPLETE else {}
        sweep.remember(point, status, scores, trial.user_attrs.get(RUN), trial.user_attrs.get("error", ""))


def give_back(study: optuna.Study, trial: optuna.trial.FrozenTrial | optuna.Trial) -> None:
    """A trial that was cut off: its parameters are asked for again, first of all."""
    study._storage.set_trial_user_attr(trial._trial_id, INTERRUPTED, True)
    study.tell(trial.number, state=TrialState.FAIL)
    if trial.params:
        study.enqueue_trial(trial.params, user_attrs={liveness.PROCESS: liveness.tags()[liveness.PROCESS]})


def _ask(study: optuna.Study, distributions: dict[str, BaseDistribution]) -> optuna.Trial:
    """A trial that says whose it is from its first moment: cut off in between, it would be nobody's for ever."""
    mine = liveness.tags()[liveness.PROCESS]
    if not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        study.enqueue_trial({}, user_attrs={liveness.PROCESS: mine})
    trial = study.ask(distributions)
    if trial.user_attrs.get(liveness.PROCESS) != mine:  # it was waiting: given back by an earlier part
        trial.set_user_attr(liveness.PROCESS, mine)
    return trial


def _run_batch(
    study: optuna.Study,
    sweep: Sweep,
    distributions: dict[str, BaseDistribution],
    fixed: list[str],
    size: int,
    sweeper: OptunaSweeper,
) -> None:
    asked: dict[Point, optuna.Trial] = {}
    for _ in range(size):
        trial = _ask(study, distributions)
        pairs = [f"{key}={_typed(value)}" for key, value in trial.params.items()]
        asked[Point.of([*pairs, *fixed], sweep.space, trial._trial_id)] = trial
    metrics = sweep.config.objective.metrics

    def tell(result: Result) -> None:
        trial = asked.pop(result.point)
        if result.run_id:
            trial.set_user_attr(RUN, result.run_id)
        scores = [result.metrics.get(metric, math.nan) for metric in metrics]
        if result.status in ("finished", "reused") and not any(map(math.isnan, scores)):
            study.tell(trial, scores)
        elif result.status == "pruned":
            study.tell(trial, state=TrialState.PRUNED)
        else:
            trial.set_user_attr("error", result.message[:2000])
            study.tell(trial, state=TrialState.FAIL)

    try:
        sweep.run(list(asked), tell)
    finally:
        for trial in asked.values():
            give_back(study, trial)


def _importances(study: optuna.Study, sweep: Sweep) -> dict[str, float]:
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(sweep.config.objective.metrics) > 1 or len(complete) < 5:
        return {}
    try:
        return optuna.importance.get_param_importances(study)
    except (RuntimeError, ValueError):  # all scores alike, or only one parameter: nothing to explain
        return {}
