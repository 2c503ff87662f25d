"""The story of a multirun: check, open the parent run, search, record what came of it, show it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path

from hydra.types import HydraContext
from omegaconf import DictConfig

from boston_exp.config import checks
from boston_exp.config.invocation import again
from boston_exp.config.schema import Config
from boston_exp.config.settings import Typed
from boston_exp.errors import Fault, InvalidConfig
from boston_exp.experiment.metrics import direction, objective_faults
from boston_exp.sweep import edges, outcome
from boston_exp.sweep.composing import Composer
from boston_exp.sweep.launched import ray_nodes_elsewhere
from boston_exp.sweep.loop import Loop, MaxFailuresError
from boston_exp.sweep.plan import Aim, Point, Report, name_of, sweep_key
from boston_exp.sweep.screen import Screen
from boston_exp.sweep.search import Search
from boston_exp.sweep.workers import Workers, kind_of, n_jobs_fault
from boston_exp.tracking import backends
from boston_exp.tracking import destination as destinations
from boston_exp.tracking.destination import Destination
from boston_exp.tracking.protocol import Finished, Outcome, SweepPlan
from boston_exp.training import provenance
from boston_exp.training.job import mark
from boston_exp.training.naming import sweep_name
from boston_exp.training.telling import Told, write_page


@dataclass(frozen=True)
class Checked:
    """What all points have in common, once nothing is wrong with it."""

    config: Config  # of the first point
    typed: Typed
    destination: Destination
    aim: Aim
    key: str
    about: str  # what is trained on what


def run(context: HydraContext, master: DictConfig, search: Search, make_workers: Callable[[], Workers]) -> int:
    """Run a sweep to its end, or to `max_failures`. Returns the exit code: 1 if a point failed.

    Raises InvalidConfig for what is wrong with every point, StoreUnusable if the store cannot be used or the same sweep
    is running already.
    """
    composer = Composer(context, master)
    checked = _checked(composer, search)
    config, aim = checked.config, checked.aim
    tracker = backends.open_tracker(checked.destination)
    plan = _plan(composer, checked, search)
    failed = False
    with (
        suppress(MaxFailuresError),
        tracker.sweep(plan) as parent,
        Screen(search.total, aim, config.quiet) as screen,
    ):
        composer.sweep_dir.mkdir(parents=True, exist_ok=True)
        mark(composer.sweep_dir, parent.run_id, checked.destination.uri)
        reuses = config.skip_finished is not False and not _data_is_swept(search)
        with closing(make_workers()) as workers:
            context.config_loader.one_at_a_time = workers.in_process
            if not workers.in_process and config.tracking.log_model != "none":
                _import_ahead(config.tracking.backend)
            loop = Loop(
                checked.key,
                composer,
                workers,
                parent,
                screen,
                earlier=parent.finished_points() if reuses else {},
                max_failures=config.max_failures,
                asks_server=checked.destination.server is not None and tracker.outage is None,
                experiment=checked.destination.experiment_name,
            )
            try:
                stopped = _searched(search, checked, loop, workers.count)
                names = tuple(name_of(key) for key in search.space)
                report = Report(
                    search.kind,
                    search.total,
                    names,
                    aim,
                    tuple(loop.results),
                    search.importances(),
                    plan.name,
                    config.data.target_unit or "",
                    search.logarithmic,
                    checked.about,
                    checked.destination.experiment_typed,
                )
                screen.close()
                local = replace(checked.destination, server=None)  # the points are here before they are anywhere else
                history = partial(backends.open_history, local)
                report = replace(report, found=tuple(edges.found(report, config.evaluation.n_splits, history)))
                page = outcome.record(report, parent, config, plan.params, history)
                if report.best and report.best.run_id and config.tracking.log_model != "none":
                    best = Finished(report.best.run_id, report.best.metrics)
                    parent.store_model(best, partial(_refit, composer, report.best.point))
            except KeyboardInterrupt:
                screen.interrupted()
                raise
        failed = loop.failed > 0
        if stopped:
            raise stopped  # which leaves the parent FAILED
    if page is not None:
        write_page(str(config.report), page)
    outcome.show(report, parent, config.quiet)
    return int(failed)


def _searched(search: Search, checked: Checked, loop: Loop, at_once: int) -> MaxFailuresError | None:
    """Run the search; returns what ended it early, if `max_failures` did."""
    search.begin(checked.key, checked.config, checked.aim, loop)
    try:
        search.run(loop, at_once)
    except MaxFailuresError as stopped:
        return stopped
    return None


def _checked(composer: Composer, search: Search) -> Checked:
    """Refuse what is wrong with every point now; what is wrong with one alone is that point's failure."""
    first, last = search.corners()
    _, config, typed = composer.parsed(first)
    destination = destinations.resolve(config, typed)
    everywhere = set(_faults(composer.parsed(last)[1]))
    faults = [fault for fault in _faults(config) if fault in everywhere]
    faults += [*backends.faults(destination), *_launcher_faults(composer.master.hydra.launcher, destination)]
    metrics = tuple(config.objective.metrics)
    aim = Aim(metrics, tuple(direction(metric) for metric in metrics))
    faults += search.faults(aim)
    if faults:
        raise InvalidConfig(*faults)
    return Checked(config, typed, destination, aim, *_looked_at(config, typed, aim, search))


def _faults(config: Config) -> list[Fault]:
    return [*checks.faults(config), *objective_faults(config)]


def _launcher_faults(settings: DictConfig, destination: Destination) -> Iterator[Fault]:
    """Workers of another machine would each see another sqlite file under the same name.

    With a server they keep a store of their own and publish what is in it.
    """
    fault = n_jobs_fault(settings)
    if fault:
        yield fault
    path = destination.sqlite_path
    if path is None or destination.server:
        return
    mend = again("tracking.uri=http://<host>:5000", multirun=True) + "   (an MLflow server that all of them reach)"
    if kind_of(settings) == "SlurmLauncher":
        yield Fault(f"Slurm's workers are on other machines and cannot share the sqlite store {path}.", mend)
    if kind_of(settings) == "RayLauncher":
        nodes = ray_nodes_elsewhere(settings.ray.init)
        if nodes:
            says = f"Ray's nodes {', '.join(nodes)} are other machines and cannot share the sqlite store {path}."
            yield Fault(says, mend)


def _looked_at(config: Config, typed: Typed, aim: Aim, search: Search) -> tuple[str, str]:
    """The sweep's key, and what it trains on what; reads the table.

    What the best model would hold is checked here, too, before hours of training.
    """
    from boston_exp.experiment import dataset, models, split
    from boston_exp.storage import dvc_remote
    from boston_exp.tracking import model_types
    from boston_exp.training.fingerprint import fingerprint

    if config.data.path is not None:
        dvc_remote.fetch_if_missing(Path(config.data.path), config.storage, typed)
    table = dataset.load(config)
    rows, model = split.split_rows(table, config), ""
    with suppress(InvalidConfig):  # the first point may be a bad one
        estimator = models.build(config)
        model = f"{type(models.final_step(estimator)).__name__} "
    if model and config.tracking.log_model != "none":
        model_types.check_storable(estimator, rows, tuple(config.trusted_packages))
    if any(key.partition(".")[0] in ("model", "experiment") and "." not in key for key in search.space):
        model = ""  # each point has its own
    about = f"{model}on {table.name}, {len(rows.X_train):,} rows to train on, {len(rows.X_test):,} held out"
    if _data_is_swept(search):
        about = f"{model}on data that varies"
    return sweep_key(search.kind, fingerprint(config, table.md5), aim, search.space), about


def _plan(composer: Composer, checked: Checked, search: Search) -> SweepPlan:
    choices, swept = composer.master.hydra.runtime.choices, [name_of(key) for key in search.space]
    params = {name_of(key): str(override.input_line).partition("=")[2] for key, override in search.space.items()}
    return SweepPlan(
        checked.key,
        name=sweep_name(search.kind, choices, search.fixed, swept, checked.config.name),
        params={
            **params,
            "sweep.kind": search.kind,
            "sweep.fixed": " ".join(search.fixed),
            "objective": str(checked.aim),
        },
        tags={"dataset": str(checked.config.data.name), **provenance.origin()},
        metrics=checked.aim.metrics,
        swept=tuple(swept),
    )


def _import_ahead(backend: str) -> None:
    """While the workers train, import in a thread what storing the best model on the parent takes."""
    for module in backends.import_ahead(backend):
        threading.Thread(target=import_module, args=(module,), name="import-ahead", daemon=True).start()


def _data_is_swept(search: Search) -> bool:
    """The md5 in the key is then of one table only; each point itself looks for a finished run."""
    return any(key.partition(".")[0] == "data" for key in search.space)


@contextmanager
def _refit(composer: Composer, best: Point) -> Iterator[Outcome]:
    """Fit the best point once more, without folds, which gives the same bits.

    That costs one fit; storing the model of every point would cost 0.15 s and a megabyte each.
    """
    from boston_exp.experiment import dataset, models, split
    from boston_exp.experiment.evaluation import evaluate
    from boston_exp.training import collector, record

    cfg, config, typed = composer.parsed(best)
    table = dataset.load(config)
    estimator = models.build(config, table.roles)
    rows = split.split_rows(table, replace(config, evaluation=replace(config.evaluation, n_splits=0)))
    config = replace(config, figures=replace(config.figures, draw=False))
    collector.start()
    evaluated = evaluate(estimator, rows, config.seed, 0)
    with record.outcome(
        cfg, typed, config, table, rows, evaluated, Told(composer.name_of(best)), store_model=True
    ) as fitted:
        yield fitted
